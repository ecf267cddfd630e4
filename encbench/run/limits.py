"""What a cell may use, and how a running one is stopped: by its limits, or by a person."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import ByteSize, TypeAdapter, ValidationError

from encbench.errors import UsageError

__all__ = [
    "CellStopped",
    "CellTimedOut",
    "Interrupted",
    "Limits",
    "MemoryExceeded",
    "Supervision",
    "exceeded",
    "oom_kills",
    "parse_memory",
    "parse_seconds",
    "resident_bytes",
]

GRACE = 10.0
"""Seconds that a cell has to stop when told to, before its process is killed."""
POLL = 0.1
"""Seconds between two looks at the clock and the memory of a running cell."""
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class CellStopped(BaseException):
    """A running cell was told to stop.

    No Exception, so that a plug-in that catches those does not keep the cell going.
    """


class CellTimedOut(CellStopped):
    """The cell's time is up."""


class MemoryExceeded(CellStopped):
    """The cell's process holds more memory than it may."""


class Interrupted(CellStopped):
    """A person or the system stopped the run."""


@dataclass(frozen=True)
class Limits:
    """What one cell may use; None is no limit."""

    seconds: float | None = None
    """Wall clock, from the cell's first phase to its last."""
    memory: int | None = None
    """Bytes: resident memory of the cell's process, Python and torch (some 300 MiB) included;
    on a GPU what its tensors take there."""

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


def parse_seconds(text: str) -> float:
    """ "90", "90s", "10m", "1.5h" or "2d" in seconds.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|m|min|h|d|)\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is no length of time; write 90, 90s, 10m, 1.5h or 2d")
    return float(match[1]) * UNITS[match[2]]


def parse_memory(text: str) -> int:
    """ "4GB", "2GiB" or "500MB" in bytes.

    Raises:
        UsageError: it is no such size.
    """
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UsageError(f"{text!r} is no size of memory; write 4GB, 2GiB or 500MB") from None


def resident_bytes(pid: int | None = None) -> int:
    """Resident memory of a process, this one unless told; 0 where there is none of that number."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


class Supervision:
    """Makes a running cell stop: an exception is raised in it, wherever it is.

    Python raises it between two bytecodes of the main thread, so that a cell inside one long
    call into C stops when that call returns; whoever must not wait kills the process.
    """

    def __init__(
        self, limits: Limits | None = None, held: Callable[[], int] = resident_bytes
    ) -> None:
        """
        Args:
            limits: what the cell may use; none unless given.
            held: bytes of memory that count.
        """
        self.limits = limits or Limits()
        self._held = held
        self._running = False
        self._ended: CellStopped | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a cell runs inside, it can be stopped, and its limits hold."""
        self._running = True
        try:
            if self._ended is not None:
                raise self._ended
            if self.limits.any and threading.current_thread() is threading.main_thread():
                with self._watched():
                    yield
            else:
                yield
        finally:
            self._running = False

    def stop(self, reason: CellStopped) -> None:
        """Raise ``reason`` in the running cell; nothing where none runs.

        Only from a signal handler, which Python calls in the main thread.
        """
        if self._running:
            self._running = False
            raise reason

    def end(self, reason: CellStopped) -> None:
        """``stop``, also for a cell that is about to begin, and every later one."""
        self._ended = reason
        self.stop(reason)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Look at clock and memory from a thread, which wakes the main one by a signal."""
        reasons: list[CellStopped] = []
        over = threading.Event()

        def handle(number: int, frame: Any) -> None:
            if reasons:
                self.stop(reasons[0])

        previous = signal.signal(signal.SIGUSR2, handle)
        thread = threading.Thread(
            target=_watch, args=(self.limits, self._held, reasons, over), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            signal.signal(signal.SIGUSR2, previous)


def _watch(
    limits: Limits,
    held: Callable[[], int],
    reasons: list[CellStopped],
    over: threading.Event,
) -> None:
    main = threading.main_thread().ident
    assert main is not None, "the main thread runs the cell"
    started = time.monotonic()
    while not over.wait(POLL):
        reason = exceeded(limits, time.monotonic() - started, held)
        if reason is not None:
            reasons.append(reason)
            signal.pthread_kill(main, signal.SIGUSR2)
            return


def exceeded(limits: Limits, seconds: float, held: Callable[[], int]) -> CellStopped | None:
    """Which limit a cell has passed, or None."""
    if limits.seconds is not None and seconds > limits.seconds:
        return CellTimedOut(f"ran past its limit of {limits.seconds:g} s")
    if limits.memory is not None and (size := held()) > limits.memory:
        return MemoryExceeded(
            f"held {size / 2**20:.0f} MiB of memory, more than its limit of "
            f"{limits.memory / 2**20:.0f} MiB"
        )
    return None


def oom_kills() -> int | None:
    """How often the kernel's out-of-memory killer has struck since boot; None where untold."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    match = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None
