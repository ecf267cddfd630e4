"""Several cells at a time, each in a process of this machine."""

from __future__ import annotations

import concurrent.futures as futures
import os
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace

import torch

from encbench.results.records import CellResult
from encbench.run.executors.base import Executor, Terms, Watch
from encbench.run.executors.local_worker import LocalWorker
from encbench.run.limits import POLL
from encbench.suite.config import CellConfig

__all__ = ["ProcessPool", "default_jobs"]


class ProcessPool(Executor):
    """Worker processes, each with one cell at a time; one that dies costs no other its cell.

    On several GPUs the workers take turns at them.
    """

    name = "process pool"

    def __init__(self, terms: Terms, jobs: int) -> None:
        super().__init__(terms)
        self.jobs = jobs
        self._workers: list[LocalWorker] = []
        self._interrupted = False

    def ready(self) -> None:
        super().ready()
        self._interrupted = False

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        waiting = deque(cells)
        devices = devices_of(self.terms.device)
        self._workers = [
            LocalWorker(replace(self.terms, device=devices[i % len(devices)]), watch)
            for i in range(min(self.jobs, len(cells)))
        ]
        try:
            for worker in self._workers:
                self._feed(worker, waiting)
            while busy := [worker for worker in self._workers if not worker.idle]:
                futures.wait(
                    [worker.future for worker in busy],
                    timeout=POLL,
                    return_when=futures.FIRST_COMPLETED,
                )
                for worker in busy:
                    result = worker.poll()
                    if result is not None:
                        # before the result is written, so that the worker need not wait for that
                        self._feed(worker, waiting)
                        yield self.noted(result)
        finally:
            for worker in self._workers:
                worker.close()

    def interrupt(self) -> None:
        self.drain()
        self._interrupted = True
        for worker in self._workers:
            worker.interrupt()

    def _feed(self, worker: LocalWorker, waiting: deque[CellConfig]) -> None:
        if waiting and not self.draining:
            worker.start(waiting.popleft())
            if self._interrupted:
                # the signal came between the look and the start
                worker.interrupt()


def devices_of(device: str) -> list[str]:
    """ "cuda" is all GPUs there are; anything else is itself."""
    if device == "cuda":
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda"]
    return [device]


def default_jobs(device: str, threads: int) -> int:
    """One worker a GPU; on the CPU as many as have cores for their threads."""
    if device.startswith("cuda"):
        return len(devices_of(device))
    return max(1, cores() // threads)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
