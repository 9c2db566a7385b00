"""What train, export and gateway agree on: labels, prompt, verdict and the engines that ask the model."""
