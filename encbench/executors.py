"""Where cells run: in this process, or in a pool of them. Results come back in any order."""

from __future__ import annotations

import concurrent.futures as futures
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from encbench.cell import CellResult, Event, run_cell
from encbench.config import CellConfig
from encbench.planning import cell_key
from encbench.provenance import Provenance, now
from encbench.records import ErrorInfo, Record
from encbench.registry import Registry, default_registry

__all__ = ["run_in_pool", "run_in_process"]

Watch = Callable[[Event], None]
EVENT_INTERVAL = 0.1
"""Seconds between two progress events of a worker; more would be seen by nobody."""


def run_in_process(
    cells: Sequence[CellConfig], registry: Registry, *, device: str, threads: int, watch: Watch
) -> Iterator[CellResult]:
    """One cell after another, here."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            for cell in cells:
                yield run_cell(cell, registry, device=device, threads=threads, watch=watch)
    finally:
        torch.set_num_threads(before)


def run_in_pool(
    cells: Sequence[CellConfig], *, jobs: int, device: str, threads: int, watch: Watch
) -> Iterator[CellResult]:
    """Up to ``jobs`` cells at a time, each in a worker process with ``threads`` threads.

    Workers are started afresh (spawn), so that they inherit no state, and find the plug-ins by
    themselves. A worker that dies (a crash in a plug-in, the kernel's out-of-memory killer)
    takes the others of its pool with it: the cells that were running are run again, each alone,
    and the one that kills its worker a second time is recorded as failed.
    """
    waiting = deque(cells)
    while waiting:
        running: dict[futures.Future[CellResult], CellConfig] = {}
        pool = _Pool(min(jobs, len(waiting)), device, threads, watch)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running[pool.submit(waiting[0])] = waiting[0]
                    waiting.popleft()
                done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenProcessPool:
            suspects = list(running.values())
        else:
            suspects = []
        finally:
            pool.stop()
        for cell in suspects:
            yield _run_alone(cell, device, threads, watch)


def _run_alone(cell: CellConfig, device: str, threads: int, watch: Watch) -> CellResult:
    pool = _Pool(1, device, threads, watch)
    try:
        return pool.submit(cell).result()
    except BrokenProcessPool:
        record = Record(
            key=cell_key(cell),
            status="failed",
            phase="worker",
            error=ErrorInfo(
                type="WorkerDied",
                message=f"the worker process died{pool.cause()} while running this cell",
            ),
            cell=cell,
            provenance=Provenance.collect(device, threads),
        )
        record.provenance.finished = now()
        return CellResult(record)
    finally:
        pool.stop()


class _Pool:
    """A process pool with a way back for progress events."""

    def __init__(self, workers: int, device: str, threads: int, watch: Watch) -> None:
        context = multiprocessing.get_context("spawn")
        self._device, self._threads = device, threads
        self._events: Any = context.Queue()
        self._pool = futures.ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start, initargs=(threads, self._events)
        )
        self._processes: list[Any] = []
        self._reader = threading.Thread(target=self._read, args=(watch,), daemon=True)
        self._reader.start()

    def submit(self, cell: CellConfig) -> futures.Future[CellResult]:
        future = self._pool.submit(_work, cell, self._device, self._threads)
        self._processes = list((self._pool._processes or {}).values())
        return future

    def cause(self) -> str:
        """How the worker ended, in words: `` (killed by SIGKILL)``."""
        codes = [p.exitcode for p in self._processes if p.exitcode]
        if not codes:
            return ""
        code: int = codes[0]
        if code < 0:
            return f" (killed by {signal.Signals(-code).name})"
        return f" (exit code {code})"

    def stop(self) -> None:
        """End the workers, also in the middle of a cell."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._events.put(None)
        self._reader.join(timeout=5)
        self._events.close()

    def _read(self, watch: Watch) -> None:
        while (event := self._events.get()) is not None:
            watch(event)


_events: Any = None


def _start(threads: int, events: Any) -> None:
    """Set a worker up."""
    global _events
    _events = events
    # Ctrl-C reaches the whole group; the coordinator decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose coordinator was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(cell: CellConfig, device: str, threads: int) -> CellResult:
    last = ("", 0.0)

    def watch(event: Event) -> None:
        nonlocal last
        if event.phase != last[0] or time.monotonic() - last[1] > EVENT_INTERVAL:
            last = (event.phase, time.monotonic())
            _events.put(event)

    return run_cell(cell, default_registry(), device=device, threads=threads, watch=watch)
