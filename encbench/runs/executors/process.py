"""A process that runs cells: how it is started and ended.

What starts one imports no torch: on a cluster that is the process of a Dask worker.
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
"""Signals to every process of a group, on which only the coordinator acts: Ctrl-C, SIGTERM."""
FORKS = sys.platform == "linux"
REAP_SECONDS = 5.0
"""Seconds that a killed process has to be gone."""


class WorkerProcess:
    """The process as the operating system has it."""

    def __init__(self, options: RunOptions, folder: str) -> None:
        context = _context()
        self.pipe, far_end = context.Pipe()
        # not a daemon: plug-ins may start processes, such as data loaders
        self._handle = context.Process(target=_serve, args=(far_end, options, folder), daemon=False)
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


def oom_kills() -> int | None:
    """Processes that the kernel's out-of-memory killer has ended since boot; None if unknown."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


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


def _serve(*arguments: Any) -> None:
    # by name, so that what starts processes imports no torch
    pkgutil.resolve_name("encbench.runs.executors.serve:serve")(*arguments)
