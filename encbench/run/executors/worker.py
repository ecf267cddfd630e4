"""What runs inside a worker process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from encbench.plugins.registry import default_registry
from encbench.results.records import CellResult
from encbench.run.cell import Event, run_cell
from encbench.run.executors.base import Terms, this_process
from encbench.run.executors.family import end_children
from encbench.run.limits import Interrupted, Supervision
from encbench.run.memory import held_bytes, limit_gpu_memory
from encbench.suite.config import CellConfig

__all__ = ["STOP_SIGNAL", "prepare", "work"]

STOP_SIGNAL = signal.SIGUSR1
"""Tells a worker to stop its cell and give what it has."""
COORDINATORS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C and a service's stop reach every process of a group; the coordinator decides."""
EVENT_INTERVAL = 0.1
"""Seconds between two progress events of a phase; more would be seen by nobody."""

_state: dict[str, Any] = {}


def prepare(terms: Terms, events: Connection, folder: str) -> None:
    """Set the process up, once.

    Args:
        terms: what its cells run under.
        events: where progress goes.
        folder: the coordinator's working directory, in which relative paths are meant.
    """
    for number in COORDINATORS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, COORDINATORS)
    device = torch.device(terms.device)
    supervision = Supervision(terms.limits, lambda: held_bytes(device))
    signal.signal(STOP_SIGNAL, lambda *_: supervision.stop(Interrupted("stopped by a signal")))
    if Path(folder).is_dir():
        os.chdir(folder)
    torch.set_num_threads(terms.threads)
    threadpool_limits(terms.threads)
    if device.type == "cuda" and terms.limits.memory is not None:
        limit_gpu_memory(device, terms.limits.memory)
    _state.update(terms=terms, events=events, supervision=supervision)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def work(cell: CellConfig) -> CellResult:
    """Run a cell in a process that was prepared."""
    terms: Terms = _state["terms"]
    events: Connection = _state["events"]
    phase, sent = "", 0.0

    def watch(event: Event) -> None:
        nonlocal phase, sent
        if event.phase != phase or time.monotonic() - sent > EVENT_INTERVAL:
            phase, sent = event.phase, time.monotonic()
            events.send(event)

    result = run_cell(
        cell,
        default_registry(),
        device=terms.device,
        threads=terms.threads,
        watch=watch,
        supervision=_state["supervision"],
    )
    result.record.provenance.worker = this_process()
    return result


def _end_with_parent() -> None:
    """A worker whose coordinator was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        end_children()
        os._exit(1)
