"""Select the entries, records and points of lines that a figure shows."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from encbench.errors import plural
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.budget import Course, on_common_finished, on_common_units
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.format import code

SHOWN = 10
"""Maximum number of entries named in a figure: the number of distinguishable colours."""
MAX_ENTRIES = 40
"""Maximum number of entries in a figure; those after the named ones are shown on request."""
MAX_RECORDS = 300
"""Maximum number of records read for a figure, unless the named entries need more."""
EVENLY, AT_ENDS = 250, 40


def best_entries(
    task: TaskBoard, records_of: Callable[[str], Sequence[Facts]]
) -> Iterator[tuple[str, Sequence[Facts]]]:
    """The best entries, in the order of the standings, with the records to draw of each; entries
    without records are left out."""
    shown = read = 0
    for entry in task.standings["entry"]:
        records = records_of(entry)
        if not records:
            continue
        shown, read = shown + 1, read + len(records)
        if shown > MAX_ENTRIES or (shown > SHOWN and read > MAX_RECORDS):
            return
        yield entry, records


def first_cells(task: TaskBoard, wanted: Callable[[Facts], bool]) -> dict[str, StoredRecord]:
    """The first cell, by seed, for which ``wanted`` is true, of each of the best entries."""

    def first(entry: str) -> list[Facts]:
        return list(itertools.islice(filter(wanted, task.facts_of_entry(entry)), 1))

    return {entry: found[0].stored for entry, found in best_entries(task, first)}


def finished_with_arrays(one: Facts) -> bool:
    return one.status == "ok" and has_arrays(one.stored)


def best_note(task: TaskBoard) -> str:
    """A sentence for a caption if more entries finished than are named; else ""."""
    finished = int((task.standings["n"] > 0).sum())
    return f" The best {SHOWN} of {plural(finished, 'encoding')} are named." * (finished > SHOWN)


def common_note(found: Mapping[str, Sequence[Course]], unit: str) -> str:
    """Sentences on what ``on_common_units`` leaves out; "" if nothing.

    Args:
        found: curves by entry.
        unit: what a unit is: "target" or "seed".
    """
    kept = on_common_units(found)
    every, shared = (
        len({course.unit for of in some.values() for course in of}) for some in (found, kept)
    )
    note = f" Over {shared} of {plural(every, unit)}, the same for all encodings."
    others = [code(entry) for entry in found if entry not in kept]
    without = f" Left out, because not run on all of these: {', '.join(others)}."
    return note * (shared < every) + without * bool(others)


def finished_note(found: Mapping[str, Sequence[Course]]) -> str:
    """Sentences on the targets over which values after a part of the steps are means, see
    ``on_common_finished``; "" if they are those of ``on_common_units``."""
    kept, finished = on_common_units(found), on_common_finished(found)
    every, shared = ({c.unit for of in some.values() for c in of} for some in (kept, finished))
    note = (
        f" Qualities after parts of the steps are over {len(shared)} of these "
        f"{plural(len(every), 'target')}, on which all encodings with a value finished."
    )
    others = [code(entry) for entry in kept if entry not in finished]
    without = (
        f" No quality after parts of the steps, for want of finished cells: {', '.join(others)}."
    )
    return note * (shared < every) + without * bool(others)


def has_arrays(stored: StoredRecord) -> bool:
    """Whether a record has arrays; they are not read."""
    return stored.has("arrays.npz")


def spread(groups: Sequence[Hashable], most: int) -> list[int]:
    """At most ``most`` indices of a sequence, ascending: one per group before any second one."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for place, group in enumerate(groups):
        turns.append((seen[group], place))
        seen[group] += 1
    return sorted(place for _, place in sorted(turns)[:most])


def thin_index(size: int) -> np.ndarray:
    """Indices from 0 … size - 1 of the points to draw: evenly spaced ones, a few pixels apart, and
    geometrically spaced ones from both ends, where spectra bend and a log axis shows more."""
    if size <= EVENLY + 2 * AT_ENDS:
        return np.arange(size)
    head = np.geomspace(1, size, AT_ENDS).round().astype(np.int64) - 1
    evenly = np.linspace(0, size - 1, EVENLY).round().astype(np.int64)
    return np.unique(np.concatenate([head, evenly, size - 1 - head]))


def thinned(step: np.ndarray, value: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """A curve (n,), (n,) averaged to at most ``points`` means of adjacent values, each at its last
    step; the first value, from before training, is kept, since it has no noise."""
    if len(step) <= points:
        return step, value
    edges = np.linspace(1, len(step), points).round().astype(int)
    starts = np.concatenate([[0], edges[:-1]])
    sums = np.add.reduceat(value, starts)
    return step[edges - 1], sums / np.diff(np.append(starts, len(value)))
