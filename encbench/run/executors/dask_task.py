"""What runs inside a Dask worker: a cell, in a process of its own."""

from __future__ import annotations

import multiprocessing
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from distributed import get_worker

from encbench.results.records import CellResult
from encbench.run.cell import Event
from encbench.run.executors.base import Terms
from encbench.run.executors.local_worker import LocalWorker
from encbench.run.limits import POLL
from encbench.suite.config import CellConfig

__all__ = ["Assignment", "Delivery", "dismiss", "inventory", "run_here", "stop_run"]

EVENT_INTERVAL = 1.0
"""Seconds between two progress events of a cell; all pass through the one scheduler."""
IDLE_SECONDS = 60.0
"""After which a process without a cell is ended."""


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs for a cell, except its data."""

    cell: CellConfig
    terms: Terms
    run: str
    """Names the run, for its progress and to stop it."""
    folder: str
    """The coordinator's working directory; taken where the worker has it, too."""


@dataclass(frozen=True)
class Delivery:
    """A result, and which attempt gave it."""

    attempt: str
    result: CellResult


_lock = threading.Lock()
_idle: list[tuple[float, Assignment, LocalWorker]] = []
_stopped: set[str] = set()


def run_here(assignment: Assignment) -> Delivery | None:
    """Run a cell in a process beside this worker's own, and wait for it.

    Dask's threads share one process, in which cells would share random numbers, memory and
    crashes. None where nobody waits for the result any more.
    """
    dask_worker: Any = get_worker()
    task = dask_worker.get_current_task()
    attempt = uuid.uuid4().hex
    where = f"{dask_worker.name} ({platform.node()})"
    sent = 0.0

    def watch(event: Event) -> None:
        nonlocal sent
        if time.monotonic() - sent > EVENT_INTERVAL:
            sent = time.monotonic()
            # not "worker": the scheduler writes its own address of it there
            said = {"attempt": attempt, "where": where, "event": asdict(event)}
            dask_worker.log_event(assignment.run, said)

    local = _take(assignment)
    local.watch = watch
    local.start(assignment.cell)
    try:
        while (result := local.poll()) is None:
            local.wait(POLL)
            if assignment.run in _stopped:
                local.interrupt()
            elif _abandoned(dask_worker, task):
                return None
    except BaseException:
        local.close()
        raise
    finally:
        _give_back(assignment, local)
    if result.record.error is not None:
        # whoever reads it must know where a path or a plug-in was missing
        result.record.error.message = f"on worker {where}: {result.record.error.message}"
    result.record.provenance.worker = where
    return Delivery(attempt, result)


def stop_run(run: str) -> None:
    """Make the cells of a run that are running here stop and give what they have."""
    _stopped.add(run)


def dismiss(run: str) -> None:
    """End the processes that a run has left here."""
    with _lock:
        ours = [entry for entry in _idle if entry[1].run == run]
        _idle[:] = [entry for entry in _idle if entry[1].run != run]
    for _, _, local in ours:
        local.close()
    _stopped.discard(run)


def inventory() -> dict[str, str]:
    """Versions that must be the coordinator's."""
    names = ("encbench", "torch", "numpy")
    found = {name: metadata.version(name) for name in names}
    return {**found, "python": ".".join(platform.python_version_tuple()[:2])}


def _take(assignment: Assignment) -> LocalWorker:
    # a nanny's worker may have no children, lest they outlive it; ours end with it by themselves
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    with _lock:
        for index, (_, earlier, local) in enumerate(_idle):
            same = (earlier.terms, earlier.folder, earlier.run)
            if same == (assignment.terms, assignment.folder, assignment.run):
                del _idle[index]
                return local
    return LocalWorker(assignment.terms, lambda event: None, assignment.folder)


def _give_back(assignment: Assignment, local: LocalWorker) -> None:
    if not local.idle:
        local.close()
    with _lock:
        _idle.append((time.monotonic(), assignment, local))
    timer = threading.Timer(IDLE_SECONDS, _end_idle)
    timer.daemon = True
    timer.start()


def _end_idle() -> None:
    with _lock:
        now = time.monotonic()
        old = [entry for entry in _idle if now - entry[0] >= IDLE_SECONDS]
        _idle[:] = [entry for entry in _idle if now - entry[0] < IDLE_SECONDS]
    for _, _, local in old:
        local.close()


def _abandoned(dask_worker: Any, task: str) -> bool:
    """Whether the coordinator has cancelled the task or is gone."""
    state = dask_worker.state.tasks.get(task)
    return state is None or state.state in ("cancelled", "released", "forgotten")
