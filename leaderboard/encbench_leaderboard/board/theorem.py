"""Test the paper's Theorem 1 on records: no eigenvalue is smaller than without the encoding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from encbench.results.records import StoredRecord
from encbench.suite.config import sorted_json
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard

PLAIN = "identity"
"""The built-in encoding that returns the coordinates: a network without an encoding."""
MAX_READ = 10
"""Maximum number of entries, the best, and of targets whose eigenvalues are read."""


@dataclass(frozen=True)
class AgainstPlain:
    """An entry's kernels at one time, compared with those of the network without an encoding."""

    entry: str
    when: str
    size: int
    fails: tuple[int, ...]
    """Per task, number of indices at which the plain network has the larger eigenvalue."""
    first: int  # the smallest such index on any task, counted from 1; 0 if there is none


def against_plain(task: TaskBoard) -> list[AgainstPlain]:
    """Compare the eigenvalues of the best entries with those of the network without an encoding.

    On a task, or on each target of a category, the cell of an entry with the smallest seed that has
    a counterpart of the same settings and seed is used, and of its kernels those of the same size
    and outputs. Of several cells of the same settings and seed, such as those of two versions of an
    encoding, the one that finished last is used. An index counts if λ_i(no encoding) exceeds λ_i(K)
    by more than the sum of both floors.
    """
    above: dict[tuple[str, str, int], list[np.ndarray]] = defaultdict(list)
    for one in (task.targets or [task])[:MAX_READ]:
        plain = {_counterpart(s): s.stored for s in _by_time(one.facts) if _is_plain(s)}
        read = 0
        for entry in one.standings["entry"]:
            found = _compared(one.facts_of_entry(entry), plain)
            if found is not None and read < MAX_READ:
                read += 1
                for when, size, places in _larger(found.stored, plain[_counterpart(found)]):
                    above[entry, when, size].append(places)
    made = []
    for key, fails in above.items():
        firsts = [int(places[0]) + 1 for places in fails if len(places)]
        made.append(AgainstPlain(*key, tuple(map(len, fails)), min(firsts, default=0)))
    return made


def _is_plain(one: Facts) -> bool:
    return one.cell.encoding.name == PLAIN


def _by_time(facts: Iterable[Facts]) -> list[Facts]:
    """By the time at which they finished, whatever the order of the records."""
    return sorted(facts, key=lambda one: (one.finished, one.stored.outline.key))


def _compared(facts: Sequence[Facts], plain: Container[Hashable]) -> Facts | None:
    """The cell of an entry that is compared; None if no plain network has its settings and seed."""
    cells = [s for s in _by_time(facts) if not _is_plain(s) and _counterpart(s) in plain]
    return min(reversed(cells), key=lambda one: one.cell.seed, default=None)


def _counterpart(one: Facts) -> Hashable:
    """Equal for cells of a task that differ only in their encodings."""
    return one.cell.seed, sorted_json(one.settings), one.activation


def _larger(stored: StoredRecord, plain: StoredRecord) -> Iterator[tuple[str, int, np.ndarray]]:
    """Time, size, and the indices, from 0, at which the second has the larger eigenvalue."""
    theirs = {summary.when: summary for summary in plain.record.spectra}
    for mine in stored.record.spectra:
        other, name = theirs.get(mine.when), f"spectrum_{mine.when}"
        if other is None or (other.size, other.outputs) != (mine.size, mine.outputs):
            continue
        if name in stored.arrays and name in plain.arrays:
            # descending
            values, without = (-np.sort(-of.arrays[name]) for of in (stored, plain))
            floors = mine.floor + other.floor
            yield mine.when, mine.size, np.flatnonzero(without > values + floors)
