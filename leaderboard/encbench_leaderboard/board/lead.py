"""The leading entry of a task, and whether tests support the lead."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

import numpy as np

from encbench_leaderboard.board.budget import FAILED
from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.standings import TESTED, metric_cube
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA, paired_differences
from encbench_leaderboard.statistics.sample import unit_means

EQUAL = {"dB": 0.1}
"""Differences of means below this count as equal, whatever a test says; by unit."""
Compared = Literal["better", "equal", "below", "few", "infinite"]


@dataclass(frozen=True)
class Lead:
    """The entry with the best mean, and the results of the paired tests of the others against it.

    Without tests, entries on the same targets are compared by their paired differences alone.
    """

    best: str
    equal: Sequence[str]
    """On the same targets, not told apart from the best or by < ``EQUAL``; without ``outdone``."""
    outdone: Mapping[str, tuple[str, float]]
    """Likewise, but a test finds another entry better: the one with the smallest p, and that p."""
    below: str | None
    """Of the entries that tests show the best to be better than, the one with the smallest mean
    paired difference: by rank, entries on fewer targets come after all others. Without tests, the
    first by rank."""
    better: Sequence[str]
    """Entries that are better than the best on the units that both finished: their means are over
    other units."""
    gap: Interval | None
    """The best minus the first of ``better``, or else ``below``, on units that both finished."""
    p: float  # p-value of that difference after Holm's correction; NaN if not tested
    tested: bool  # whether anything was tested against the best
    few: Sequence[str]  # not tested: fewer than two units in common with the best
    infinite: Sequence[str]  # not tested: an infinite difference
    elsewhere: Sequence[str]  # finished on other targets than the best, and not told apart from it
    partly: Sequence[str]  # likewise, but on some of the best's targets and no others
    close: bool  # whether a test tells any of ``equal`` or the best apart, by < ``EQUAL``
    near: bool  # whether all of ``equal`` are that close to the best


def smallest_gap(metric: MetricInfo) -> float:
    """The smallest difference of means that counts."""
    return EQUAL.get(metric.unit, 0.0)


def lead(task: TaskBoard) -> Lead | None:
    """The lead in the primary metric, among the entries that were tested in pairs (see
    ``standings.TESTED``); None if nothing is ranked."""
    ranked = [row["entry"] for row in task.rows if not math.isnan(row["rank"])][:TESTED]
    if not ranked:
        return None
    best, *others = ranked
    values = metric_cube(task.cells, task.primary, ranked).values
    differences = paired_differences(values[:1], values[1:])
    finished = ~np.isnan(values).all(axis=2)
    same = (finished == finished[0]).all(axis=1) | (not task.targets)
    alike = {entry for entry, on_same in zip(ranked, same, strict=True) if on_same}
    extra = (finished & ~finished[0]).any(axis=1)
    inside = {entry for entry, more in zip(ranked, extra, strict=True) if not more}
    found = _compared(task, best, others, differences)
    tested = {entry for entry, (kind, _) in found.items() if kind not in ("few", "infinite")}
    tested -= {entry for entry in tested - alike if found[entry][0] == "equal"}
    with np.errstate(invalid="ignore"):
        means = dict(zip(others, unit_means(unit_means(differences)).tolist(), strict=True))
    by_value = {} if tested else _by_value(task, means)

    def those(kind: Compared) -> list[str]:
        return [entry for entry in others if by_value.get(entry, found[entry][0]) == kind]

    equal = [entry for entry in those("equal") if entry in alike]
    outdone = _outdone(task, equal) if tested else {}
    equal = [entry for entry in equal if entry not in outdone]
    below = [entry for entry in those("below") if tested or entry in alike]
    if tested:
        below.sort(key=lambda entry: abs(means[entry]))
    better = those("better")
    next_one = next(iter([*better, *below]), None)
    gap = None
    if next_one is not None:
        with np.errstate(invalid="ignore"):
            (gap,) = intervals(differences[others.index(next_one)][None])
    return Lead(
        best,
        equal,
        outdone,
        below[0] if below else None,
        better,
        gap,
        found[next_one][1] if next_one else math.nan,
        bool(tested),
        [entry for entry in others if found[entry][0] == "few" and entry in alike],
        [entry for entry in others if found[entry][0] == "infinite" and entry in alike],
        [e for e in others if e not in alike | tested | inside],
        [e for e in others if e in inside - alike - tested],
        any(
            p <= ALPHA and abs(ahead) < smallest_gap(task.primary)
            for first, second, ahead, p in _tests(task)
            if {first, second} <= {best, *equal}
        ),
        all(abs(means[entry]) < smallest_gap(task.primary) for entry in equal),
    )


def _tests(task: TaskBoard) -> Iterator[tuple[str, str, float, float]]:
    """Of each tested pair: the two entries, how much better the first is in the mean of the paired
    differences, and p after Holm's correction."""
    pairs = task.pairs
    if pairs is None:
        return
    ahead = task.primary.sign * pairs.difference
    for place in np.flatnonzero(~np.isnan(pairs.p)):
        first, second = pairs.entries[pairs.first[place]], pairs.entries[pairs.second[place]]
        yield first, second, float(ahead[place]), float(pairs.adjusted[place])


def _outdone(task: TaskBoard, entries: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Those of ``entries`` that a test shows another entry to be better than: see ``Lead``."""
    found: dict[str, tuple[str, float]] = {}
    for first, second, ahead, p in sorted(_tests(task), key=itemgetter(3)):
        better, worse = (first, second) if ahead > 0 else (second, first)
        if p <= ALPHA and abs(ahead) >= smallest_gap(task.primary):
            found.setdefault(worse, (better, p))
    return {entry: found[entry] for entry in entries if entry in found}


def failed_alone(task: TaskBoard) -> dict[str, Counter[str]]:
    """Of each ranked entry with cells that failed where another one's finished, the numbers of all
    its failed cells by status: its mean is over the others, which are not a random sample."""
    cells, ranked = task.cells, task.standings["entry"][task.standings["rank"].notna()]
    finished = (cells["status"] == "ok").groupby([cells["unit"], cells["repeat"]]).transform("any")
    failed = cells["status"].isin(FAILED) & cells["entry"].isin(ranked)
    alone = cells["entry"].isin(cells["entry"][failed & finished])
    by_entry = cells[failed & alone].groupby("entry", sort=False)["status"]
    return {str(entry): Counter(of) for entry, of in by_entry}


def _compared(
    task: TaskBoard, best: str, others: Sequence[str], differences: np.ndarray
) -> dict[str, tuple[Compared, float]]:
    """The result of the test of each entry against the best, and p after Holm's correction.

    Args:
        differences: (others, units, repeats), the best minus each of the others.
    """
    common = (~np.isnan(differences)).any(axis=2).sum(axis=1)
    untested: list[Compared] = ["few" if number < 2 else "infinite" for number in common]
    found = {e: (kind, math.nan) for e, kind in zip(others, untested, strict=True)}
    pairs = task.pairs
    if pairs is None or best not in pairs.entries:
        return found
    ahead = task.primary.sign * pairs.difference
    counts = pairs.significant() & (np.abs(ahead) >= smallest_gap(task.primary))
    mine = (pairs.first == pairs.entries.index(best)) & ~np.isnan(pairs.p)
    for place in np.flatnonzero(mine):
        kind: Compared = "equal"
        if counts[place]:
            kind = "below" if ahead[place] > 0 else "better"
        found[pairs.entries[pairs.second[place]]] = kind, float(pairs.adjusted[place])
    return found


def _by_value(task: TaskBoard, means: Mapping[str, float]) -> dict[str, Compared]:
    """The others by their mean difference from the best, for want of tests."""
    smallest = smallest_gap(task.primary)
    tied = {row["entry"] for row in task.rows if row["rank"] == task.rows[0]["rank"]}
    return {
        entry: "equal" if abs(mean) < smallest or mean == 0 or entry in tied else "below"
        for entry, mean in means.items()
    }
