"""The command line: one verb a file, built-in and third parties' found the same way."""

from encbench.cli.app import main

__all__ = ["main"]
