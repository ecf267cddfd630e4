"""A process that runs cells, and the way to it."""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import psutil

from encbench.results.records import CellResult
from encbench.run.executors import worker
from encbench.run.executors.base import Terms, Watch
from encbench.run.executors.family import end_family
from encbench.run.limits import oom_kills
from encbench.suite.config import CellConfig

__all__ = ["WorkerProcess"]


def _context(isolate: bool) -> BaseContext:
    """How processes are started: afresh (spawn), so that they inherit nothing of this one.

    Where every cell has its own, they are forked from a server that has imported torch and run
    nothing, which saves the seconds of that import for each.
    """
    if isolate and sys.platform == "linux":
        multiprocessing.set_forkserver_preload(["encbench.run.executors.preload"])
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("spawn")


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """While a process is started: it has the mask from birth until ``prepare`` ignores them.

    Else Ctrl-C, which reaches the whole group, would end it while it imports, with a traceback.
    """
    # once started, which sets the mask back
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, worker.COORDINATORS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerProcess:
    """A process, and the way to it."""

    def __init__(self, terms: Terms, folder: str, saw: Watch) -> None:
        context = _context(terms.isolate)
        self._events, self._far_end = context.Pipe(duplex=False)
        self._pool = futures.ProcessPoolExecutor(
            1,
            mp_context=context,
            initializer=worker.prepare,
            initargs=(terms, self._far_end, folder),
        )
        self._oom_kills = oom_kills()
        self._reader = threading.Thread(target=_read, args=(self._events, saw), daemon=True)
        self._handle: BaseProcess | None = None
        self._system: psutil.Process | None = None
        self.future: futures.Future[CellResult]

    @property
    def pid(self) -> int | None:
        return self._handle.pid if self._handle is not None else None

    def submit(self, cell: CellConfig) -> None:
        try:
            with _signals_held():
                self.future = self._pool.submit(worker.work, cell)
        except BrokenProcessPool as error:
            # it died while it was idle
            self.future = futures.Future()
            self.future.set_exception(error)
            return
        if self._handle is None:
            # the executor has no public way to its one process, which must be killed by number
            self._handle = next(iter(self._pool._processes.values()))
            with contextlib.suppress(psutil.NoSuchProcess):
                self._system = psutil.Process(self._handle.pid)
            # with this end closed here, the reader sees the process's end
            self._far_end.close()
            # and the pool the end of a result that the process died in the middle of
            self._pool._result_queue._writer.close()  # type: ignore[attr-defined] # no public way
            self._reader.start()

    def tell(self) -> None:
        if self._system is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._system.send_signal(worker.STOP_SIGNAL)

    def kill(self) -> None:
        # not by the handle, which takes a forked process for dead once its server is; psutil
        # knows one from a later process of its number
        if self._system is not None:
            end_family(self._system)

    def cause(self) -> str:
        """How it ended, in words: `` (killed by SIGKILL)``."""
        if self._handle is None:
            return ""
        self._handle.join(timeout=5)
        code = self._handle.exitcode
        if code is None:
            return ""
        if code < 0:
            return f" (killed by {signal.Signals(-code).name})"
        return f" (exit code {code})"

    def starved(self) -> bool:
        """Whether the kernel killed some process for want of memory while this one lived."""
        before, after = self._oom_kills, oom_kills()
        code = self._handle.exitcode if self._handle is not None else None
        struck = before is not None and after is not None and after > before
        return code == -signal.SIGKILL and struck

    def close(self) -> None:
        # also an idle one: to let it end by itself takes seconds, for there is torch in it; and
        # one that only seems dead must not run on beside the next
        self.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._reader.is_alive():
            self._reader.join(timeout=5)
        self._events.close()


def _read(events: Connection, saw: Watch) -> None:
    while True:
        try:
            event = events.recv()
        # TypeError: closed while it was read, for a process that a plug-in started holds the end
        except (EOFError, OSError, TypeError):
            return
        saw(event)
