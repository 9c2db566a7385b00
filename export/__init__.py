"""Turn a base model and a classifier adapter into one quantised GGUF that answers with a single token."""
