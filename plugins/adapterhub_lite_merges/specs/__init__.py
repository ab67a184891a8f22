"""What is said of each strategy, free of torch: formula, paper, parameters, capabilities."""
