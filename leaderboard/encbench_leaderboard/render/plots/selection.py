"""Which entries a picture can hold and still be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard

__all__ = ["SHOWN", "best_entries", "spread"]

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


def spread(groups: Sequence[Hashable], most: int) -> list[int]:
    """At most so many places of a sequence, ascending: one of each group before a second one."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for place, group in enumerate(groups):
        turns.append((seen[group], place))
        seen[group] += 1
    return sorted(place for _, place in sorted(turns)[:most])
