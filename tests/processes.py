"""Processes that a test has seen, and whether they have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

__all__ = ["outliving"]


def outliving(processes: Iterable[psutil.Process], seconds: float = 120) -> list[psutil.Process]:
    """Those that still run after so long; they are killed.

    A dead one that its parent has not asked about yet counts as ended: an orphan's new parent,
    the first process of a machine or container, may take its time, or never ask.
    """
    left = list(processes)
    deadline = time.monotonic() + seconds
    while (left := [p for p in left if _runs(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        process.kill()
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
