"""LoRA adapters become one LoRA adapter: merged as factors, or as updates of weights."""
