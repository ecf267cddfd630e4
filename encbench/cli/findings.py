"""What ``encbench doctor`` says of one thing that it looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State", "guarded", "size"]

State = Literal["ok", "absent", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    section: str
    name: str
    state: State
    """ "failure": a run would not work; "warning": it would, and something is not right;
    "absent": not there, and not needed."""
    text: str


def guarded(section: str, name: str, look: Callable[[], str]) -> Finding:
    """What a look gives; whatever is broken about it is a warning."""
    try:
        return Finding(section, name, "ok", look())
    except Exception as error:
        reason = f"cannot be looked at: {type(error).__name__}: {error}"
        return Finding(section, name, "warning", reason)


def size(count: float) -> str:
    """A number of bytes in words."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
