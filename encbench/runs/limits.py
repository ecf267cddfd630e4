"""Limits of a cell's time and memory, and how cells and runs are stopped.

Ctrl-C and SIGTERM stop a run; a running cell is stopped from inside its process. Nothing here
imports torch: the command line parses limits before it needs torch.
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
    from encbench.results.records import Status  # needs numpy, `encbench run --help` does not

GRACE = 10.0
"""Time that a cell has to stop when asked to, before its process is killed [s]."""
POLL = 0.1
"""Interval at which time and memory of a running cell are checked [s]."""
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class CellStopped(BaseException):
    """Raised inside a running cell to stop it.

    Not an Exception, so that a plug-in that catches those cannot prevent it.
    """

    status: Status
    """Status of the stopped cell."""


class CellTimedOut(CellStopped):
    """The cell exceeded its time limit."""

    status = "timeout"


class MemoryExceeded(CellStopped):
    """The cell's process exceeded its memory limit."""

    status = "out_of_memory"


class Interrupted(CellStopped):
    """The user or the system stopped the run."""

    status = "interrupted"


@dataclass(frozen=True)
class Limits:
    """Limits of one cell; None means no limit."""

    seconds: float | None = None
    """Wall-clock time from the cell's first phase to its last [s]."""
    memory: int | None = None
    """Resident memory of the cell's process, including Python and torch (some 300 MiB); on a GPU,
    memory of its tensors there [bytes]."""

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
        """The exception for the limit that a cell exceeded, or None; ``held`` is in bytes."""
        if self.seconds is not None and seconds > self.seconds:
            return CellTimedOut(f"ran past its limit of {self.seconds:g} s")
        if self.memory is not None and held > self.memory:
            return MemoryExceeded(
                f"held {held / 2**20:.0f} MiB of memory, more than its limit of "
                f"{self.memory / 2**20:.0f} MiB"
            )
        return None


def parse_seconds(text: str) -> float:
    """Convert "90", "90s", "10m", "1.5h" or "2d" to seconds.

    Raises:
        UsageError: the text is not a duration.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d|)\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write 90, 90s, 10m, 1.5h or 2d")
    return float(match[1]) * UNITS[match[2]]


def parse_memory(text: str) -> int:
    """Convert "4GB", "2GiB" or "500MB" to bytes.

    Raises:
        UsageError: the text is not a size.
    """
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UsageError(f"{text!r} is not a memory size; write 4GB, 2GiB or 500MB") from None


def cores() -> int:
    """Number of cores that this process may use, by its affinity and its cgroup's CPU quota."""
    # takes 0.4 s, and worker processes and `encbench run --help` do not need it
    import joblib

    return int(joblib.cpu_count())


class RunStopped(KeyboardInterrupt):
    """A signal ended a run before all its cells had run.

    Every cell that had begun has its record, unless the signal came twice.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class StoppedAtOnce(KeyboardInterrupt):
    """The user pressed Ctrl-C a second time."""


class Stopping:
    """State of an orderly stop."""

    number: int | None = None
    """Number of the first signal received; None if there was none."""


def by_a_person(error: BaseException) -> bool:
    """Whether an exception is the user's Ctrl-C; plug-ins can raise KeyboardInterrupt, too."""
    python_s_own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, StoppedAtOnce) or (
        isinstance(error, KeyboardInterrupt) and python_s_own
    )


@contextmanager
def orderly_stop(stop: Callable[[], None]) -> Iterator[Stopping]:
    """In the block, the first Ctrl-C calls ``stop`` and the second raises StoppedAtOnce.

    SIGTERM also calls ``stop``, but never raises, since its sender may repeat it. Outside the main
    thread, which alone can have signal handlers in Python, this has no effect.
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
    """Stops a running cell by raising an exception at any point of its code.

    Python raises it between two bytecodes of the main thread, so a cell inside a long call into C
    stops when that call returns. To stop it sooner, its process must be killed.
    """

    def __init__(self, limits: Limits | None = None, held: Callable[[], int] = lambda: 0) -> None:
        """
        Args:
            limits: limits of the cell; default: none.
            held: returns the current memory that counts towards the limit [bytes].
        """
        self.limits = limits or Limits()
        self._held = held
        self._running = False
        self._ended: CellStopped | None = None
        self._raised: CellStopped | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """The block runs a cell, which can be stopped, and is stopped when it exceeds a limit.

        During an import or a callback from C, Python or a library may convert the exception to an
        ImportError or a SystemError; the original is then raised. If the cell's code caught it, or
        a library's C code dropped it, ``check`` raises it again, at the latest at the end, since
        results computed after it may be incomplete.
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
            self.check()
        except (Exception, SystemExit) as error:
            if self._raised is None:
                raise
            raise self._raised from error
        finally:
            self._running, self._raised = False, None

    def check(self) -> None:
        """Raise the reason to stop if it was raised before and the cell goes on nevertheless."""
        if self._raised is not None:
            self._running = False
            raise self._raised

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In the block nothing is raised, for code that must not stop halfway, as in sending.

        Callers of ``stop`` call it again until the cell has ended.
        """
        running, self._running = self._running, False
        try:
            yield
        finally:
            self._running = running

    def stop(self, reason: CellStopped) -> None:
        """Raise ``reason`` in the running cell, if any.

        Must be called from a signal handler, which Python runs in the main thread.
        """
        if self._running:
            self._running, self._raised = False, reason
            raise reason

    def end(self, reason: CellStopped) -> None:
        """``stop`` this cell, or the next one to begin, and all later ones."""
        self._ended = reason
        self.stop(reason)

    @contextmanager
    def _raising_on_signal(self) -> Iterator[None]:
        """In the block, SIGUSR2 raises the reason to stop, if there is one.

        A thread that checks time and memory sends the signal. So does a timer if Python ignored
        the exception: in ``__del__`` and in callbacks of weak references, which every import uses,
        Python passes it to ``sys.unraisablehook`` instead of raising it.
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
                # repeatedly: the first may come while the cell is ``deferred``
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
            # a signal after the handler is restored would end the process
            over.set()
            if self.limits.any:
                watching.join()
            for timer in timers:
                timer.cancel()
                timer.join()
            signal.signal(signal.SIGUSR2, previous)
