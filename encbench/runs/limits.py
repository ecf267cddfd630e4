"""How much time and memory a cell may use, and the exceptions that stop one.

Nothing here imports torch: the command line reads limits before it needs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import ByteSize, TypeAdapter, ValidationError

from encbench.errors import UsageError

GRACE = 10.0
"""Seconds that a cell has to stop when asked to, before its process is killed."""
POLL = 0.1
"""Seconds between two looks at the clock and the memory of a running cell."""
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


class CellStopped(BaseException):
    """Raised inside a running cell to stop it.

    Not an Exception, so that a plug-in that catches those does not keep the cell going.
    """


class CellTimedOut(CellStopped):
    """The cell ran longer than it may."""


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
