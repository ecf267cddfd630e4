"""Test the paper's Theorem 1 on records: no eigenvalue is smaller than without the encoding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encbench.results.records import StoredRecord
from encbench.suite.config import sorted_json
from encbench_leaderboard.board.facts import WHENS, Facts
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
    a counterpart of the same seed and settings is used, and of its kernels those of the same size
    and outputs; at the start, settings of the training may differ, since nothing is trained yet. Of
    several cells of the same settings and seed, such as those of two versions of an encoding, the
    one that finished last is used. An index counts if λ_i(no encoding) exceeds λ_i(K) by more than
    the sum of both floors.
    """
    above: dict[tuple[str, str, int], list[np.ndarray]] = defaultdict(list)
    for one in (task.targets or [task])[:MAX_READ]:
        bare = [s for s in _by_time(one.facts) if _is_plain(s)]
        plain = {
            when: {_counterpart(s, when): s.stored for s in bare if _has_kernel(s, when)}
            for when in WHENS
        }
        read = 0
        for entry in one.standings["entry"]:
            if read == MAX_READ:
                break
            cells = [s for s in _by_time(one.facts_of_entry(entry)) if not _is_plain(s)]
            compared = {when: _first(cells, when, plain[when]) for when in WHENS}
            pairs = {when: pair for when, pair in compared.items() if pair}
            read += bool(pairs)
            for when, pair in pairs.items():
                for size, places in _larger(*pair, when):
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


def _first(
    cells: Sequence[Facts], when: str, plain: Mapping[Hashable, StoredRecord]
) -> tuple[StoredRecord, StoredRecord] | None:
    """The cell of an entry that is compared, and its counterpart; None if there is none."""
    of_time = (one for one in reversed(cells) if _has_kernel(one, when))
    paired = [one for one in of_time if _counterpart(one, when) in plain]
    if not paired:
        return None
    found = min(paired, key=lambda one: one.cell.seed)
    return found.stored, plain[_counterpart(found, when)]


def _has_kernel(one: Facts, when: str) -> bool:
    return any(kernel.when == when for kernel in one.kernels)


def _counterpart(one: Facts, when: str) -> Hashable:
    """Equal for cells of a task whose networks differ only in their encodings at that time."""
    untrained = when == "start"
    settings = {
        name: value
        for name, value in one.settings.items()
        if not (untrained and name.startswith("training."))
    }
    return one.cell.seed, sorted_json(settings), one.activation


def _larger(
    stored: StoredRecord, plain: StoredRecord, when: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Size, and the indices, from 0, at which the second has the larger eigenvalue."""
    theirs = [summary for summary in plain.record.spectra if summary.when == when]
    for mine in (summary for summary in stored.record.spectra if summary.when == when):
        name = f"spectrum_{when}"
        for other in theirs:
            alike = (other.size, other.outputs) == (mine.size, mine.outputs)
            if alike and name in stored.arrays and name in plain.arrays:
                # descending
                values, without = (-np.sort(-of.arrays[name]) for of in (stored, plain))
                floors = mine.floor + other.floor
                yield mine.size, np.flatnonzero(without > values + floors)
