"""What methods share that are PEFT tuners: wrapping a base, and an adapter's two files.

It imports torch and peft, so only implementation modules import it.
"""
