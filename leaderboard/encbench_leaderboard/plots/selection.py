"""Which entries a picture can hold and still be read."""

from __future__ import annotations

from collections.abc import Callable

from encbench.records import StoredRecord
from encbench_leaderboard.table import TaskBoard

__all__ = ["SHOWN", "best_entries"]

SHOWN = 10
"""Entries in one picture: as many as there are colours that can be told apart."""


def best_entries(
    task: TaskBoard, usable: Callable[[StoredRecord], bool], shown: int = SHOWN
) -> dict[str, list[StoredRecord]]:
    """The best entries, in the table's order, with those of their records that are usable."""
    found: dict[str, list[StoredRecord]] = {}
    for entry in task.standings["entry"]:
        records = [stored for stored in task.of_entry(entry) if usable(stored)]
        if records:
            found[entry] = records
        if len(found) == shown:
            break
    return found
