"""Where cells ran, as far as it decides how long something takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from encbench.results.records import StoredRecord


def machine(stored: StoredRecord) -> str:
    """Where a cell ran: machine, processor, device, threads and system."""
    p = stored.record.provenance
    return _machine(p.machine, p.processor, p.device, p.threads, p.os)


# Ten thousand cells ran on few machines.
@lru_cache(maxsize=1024)
def _machine(name: str, processor: str, device: str, threads: int, system: str) -> str:
    if processor == name:
        processor = ""
    told = f"{threads} thread{'' if threads == 1 else 's'}"
    if device != "cpu":
        device = f"device {device}"
    return ", ".join(part for part in (name, processor, device, told, system) if part)


def machines(records: Sequence[StoredRecord]) -> list[str]:
    """Each distinct machine."""
    return sorted({machine(stored) for stored in records})
