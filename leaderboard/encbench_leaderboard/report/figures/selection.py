"""Which entries and records a figure holds, and how many points of a line."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from encbench.errors import plural
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard

SHOWN = 10
"""Entries named in one figure: as many as there are distinguishable colours."""
MOST = 40
"""Entries in one figure: what follows the named ones is for readers who ask for it."""
READ = 300
"""Records that are read for a figure, besides those of the named entries."""
EVENLY, AT_ENDS = 250, 40


def best_entries(
    task: TaskBoard, records_of: Callable[[str], Sequence[Facts]]
) -> Iterator[tuple[str, Sequence[Facts]]]:
    """The best entries, in the table's order, with the records that are to be drawn of each; one
    without any is left out."""
    shown = read = 0
    for entry in task.standings["entry"]:
        records = records_of(entry)
        if not records:
            continue
        shown, read = shown + 1, read + len(records)
        if shown > MOST or (shown > SHOWN and read > READ):
            return
        yield entry, records


def first_cells(task: TaskBoard, wanted: Callable[[Facts], bool]) -> dict[str, StoredRecord]:
    """Of each of the best entries the first cell, by seed, that is wanted."""

    def first(entry: str) -> list[Facts]:
        return list(itertools.islice(filter(wanted, task.facts_of_entry(entry)), 1))

    return {entry: found[0].stored for entry, found in best_entries(task, first)}


def finished_with_arrays(one: Facts) -> bool:
    return one.status == "ok" and has_arrays(one.stored)


def best_note(task: TaskBoard) -> str:
    """A sentence for a caption where more entries finished than are named; else ""."""
    finished = int((task.standings["n"] > 0).sum())
    return f" The best {SHOWN} of {plural(finished, 'encoding')} are named." * (finished > SHOWN)


def has_arrays(stored: StoredRecord) -> bool:
    """Whether there are arrays at all, which need not be read for that."""
    return stored.has("arrays.npz")


def spread(groups: Sequence[Hashable], most: int) -> list[int]:
    """At most so many places of a sequence, ascending: one of each group before a second one."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for place, group in enumerate(groups):
        turns.append((seen[group], place))
        seen[group] += 1
    return sorted(place for _, place in sorted(turns)[:most])


def thin_index(size: int) -> np.ndarray:
    """Indices 0 … size - 1 of points that a screen can show: evenly spaced ones, a few pixels
    apart, and geometrically spaced ones from both ends, where spectra bend and a log axis shows
    more."""
    if size <= EVENLY + 2 * AT_ENDS:
        return np.arange(size)
    head = np.geomspace(1, size, AT_ENDS).round().astype(np.int64) - 1
    evenly = np.linspace(0, size - 1, EVENLY).round().astype(np.int64)
    return np.unique(np.concatenate([head, evenly, size - 1 - head]))


def thinned(step: np.ndarray, value: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """A curve (n,), (n,) as at most so many means of neighbours, each at its last step; the first
    value stands for itself, for what training starts from is no noise."""
    if len(step) <= points:
        return step, value
    edges = np.linspace(1, len(step), points).round().astype(int)
    starts = np.concatenate([[0], edges[:-1]])
    sums = np.add.reduceat(value, starts)
    return step[edges - 1], sums / np.diff(np.append(starts, len(value)))
