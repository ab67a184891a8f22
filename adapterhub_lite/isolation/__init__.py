"""Pickles become plain numbers: in a process of their own, under limits; nothing in them is run."""
