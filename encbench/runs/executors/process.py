"""Start and end a process that runs cells.

The process that starts it need not import torch: on a cluster it is that of a Dask worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pkgutil
import re
import signal
import sys
from collections.abc import Iterator
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import psutil

from encbench.runs.interface import RunOptions

STOP_SIGNAL = signal.SIGUSR1
"""Asks a process to stop its cell and send what it has."""
GROUP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that reach all processes of a group, but on which only the coordinator acts."""
FORKS = sys.platform == "linux"
REAP_SECONDS = 5.0
"""Maximum time to wait for a killed process to end [s]."""


class WorkerProcess:
    """One operating system process that runs cells, and the pipe to it."""

    def __init__(self, options: RunOptions, folder: str) -> None:
        context = _context()
        self.pipe, far_end = context.Pipe()
        # not a daemon: plug-ins may start processes, such as data loaders
        self._handle = context.Process(target=_serve, args=(far_end, options, folder), daemon=False)
        self._oom_kills = oom_kills()
        with _signals_blocked():
            self._handle.start()
        # with the far end closed here, the pipe closes when the process ends
        far_end.close()
        self.sentinel = self._handle.sentinel
        # not the handle, which reports a forked process as dead once its server is; psutil
        # distinguishes the process from a later one with the same ID
        self._system: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._system = psutil.Process(self._handle.pid)
        # also called when this process exits, which would otherwise wait for the other
        self.kill = Finalize(self, end_process_tree, args=(self._system,), exitpriority=1)

    def died(self) -> bool:
        return bool(connection.wait([self.sentinel], 0))

    def receive(self) -> tuple[list[bytes], bool]:
        """Messages that it sent since the last call, and whether it has died."""
        # checked first, so that messages sent before its death are read
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
        """Resident memory of the process [bytes]; 0 if it has ended."""
        try:
            return int(self._system.memory_info().rss) if self._system is not None else 0
        except psutil.Error:
            return 0

    @property
    def exit_code(self) -> int | None:
        return self._handle.exitcode

    def cause(self) -> str:
        """Text that says how it ended: `` (killed by SIGKILL)``; empty if it has not."""
        code = self._handle.exitcode
        if code is None:
            return ""
        if code < 0:
            return f" (killed by {signal.Signals(-code).name})"
        return f" (exit code {code})"

    def starved(self) -> bool:
        """Whether it was killed while the kernel killed some process for lack of memory."""
        before, after = self._oom_kills, oom_kills()
        struck = before is not None and after is not None and after > before
        return self._handle.exitcode == -signal.SIGKILL and struck

    def close(self) -> None:
        # kill even an idle one: with torch, it takes seconds to end by itself; and a process that
        # only seems dead must not go on beside the next
        self.kill()
        self._handle.join(REAP_SECONDS)
        self.pipe.close()


def _context() -> SpawnContext | ForkServerContext:
    """Context for starting processes that inherit nothing from this one.

    On Linux they are forked from a server that has imported the libraries but run nothing, which
    saves the seconds of importing in each; elsewhere each is a new interpreter.
    """
    if FORKS:
        multiprocessing.set_forkserver_preload(["encbench.runs.executors.fork_server"])
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


def start_ahead() -> None:
    """Start importing torch for later processes in the background."""
    if FORKS:
        with _signals_blocked():
            _context()
            forkserver.ensure_running()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block ``GROUP_SIGNALS`` while starting a process, which keeps the mask until ``serve``.

    Otherwise Ctrl-C, which reaches the whole group, would end it during its imports, with a
    traceback.
    """
    # first, because starting the tracker unblocks the signals
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def oom_kills() -> int | None:
    """Number of processes killed by the kernel for lack of memory since boot; None if unknown."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def end_process_tree(process: psutil.Process | None, *, itself: bool = True) -> None:
    """Kill a process and all its descendants, such as a plug-in's data loaders.

    Children of a descendant that has already ended are not killed, since their parent is no longer
    known. With ``itself`` False, only the descendants are killed.
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


def _serve(*arguments: Any) -> None:
    # by name, so that the process that starts others does not import torch
    pkgutil.resolve_name("encbench.runs.executors.serve:serve")(*arguments)
