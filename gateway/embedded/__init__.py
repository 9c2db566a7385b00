"""An upstream inside the process that speaks Ollama: a real language model for a machine with no Ollama."""
