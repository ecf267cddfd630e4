"""Imported once by the server from which the processes of cells are forked."""

import signal

from encbench.runs.executors import process
from encbench.training.optimizers import load_optimizers

__all__ = ["process"]

load_optimizers()
# SIGTERM to the whole process group must not end the server before the cells that it has forked
signal.signal(signal.SIGTERM, signal.SIG_IGN)
