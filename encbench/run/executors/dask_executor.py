"""Cells as tasks of a Dask scheduler."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker

from encbench.errors import ClusterError
from encbench.results.records import CellResult
from encbench.run.cell import Event
from encbench.run.executors.base import Executor, Terms, Watch, unfinished
from encbench.run.executors.dask_task import Assignment, Delivery, dismiss, run_here, stop_run
from encbench.run.limits import GRACE
from encbench.suite.config import CellConfig, cell_key

__all__ = ["Dask"]

POLL = 0.2
"""Seconds after which signals are looked at, whether or not a result has come."""


class Dask(Executor):
    """Every cell a task of the scheduler; results come back to this process, which writes them.

    When a worker is lost with a cell, the scheduler gives the cell to another, as often as its
    setting ``distributed.scheduler.allowed-failures`` says, and the record names the lost ones.
    """

    name = "dask"

    def __init__(self, client: Client, terms: Terms) -> None:
        super().__init__(terms)
        self._client = client
        self.ready()

    def ready(self) -> None:
        super().ready()
        self._run = f"encbench-{uuid.uuid4().hex[:12]}"
        self._interrupted = False
        self._began: dict[str, dict[str, str]] = {}
        """By cell: attempts that were seen to begin, with their workers, in order."""
        self._phases: dict[str, str] = {}

    def interrupt(self) -> None:
        # no word to the cluster from a signal handler: the loop in run sees it
        self._interrupted = True
        self.drain()

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        by_key = {cell_key(cell): cell for cell in cells}
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client.subscribe_topic(self._run, lambda said: self._saw(said, watch))
        waiting = self._submit(by_key, ended)
        told: float | None = None
        try:
            while waiting:
                try:
                    key = ended.get(timeout=POLL)
                except queue.Empty:
                    self._check_connection()
                else:
                    future = waiting.pop(key, None)
                    if future is not None:
                        yield self._result(by_key[key], future)
                if self.draining:
                    for key in [key for key in waiting if key not in self._began]:
                        waiting.pop(key).cancel()
                if self._interrupted and told is None:
                    told = time.monotonic()
                    self._tell_workers(stop_run)
                if told is not None and time.monotonic() - told > 2 * GRACE:
                    for key in list(waiting):
                        waiting.pop(key).cancel()
                        yield self._unheard_of(by_key[key])
        finally:
            self._leave(waiting)

    def _submit(
        self, cells: dict[str, CellConfig], ended: queue.SimpleQueue[str]
    ) -> dict[str, Future]:
        folder = str(Path.cwd())
        resources = {"GPU": 1} if self.terms.device == "cuda" else None
        futures = {}
        for key, cell in cells.items():
            future = self._client.submit(
                run_here,
                Assignment(cell, self.terms, self._run, folder),
                key=f"{self._run}-{key}",
                pure=False,
                resources=resources,
            )
            future.add_done_callback(lambda _, key=key: ended.put(key))
            futures[key] = future
        return futures

    def _result(self, cell: CellConfig, future: Future) -> CellResult:
        key = cell_key(cell)
        began = self._began.get(key, {})
        try:
            delivery: Delivery | None = future.result()
        except KilledWorker as error:
            message = (
                f"the cluster lost {error.allowed_failures + 1} workers that ran this cell, "
                "and its scheduler gave it up"
            )
            result = self._unfinished(cell, "failed", "WorkersLost", message)
            result.record.lost_workers = list(began.values())
            return self.noted(result)
        except Exception as error:
            self._check_connection()
            message = f"the cluster could not run it: {type(error).__name__}: {error}"
            return self.noted(self._unfinished(cell, "failed", type(error).__name__, message))
        finally:
            future.release()
        if delivery is None:
            message = "its worker was told that nobody waits for it"
            return self.noted(self._unfinished(cell, "interrupted", "Interrupted", message))
        result = delivery.result
        lost = [
            f"{worker}: lost while it ran this cell"
            for attempt, worker in began.items()
            if attempt != delivery.attempt
        ]
        result.record.lost_workers = [*lost, *result.record.lost_workers]
        return self.noted(result)

    def _unheard_of(self, cell: CellConfig) -> CellResult:
        message = "stopped by a signal, and did not end when told to"
        return self.noted(self._unfinished(cell, "interrupted", "Interrupted", message))

    def _unfinished(self, cell: CellConfig, status: Any, kind: str, message: str) -> CellResult:
        phase = self._phases.get(cell_key(cell), "")
        return unfinished(cell, status, kind, message, terms=self.terms, phase=phase)

    def _saw(self, said: tuple[float, dict[str, Any]], watch: Watch) -> None:
        _, content = said
        event = Event(**content["event"])
        self._began.setdefault(event.key, {})[content["attempt"]] = content["where"]
        self._phases[event.key] = event.phase
        watch(event)

    def _tell_workers(self, what: Callable[[str], None]) -> threading.Thread:
        """Call a function with the run's name on all workers, without waiting for a frozen one."""

        def tell() -> None:
            with suppress(Exception):  # a worker may go meanwhile
                self._client.run(what, self._run, on_error="ignore")

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        return thread

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise ClusterError(
                "the Dask scheduler is gone; what had finished is recorded, and the same command "
                "goes on from there once the cluster is back"
            )

    def _leave(self, waiting: dict[str, Future]) -> None:
        """Leave nothing on the cluster."""
        if self._client.status != "running":
            return
        with suppress(Exception):  # it may go at this moment
            self._client.unsubscribe_topic(self._run)
            if waiting:
                self._client.cancel(list(waiting.values()))
            self._tell_workers(dismiss).join(timeout=GRACE)
