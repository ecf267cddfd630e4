"""What the server of isolated cells imports once, for all the processes that it forks."""

import signal

from encbench.run.executors import worker
from encbench.training.loop import load_optimizers

__all__ = ["worker"]

load_optimizers()
# like the processes it forks: SIGTERM reaches the whole group, and the coordinator decides
signal.signal(signal.SIGTERM, signal.SIG_IGN)
