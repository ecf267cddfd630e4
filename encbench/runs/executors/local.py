"""Run cells on this machine: one by one in this process, or several in their own processes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from multiprocessing import connection

import torch
from threadpoolctl import threadpool_limits

from encbench.device import gpus, held_bytes, processes_share_gpus
from encbench.plugins.registry import Registry, default_registry
from encbench.results.records import CellResult
from encbench.runs.executors.worker import Worker
from encbench.runs.interface import Executor, RunOptions, Watch
from encbench.runs.limits import POLL, Interrupted, Supervision, cores
from encbench.suite.config import CellConfig

logger = logging.getLogger("encbench")


class InProcess(Executor):
    """The simplest executor: easy to debug, but a plug-in that crashes ends the whole run.

    On a CPU its records have no peak memory, since this process uses memory for much else.
    """

    name = "in process"

    def __init__(self, options: RunOptions, registry: Registry | None = None) -> None:
        super().__init__(options)
        self._registry = registry or default_registry()
        self._device = torch.device(options.device)
        self._supervision = Supervision(options.limits, lambda: held_bytes(self._device))

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        from encbench.runs.cell import run_cell  # not needed if cells run in other processes

        threads = torch.get_num_threads()
        torch.set_num_threads(self.options.threads)
        try:
            with threadpool_limits(self.options.threads):
                waiting = deque(cells)
                while (cell := self.next_cell(waiting)) is not None:
                    result = run_cell(
                        cell,
                        self._registry,
                        self.options,
                        watch=watch,
                        supervision=self._supervision,
                    )
                    if self._device.type == "cpu":
                        result.record.peak_memory_bytes = None
                    yield self.with_provenance(result)
        finally:
            torch.set_num_threads(threads)

    def interrupt(self) -> None:
        self.drain()
        self._supervision.end(Interrupted("stopped by a signal"))


class ProcessPool(Executor):
    """Worker processes, each with one cell at a time; if one dies, the others go on.

    Workers are distributed evenly over several GPUs.
    """

    name = "process pool"

    def __init__(self, options: RunOptions, jobs: int) -> None:
        super().__init__(options)
        self.jobs = jobs
        self._workers: list[Worker] = []
        self._interrupted = False

    def ready(self) -> None:
        super().ready()
        self._interrupted = False

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        waiting = deque(cells)
        # "cuda" means all GPUs
        devices = gpus() if self.options.device == "cuda" else [self.options.device]
        self._workers = [
            Worker(replace(self.options, device=devices[i % len(devices)]), watch)
            for i in range(min(self.jobs, len(cells)))
        ]
        crowded = devices[0].startswith("cuda") and len(self._workers) > len(devices)
        if crowded and not processes_share_gpus():
            logger.warning(
                "-j %d: cells take turns on a GPU, which is no faster than one at a time; start "
                "nvidia-cuda-mps-control -d first, and they run at the same time",
                len(self._workers),
            )
        try:
            for worker in self._workers:
                self._feed(worker, waiting)
            while busy := [worker for worker in self._workers if not worker.idle]:
                connection.wait([each for worker in busy for each in worker.waitable()], POLL)
                for worker in busy:
                    result = worker.poll()
                    if result is not None:
                        # before the result is written, so that the worker does not wait for it
                        self._feed(worker, waiting)
                        yield self.with_provenance(result)
        finally:
            for worker in self._workers:
                worker.close()

    def interrupt(self) -> None:
        self.drain()
        self._interrupted = True
        for worker in self._workers:
            worker.interrupt()

    def _feed(self, worker: Worker, waiting: deque[CellConfig]) -> None:
        cell = self.next_cell(waiting)
        if cell is not None:
            worker.start(cell)
            if self._interrupted:
                # the signal came between the check and the start
                worker.interrupt()


def default_jobs(device: str, threads: int) -> int:
    """One worker per GPU; on the CPU, one per ``threads`` cores."""
    if device.startswith("cuda"):
        return len(gpus()) if device == "cuda" else 1
    return max(1, cores() // threads)
