"""One tokenizer for models of several, and where each model's rows go."""
