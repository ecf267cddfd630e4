"""How much time and memory a cell may use, and how it and its run are stopped.

A run is stopped by Ctrl-C and SIGTERM, a running cell from inside its process. Nothing here imports
torch: the command line reads limits before it needs it.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from pydantic import ByteSize, TypeAdapter, ValidationError

from encbench.errors import UsageError

if TYPE_CHECKING:
    from encbench.results.records import Status  # numpy, which `encbench run --help` does without

GRACE = 10.0
"""Seconds that a cell has to stop when asked to, before its process is killed."""
POLL = 0.1
"""Seconds between two looks at the clock and the memory of a running cell."""
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class CellStopped(BaseException):
    """Raised inside a running cell to stop it.

    Not an Exception, so that a plug-in that catches those does not keep the cell going.
    """

    status: Status
    """Of the cell that was stopped."""


class CellTimedOut(CellStopped):
    """The cell ran longer than it may."""

    status = "timeout"


class MemoryExceeded(CellStopped):
    """The cell's process holds more memory than it may."""

    status = "out_of_memory"


class Interrupted(CellStopped):
    """A person or the system stopped the run."""

    status = "interrupted"


@dataclass(frozen=True)
class Limits:
    """What one cell may use; None is no limit."""

    seconds: float | None = None
    """Wall clock, from the cell's first phase to its last."""
    memory: int | None = None
    """Bytes: resident memory of the cell's process, Python and torch (some 300 MiB) included;
    on a GPU, memory of its tensors there."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"the timeout of a cell must be above 0 s, got {self.seconds:g}")
        if self.memory is not None and self.memory < 1 << 20:
            raise UsageError(
                f"the memory of a cell must be at least 1 MiB, got {self.memory} bytes; "
                "write 4GB or 2GiB"
            )

    @property
    def any(self) -> bool:
        return self.seconds is not None or self.memory is not None

    def exceeded(self, seconds: float, held: int) -> CellStopped | None:
        """The exception for the limit that a cell has passed, or None; ``held`` is in bytes."""
        if self.seconds is not None and seconds > self.seconds:
            return CellTimedOut(f"ran past its limit of {self.seconds:g} s")
        if self.memory is not None and held > self.memory:
            return MemoryExceeded(
                f"held {held / 2**20:.0f} MiB of memory, more than its limit of "
                f"{self.memory / 2**20:.0f} MiB"
            )
        return None


def parse_seconds(text: str) -> float:
    """ "90", "90s", "10m", "1.5h" or "2d" in seconds.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d|)\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write 90, 90s, 10m, 1.5h or 2d")
    return float(match[1]) * UNITS[match[2]]


def parse_memory(text: str) -> int:
    """ "4GB", "2GiB" or "500MB" in bytes.

    Raises:
        UsageError: it is not a size.
    """
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UsageError(f"{text!r} is not a memory size; write 4GB, 2GiB or 500MB") from None


def cores() -> int:
    """Processor cores that this process may use, by its affinity and its cgroup's CPU quota."""
    # takes 0.4 s, which worker processes and `encbench run --help` do without
    import joblib

    return int(joblib.cpu_count())


class RunStopped(KeyboardInterrupt):
    """A run ended before all its cells had run, because a signal asked for it.

    Every cell that had begun has its record by then, unless the signal came twice.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class StoppedAtOnce(KeyboardInterrupt):
    """Ctrl-C came a second time."""


class Stopping:
    """What signals have asked for."""

    number: int | None = None
    """The first signal that came."""


def by_a_person(error: BaseException) -> bool:
    """Whether an exception is somebody's Ctrl-C; plug-ins raise KeyboardInterrupt, too."""
    python_s_own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, StoppedAtOnce) or (
        isinstance(error, KeyboardInterrupt) and python_s_own
    )


@contextmanager
def orderly_stop(stop: Callable[[], None]) -> Iterator[Stopping]:
    """Inside, the first Ctrl-C calls ``stop`` and the second raises StoppedAtOnce.

    SIGTERM calls ``stop`` too, but never raises: what sends it may send it several times. Outside
    the main thread, where Python has no signal handlers, nothing changes.
    """
    state = Stopping()

    def handle(number: int, frame: FrameType | None) -> None:
        if state.number is None:
            state.number = number
            stop()
        elif number == signal.SIGINT:
            raise StoppedAtOnce

    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    previous = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Supervision:
    """Stops a running cell by raising an exception in it, wherever it is.

    Python raises it between two bytecodes of the main thread, so a cell inside one long call into
    C stops when that call returns. To stop it sooner its process must be killed.
    """

    def __init__(self, limits: Limits | None = None, held: Callable[[], int] = lambda: 0) -> None:
        """
        Args:
            limits: what the cell may use; default: no limits.
            held: bytes that count towards the limit of memory, now.
        """
        self.limits = limits or Limits()
        self._held = held
        self._running = False
        self._ended: CellStopped | None = None
        self._raised: CellStopped | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, a cell runs: it can be stopped, and is when it passes a limit.

        A stop may come in the middle of an import or of a callback from C, where Python or a
        library makes an ImportError or a SystemError of it; the stop itself is raised then. So it
        is at the end where something has caught it: what was computed since may lack a part.
        """
        self._running, self._raised = True, self._ended
        try:
            if self._ended is not None:
                raise self._ended
            if threading.current_thread() is not threading.main_thread():
                yield
            else:
                with self._raising_on_signal():
                    yield
            if self._raised is not None:
                raise self._raised
        except (Exception, SystemExit) as error:
            if self._raised is None:
                raise
            raise self._raised from error
        finally:
            self._running, self._raised = False, None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, nothing is raised: what stopped half way would do harm, such as a message.

        Whoever calls ``stop`` calls it again until the cell has ended.
        """
        running, self._running = self._running, False
        try:
            yield
        finally:
            self._running = running

    def stop(self, reason: CellStopped) -> None:
        """Raise ``reason`` in the running cell; do nothing where none runs.

        To be called from a signal handler only, which Python runs in the main thread.
        """
        if self._running:
            self._running, self._raised = False, reason
            raise reason

    def end(self, reason: CellStopped) -> None:
        """``stop`` this cell, or the one that is about to begin, and every later one."""
        self._ended = reason
        self.stop(reason)

    @contextmanager
    def _raising_on_signal(self) -> Iterator[None]:
        """Inside, SIGUSR2 raises the reason to stop that there is.

        A thread that looks at clock and memory sends it. So does a timer, where Python ignored what
        was raised: in ``__del__`` and in callbacks of weak references, of which every import has
        one, it hands that to ``sys.unraisablehook``.
        """
        main, before, started = threading.get_ident(), sys.unraisablehook, time.monotonic()
        reasons: list[CellStopped] = []
        over = threading.Event()
        timers: list[threading.Timer] = []

        def watch() -> None:
            while not over.wait(POLL):
                if not reasons:
                    reason = self.limits.exceeded(time.monotonic() - started, self._held())
                    if reason is None:
                        continue
                    reasons.append(reason)
                # again and again: the first may come while the cell is ``deferred``
                signal.pthread_kill(main, signal.SIGUSR2)

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if self._raised is None or unraisable.exc_value is not self._raised:
                before(unraisable)
                return
            self._running = True
            timers.append(threading.Timer(POLL, signal.pthread_kill, (main, signal.SIGUSR2)))
            timers[-1].start()

        def handle(number: int, frame: FrameType | None) -> None:
            reason = self._raised or next(iter(reasons), None)
            if reason is not None:
                self.stop(reason)

        watching = threading.Thread(target=watch, daemon=True)
        previous = signal.signal(signal.SIGUSR2, handle)
        sys.unraisablehook = hook
        if self.limits.any:
            watching.start()
        try:
            yield
        finally:
            self._running = False
            sys.unraisablehook = before
            # a signal that came later would end the process
            over.set()
            if self.limits.any:
                watching.join()
            for timer in timers:
                timer.cancel()
                timer.join()
            signal.signal(signal.SIGUSR2, previous)
