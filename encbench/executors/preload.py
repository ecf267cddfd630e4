"""What the server of isolated cells imports once, for all the processes that it forks."""

from encbench.executors import worker
from encbench.training import load_optimizers

__all__ = ["worker"]

load_optimizers()
