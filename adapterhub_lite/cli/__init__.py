"""The command line: one small module per command group, imported when the command is run."""

from adapterhub_lite.cli.root import main

__all__ = ["main"]
