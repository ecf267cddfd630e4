"""Where cells run: in this process, in a pool of processes, on a Dask cluster."""

from encbench.run.executors.in_process import InProcess
from encbench.run.executors.interface import Executor, RunOptions
from encbench.run.executors.pool import ProcessPool, default_jobs

__all__ = ["Executor", "InProcess", "ProcessPool", "RunOptions", "default_jobs"]
