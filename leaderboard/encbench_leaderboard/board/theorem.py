"""Theorem 1 of the paper on records: is no eigenvalue smaller than without the encoding?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.table import TaskBoard

PLAIN = "identity"
"""The built-in encoding that passes the coordinates on: a network without an encoding."""
READ = 10
"""Entries, the best, whose eigenvalues are read; and targets of a category."""


@dataclass(frozen=True)
class AgainstPlain:
    """An entry's kernels at one moment beside those of the network without an encoding."""

    entry: str
    when: str
    size: int
    fails: tuple[int, ...]
    """Of each task: indices at which the network without an encoding has the larger eigenvalue."""
    first: int  # the smallest of them on any task, counted from 1; 0 where there is none


def against_plain(task: TaskBoard) -> list[AgainstPlain]:
    """Eigenvalues of the best entries against those of the cell without an encoding.

    On a task, or on each target of a category, the first cell of an entry that has a partner: the
    same network, seed and kernel. An index counts where λ_i(no encoding) exceeds λ_i(K) by more
    than both floors.
    """
    above: dict[tuple[str, str, int], list[np.ndarray]] = defaultdict(list)
    for one in (task.targets or [task])[:READ]:
        plain = {_network(s): s.stored for s in one.facts if s.cell.encoding.name == PLAIN}
        read = 0
        for entry in one.standings["entry"]:
            cells = [s for s in one.facts_of_entry(entry) if s.cell.encoding.name != PLAIN]
            found = next((s for s in cells if _network(s) in plain), None)
            if found is not None and read < READ:
                read += 1
                for when, size, places in _larger(found.stored, plain[_network(found)]):
                    above[entry, when, size].append(places)
    made = []
    for key, fails in above.items():
        firsts = [int(places[0]) + 1 for places in fails if len(places)]
        made.append(AgainstPlain(*key, tuple(map(len, fails)), min(firsts, default=0)))
    return made


def _network(one: Facts) -> Hashable:
    return one.cell.seed, one.cell.network, one.activation


def _larger(stored: StoredRecord, plain: StoredRecord) -> Iterator[tuple[str, int, np.ndarray]]:
    """Moment, size, and the places, from 0, where the second has the larger eigenvalue."""
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
