"""The command line: one verb a file; those of plug-ins are found in the same way."""

from encbench.cli.app import main

__all__ = ["main"]
