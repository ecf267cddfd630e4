"""Test the paper's Theorem 1 on records: no eigenvalue is smaller than without the encoding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from encbench.results.records import StoredRecord
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

    On a task, or on each target of a category, the first cell of an entry that has a counterpart
    with the same network and seed is used, and of its kernels those of the same size and outputs.
    An index counts if λ_i(no encoding) exceeds λ_i(K) by more than the sum of both floors.
    """
    above: dict[tuple[str, str, int], list[np.ndarray]] = defaultdict(list)
    for one in (task.targets or [task])[:MAX_READ]:
        plain = {_network(s): s.stored for s in one.facts if s.cell.encoding.name == PLAIN}
        read = 0
        for entry in one.standings["entry"]:
            cells = [s for s in one.facts_of_entry(entry) if s.cell.encoding.name != PLAIN]
            found = next((s for s in cells if _network(s) in plain), None)
            if found is not None and read < MAX_READ:
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
