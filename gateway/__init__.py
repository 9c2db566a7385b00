"""The proxy that stands where Ollama stood and asks the guard about each prompt."""
