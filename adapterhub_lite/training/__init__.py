"""Training, one way: recipe → plan → run → self-test → publish."""
