"""Gradient descent, one way for every task and every method."""
