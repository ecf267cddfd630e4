"""Main function of a process that runs cells; imports all that a cell needs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch
from threadpoolctl import threadpool_limits

from encbench.device import held_bytes, is_usable, limit_gpu_memory
from encbench.plugins.registry import default_registry
from encbench.runs.cell import run_cell
from encbench.runs.executors.process import GROUP_SIGNALS, STOP_SIGNAL, end_process_tree
from encbench.runs.interface import Event, RunOptions
from encbench.runs.limits import Interrupted, Supervision
from encbench.suite.config import CellConfig

EVENT_INTERVAL = 0.1
"""Minimum time between two progress events of a phase [s]; a display needs no more."""
IDLE_SECONDS = 20.0
"""Time without a cell after which the process ends [s]."""


def serve(pipe: Connection, options: RunOptions, folder: str) -> None:
    """Run the cells received through the pipe, and send events and results back.

    ``folder`` is the coordinator's working directory, against which relative paths are resolved.
    """
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    # a process that a plug-in forks must not keep the pipe open when this one dies
    os.register_at_fork(after_in_child=pipe.close)
    threading.Thread(target=_end_with_coordinator, daemon=True).start()
    device = torch.device(options.device)
    supervision = Supervision(options.limits, lambda: held_bytes(device))
    signal.signal(STOP_SIGNAL, lambda *_: supervision.stop(Interrupted("stopped by a signal")))
    if Path(folder).is_dir():
        os.chdir(folder)
    torch.set_num_threads(options.threads)
    threadpool_limits(options.threads)
    if device.type == "cuda" and options.limits.memory is not None:
        limit_gpu_memory(device, options.limits.memory)
    # the pipe breaks when the coordinator has ended
    with contextlib.suppress(EOFError, OSError):
        while pipe.poll(IDLE_SECONDS):
            _run_one(pipe, pipe.recv(), options, supervision)
            if not is_usable(device):
                break  # the next cell gets a new process
    end_process_tree(psutil.Process(), itself=False)


def _run_one(
    pipe: Connection, cell: CellConfig, options: RunOptions, supervision: Supervision
) -> None:
    phase, sent = "", 0.0

    def watch(event: Event) -> None:
        nonlocal phase, sent
        if event.phase != phase or time.monotonic() - sent > EVENT_INTERVAL:
            phase, sent = event.phase, time.monotonic()
            with supervision.deferred():
                pipe.send(event)

    result = run_cell(
        cell,
        default_registry(),
        options,
        watch=watch,
        supervision=supervision,
    )
    try:
        pipe.send(result)
    except OSError:
        raise
    except Exception as error:
        # a plug-in's value cannot be pickled; nothing has been sent
        pipe.send(f"{type(error).__name__}: {error}")


def _end_with_coordinator() -> None:
    """End this process when its coordinator ends, even in the middle of a cell."""
    coordinator = multiprocessing.parent_process()
    if coordinator is not None:
        coordinator.join()
        end_process_tree(psutil.Process(), itself=False)
        os._exit(1)
