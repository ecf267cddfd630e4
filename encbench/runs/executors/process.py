"""A process that runs cells: how it is started and ended, and what runs in it (``serve``)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.util import Finalize
from pathlib import Path

import psutil
import torch
from threadpoolctl import threadpool_limits

from encbench.device import held_bytes, is_usable, limit_gpu_memory, oom_kills
from encbench.plugins.registry import default_registry
from encbench.runs.cell import run_cell
from encbench.runs.interface import Event, RunOptions
from encbench.runs.limits import Interrupted, Supervision
from encbench.suite.config import CellConfig

STOP_SIGNAL = signal.SIGUSR1
"""Asks a process to stop its cell and send what it has."""
GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals to every process of a group, on which only the coordinator acts: Ctrl-C, SIGTERM."""
EVENT_INTERVAL = 0.1
"""Seconds between two progress events of one phase; a display shows no more."""
IDLE_SECONDS = 20.0
"""Seconds after which a process ends that gets no further cell."""
FORKS = sys.platform == "linux"
REAP_SECONDS = 5.0
"""Seconds that a killed process has to be gone."""


class WorkerProcess:
    """The process as the operating system has it."""

    def __init__(self, options: RunOptions, folder: str) -> None:
        context = _context()
        self.pipe, far_end = context.Pipe()
        # not a daemon: plug-ins may start processes, such as data loaders
        self._handle = context.Process(target=serve, args=(far_end, options, folder), daemon=False)
        self._oom_kills = oom_kills()
        with _signals_blocked():
            self._handle.start()
        # with this end closed here, the pipe ends when the process does
        far_end.close()
        self.sentinel = self._handle.sentinel
        # not by the handle, which takes a forked process for dead once its server is; psutil
        # distinguishes the process from a later one of the same number
        self._system: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._system = psutil.Process(self._handle.pid)
        # also called when this process exits, which would otherwise wait for that one
        self.kill = Finalize(self, end_process_tree, args=(self._system,), exitpriority=1)

    def died(self) -> bool:
        return bool(connection.wait([self.sentinel], 0))

    def receive(self) -> tuple[list[bytes], bool]:
        """What it has sent since the last call, and whether it has died."""
        # asked first: what a process sent before it died counts
        died = self.died()
        messages = []
        try:
            while self.pipe.poll():
                messages.append(self.pipe.recv_bytes())
        except (EOFError, OSError):
            died = True
        return messages, died

    def ask_to_stop(self) -> None:
        if self._system is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._system.send_signal(STOP_SIGNAL)

    def resident_bytes(self) -> int:
        """0 where the process is gone."""
        try:
            return int(self._system.memory_info().rss) if self._system is not None else 0
        except psutil.Error:
            return 0

    @property
    def exit_code(self) -> int | None:
        return self._handle.exitcode

    def cause(self) -> str:
        """How it ended, in words: `` (killed by SIGKILL)``."""
        code = self._handle.exitcode
        if code is None:
            return ""
        if code < 0:
            return f" (killed by {signal.Signals(-code).name})"
        return f" (exit code {code})"

    def starved(self) -> bool:
        """Whether it was killed, and the kernel killed some process for want of memory."""
        before, after = self._oom_kills, oom_kills()
        struck = before is not None and after is not None and after > before
        return self._handle.exitcode == -signal.SIGKILL and struck

    def close(self) -> None:
        # also an idle one: to let it end by itself takes seconds, for there is torch in it; and
        # one that only seems dead must not run on beside the next
        self.kill()
        self._handle.join(REAP_SECONDS)
        self.pipe.close()


def _context() -> SpawnContext | ForkServerContext:
    """How processes are started, so that they inherit nothing of this one.

    On Linux they are forked from a server that has imported libraries and run nothing, which saves
    the seconds of that import for each; elsewhere each starts afresh.
    """
    if FORKS:
        multiprocessing.set_forkserver_preload(["encbench.runs.executors.fork_server"])
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def start_ahead() -> None:
    """Have torch imported for later processes, while this one goes on with something else."""
    if FORKS:
        with _signals_blocked():
            _context()
            forkserver.ensure_running()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """While a process is started: it inherits the mask and keeps it until ``serve`` ignores them.

    Otherwise Ctrl-C, which reaches the whole group, would end it while it imports, with a
    traceback.
    """
    # first, because when it is started it unblocks them
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_process_tree(process: psutil.Process | None, *, itself: bool = True) -> None:
    """Kill a process and all that it has started, such as a plug-in's data loaders.

    Processes that those have started are killed, too, but not what a process left behind that is
    gone already: nothing tells any more whose it was.
    """
    if process is None:
        return
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        if itself:
            process.suspend()  # else it could start another before it is killed
        children = process.children(recursive=True)
    for each in [*children, process] if itself else children:
        with contextlib.suppress(psutil.Error):
            each.kill()


def serve(pipe: Connection, options: RunOptions, folder: str) -> None:
    """Run cells as they come through the pipe, and send events and results back.

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
    # the pipe breaks when the coordinator is gone
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
        # a plug-in's value that cannot be pickled; nothing of it has been sent
        pipe.send(f"{type(error).__name__}: {error}")


def _end_with_coordinator() -> None:
    """End this process when its coordinator is gone, even in the middle of a cell."""
    coordinator = multiprocessing.parent_process()
    if coordinator is not None:
        coordinator.join()
        end_process_tree(psutil.Process(), itself=False)
        os._exit(1)
