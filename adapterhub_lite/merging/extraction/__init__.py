"""What a fine-tuned model adds to its base, as a LoRA adapter."""
