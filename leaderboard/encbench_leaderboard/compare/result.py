"""Compare two results folders, or two encodings of one: what differs, and is it noise?"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from encbench.errors import UsageError, plural
from encbench.results.agreement import environment_changes
from encbench.results.palette import natural
from encbench.results.records import Record, StoredRecord
from encbench.results.store import load_records
from encbench.suite.config import cell_key, differing
from encbench.suite.labels import cell_names
from encbench_leaderboard.board.facts import MetricInfo, cell_settings
from encbench_leaderboard.board.standings import exact_fits_capped
from encbench_leaderboard.board.table import Board, TaskBoard, boards
from encbench_leaderboard.compare.match import (
    find_encoding,
    match_cells,
    results_of,
    sides_of,
    unmatched,
)
from encbench_leaderboard.statistics.holm import holm
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA, magnitude, p_values, paired_differences
from encbench_leaderboard.statistics.sample import cube, unit_means
from encbench_leaderboard.statistics.student import detectable

RESIDENT = "memory: a CPU counts resident memory of the process, a GPU its tensors"
NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0, "")


@dataclass
class Quality:
    """One metric of both sides, over the cells that both finished with a value."""

    metric: MetricInfo
    a: float
    b: float  # means over units of the paired cells; NaN without any
    difference: Interval  # B − A, with a 95 % interval of this row alone
    deviation: float  # standard deviation of the differences over units
    wins_a: int
    wins_b: int
    ties: int  # units in which A, B or neither is better
    identical: bool  # whether every pair is equal to the last digit
    cells: int  # number of pairs of cells
    infinite_a: int
    infinite_b: int  # number of infinite values of either side among them
    refused: dict[str, int] = field(default_factory=dict)
    """Number of pairs not compared, by reason (conditions of the metric that differ)."""
    p: float = math.nan
    adjusted: float = math.nan  # after Holm, over this metric's tasks or categories
    method: str = ""
    detectable: float = math.nan
    """Smallest difference that this test, at its corrected level, detects with 80 % power."""

    @property
    def better(self) -> str:
        """ "A" or "B" if the difference is significant, else ""."""
        if not self.adjusted <= ALPHA:
            return ""
        return "B" if (self.difference.mean > 0) == self.metric.higher else "A"


@dataclass
class Cost:
    """Parameters of both sides, and ratios B / A of memory and time."""

    parameters_a: tuple[float, float]
    parameters_b: tuple[float, float]  # means of MLP and encoding; NaN if unknown
    memory: Interval  # geometric mean of the ratios of peak memory, over units
    time: Interval
    """The same for training times, over pairs with the same machine, device and threads."""
    timed: int
    untimed: int  # number of pairs whose times are compared, and are not
    refused: dict[str, int] = field(default_factory=dict)  # pairs not compared, by reason


@dataclass
class TaskRow:
    """Two sides on one task, or on a category of tasks."""

    task: str
    entry: str
    """The encoding if two folders are compared; else the settings that distinguish rows, or ""."""
    category: bool
    targets: int
    within: bool  # whether it is a task of a category, which has a row of its own
    pairs: int  # pairs of cells that both finished
    quality: list[Quality]
    cost: Cost


@dataclass(frozen=True)
class Change:
    """A difference, and the number of pairs of cells that have it."""

    name: str
    a: str
    b: str
    pairs: int


@dataclass
class Report:
    """Everything that a comparison found. Differences are B minus A."""

    a: str
    b: str
    folder: str | None  # that of both encodings; None if a and b are folders
    pairs: int = 0  # pairs of cells, whether they finished or not
    equal: int = 0  # pairs whose results are equal to the last digit
    rows: list[TaskRow] = field(default_factory=list)  # categories, then every task
    changes: list[Change] = field(default_factory=list)
    settings: list[Change] = field(default_factory=list)
    not_finished: list[str] = field(default_factory=list)  # pairs, in words
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)  # cells without a partner, in words
    between: list[str] = field(default_factory=list)  # the only settings that keep these apart


Matched = Sequence[tuple[StoredRecord, StoredRecord]]
"""Records of A, each with its partner of B."""


def compare_folders(a: Path, b: Path, despite: Sequence[str] = ()) -> Report:
    """Compare the cells of two results folders that are equal but for versions of plug-ins.

    Settings in ``despite`` may differ, too: "training.epochs", or all of "network".

    Raises:
        StoreError: one of them is not a results folder, or holds no records.
        UsageError: there is no such setting, or a folder holds a cell with several values of it.
    """
    records = load_records(a), load_records(b)
    pairs, only_a, only_b = match_cells(*records, despite)
    names = [cell_names({s.outline.cell_key: s.record.cell for s in side}) for side in records]
    report = Report(str(a), str(b), None)
    _add_pairs(report, pairs, names[0])
    report.only_a, report.between = unmatched(only_a, only_b, names[0])
    report.only_b, _ = unmatched(only_b, only_a, names[1])
    if pairs:
        report.rows = _rows(boards([mine for mine, _ in pairs]), pairs, None)
    return report


def compare_encodings(a: str, b: str, folder: Path) -> Report:
    """Compare two encodings on the same tasks and seeds of one results folder.

    Each is an entry as the leaderboard prints it, or NAME:KEY=VALUE with enough of its parameters
    to identify it. If one was run under several choices of settings, as in a sweep, they are
    compared under each that both have.

    Raises:
        StoreError: it is not a results folder, or holds no records.
        UsageError: a name matches no encoding there, or several, or both are the same one.
    """
    records = load_records(folder)
    names = cell_names({s.outline.cell_key: s.record.cell for s in records})
    board = boards(records)
    mine, other = find_encoding(a, board), find_encoding(b, board)
    if set(mine[1]) & set(other[1]):
        raise UsageError(f"{a!r} and {b!r} are the same encoding, {mine[0]}; name two")
    report = Report(mine[0], other[0], str(folder))
    pairs: list[tuple[StoredRecord, StoredRecord]] = []
    chosen = dict[int, str]()  # the settings of the pairs' first records, by id
    for task in board.tasks:
        for settings, (ours, theirs) in sides_of((a, mine[1]), (b, other[1]), task).items():
            matched = [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
            pairs += matched
            chosen |= {id(one): settings for one, _ in matched}
            for only, here, there in ((report.only_a, ours, theirs), (report.only_b, theirs, ours)):
                only += [names[cell_key(here[s].record.cell)] for s in here if s not in there]
    if not pairs and len(mine[1]) + len(other[1]) > 2:
        raise UsageError(
            f"{a!r} and {b!r} have no task, settings and seed in common; to compare them under "
            f"different settings, name one entry of each: {'; '.join(mine[1] + other[1])}"
        )
    _add_pairs(report, pairs, names)
    report.rows = _rows(board, pairs, chosen)
    return report


def _add_pairs(report: Report, pairs: Matched, names: Mapping[str, str]) -> None:
    """Count pairs, and differences between their cells; ``names``: of the cells of A, by key."""
    report.pairs = len(pairs)
    changes, settings = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    for mine, other in pairs:
        a, b = mine.record, other.record
        report.equal += results_of(a) == results_of(b)
        changes.update((c.name, c.then, c.now) for c in environment_changes(a, b))
        left, right = cell_settings(a), cell_settings(b)
        settings.update(
            (name, str(left.get(name, "unset")), str(right.get(name, "unset")))
            for name in differing([left, right])
        )
        if a.status != "ok" or b.status != "ok":
            report.not_finished.append(f"{names[cell_key(a.cell)]}: A {_ended(a)}, B {_ended(b)}")
    report.changes = [Change(*what, count) for what, count in changes.items()]
    report.settings = [Change(*what, count) for what, count in settings.items()]


def _ended(record: Record) -> str:
    if record.error is not None and record.error.step is not None:
        return f"{record.status} at step {record.error.step:,}"
    return record.status.replace("_", " ")


def _rows(board: Board, pairs: Matched, chosen: Mapping[int, str] | None) -> list[TaskRow]:
    """Return a row per task or category, and per text in ``chosen``, which are by id of the records
    of A; None: per entry."""
    partners = {id(mine): other for mine, other in pairs}
    inside = {target.slug for category in board.categories for target in category.targets}
    rows: list[TaskRow] = []
    tested: dict[tuple[str, bool], list[_Tested]] = defaultdict(list)
    for task in (*board.categories, *board.tasks):
        together = _together(task, partners)
        table = _table(task, together)
        if chosen is not None:
            together["entry"] = [chosen[id(s)] for s in task.records if id(s) in partners]
        groups = list(together.groupby("entry", sort=False))
        if chosen is not None:
            groups.sort(key=lambda group: natural(str(group[0])))
        for entry, own in groups:
            finished = own[(own["status"] == "ok") & (own["status|b"] == "ok")]
            made = [_quality(finished, metric, table) for metric in task.metrics]
            for one in made:
                tested[one[0].metric.name, bool(task.targets)].append(one)
            row = TaskRow(
                task=task.label,
                entry=str(entry),
                category=bool(task.targets),
                targets=int(own["unit"].nunique()) if task.targets else 0,
                within=task.slug in inside,
                pairs=len(finished),
                quality=[quality for quality, _, _ in made],
                cost=_cost(own, finished),
            )
            rows.append(row)
    for family in tested.values():
        _test(family)
    return rows


def _together(task: TaskBoard, partners: Mapping[int, StoredRecord]) -> pd.DataFrame:
    """Return the cells of A with the measurements of their partners in columns ending in "|b".

    "where" (machine, device and threads), "device" and the conditions of each metric ("under:…")
    decide what may be compared.
    """
    paired = [id(stored) in partners for stored in task.records]
    mine = [stored for stored in task.records if id(stored) in partners]
    others = [partners[id(stored)] for stored in mine]
    cells = task.cells[paired].reset_index(drop=True)
    # Both have the same unit and seed in each row; only the measurements are those of B.
    measured = task.measure(others) if others else cells
    sides = []
    for side, records in ((cells, mine), (measured, others)):
        sources = [stored.record.provenance for stored in records]
        where = [
            f"{s.machine}, {s.processor}, {s.device}, {plural(s.threads, 'thread')}"
            for s in sources
        ]
        sides.append(side.assign(where=where, device=[s.device for s in sources]))
    return sides[0].join(sides[1].add_suffix("|b"))


def _table(task: TaskBoard, together: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of all cells of A, then those of their partners."""
    names = ["status", *(f"metric:{metric.name}" for metric in task.metrics)]
    partners = together[[f"{name}|b" for name in names]].set_axis(names, axis=1)
    return pd.concat([task.cells[names], partners])


_Tested = tuple[Quality, np.ndarray, float]
"""A quality, its differences B − A (units,), and the largest finite absolute value."""


def _quality(finished: pd.DataFrame, metric: MetricInfo, table: pd.DataFrame) -> _Tested:
    """Compare one metric of one entry, without the test, which ``_test`` adds; ``table``: the cells
    whose best finite value stands for an exact fit."""
    column, under = f"metric:{metric.name}", f"under:{metric.name}"
    valued = finished[finished[column].notna() & finished[f"{column}|b"].notna()]
    # MS-SSIM of three scales and MS-SSIM of four are not comparable.
    alike = valued[under] == valued[f"{under}|b"]
    paired, unlike = valued[alike], valued[~alike]
    refused = {
        f"{metric.title}: A under {a}; B under {b}": number
        for (a, b), number in Counter(zip(unlike[under], unlike[f"{under}|b"], strict=True)).items()
    }
    if paired[under].nunique() > 1:
        several = " and ".join(sorted(set(paired[under])))
        refused[f"{metric.title}: taken under {several}, which have no common mean"] = len(paired)
        paired = paired[:0]
    a, b = (paired[name].to_numpy(np.float64) for name in (column, f"{column}|b"))
    sides = pd.DataFrame({"entry": np.repeat(["A", "B"], len(a)), column: np.append(a, b)})
    capped = exact_fits_capped(sides.assign(status="ok"), metric, table)
    counted_a, counted_b = np.split(capped, 2)
    gap = paired_differences(counted_b, counted_a)
    paired = paired.assign(entry="both", a=counted_a, b=counted_b, gap=gap)
    values = [cube(paired, name, ["both"]).values for name in ("a", "b", "gap")]
    means = [intervals(of)[0] for of in values]
    units = unit_means(values[2])[0]
    units = units[~np.isnan(units)]
    # an exact fit is better than any other value, also than the one that it counts as
    exact = cube(paired.assign(gap=paired_differences(b, a)), "gap", ["both"]).values
    with np.errstate(invalid="ignore"):  # one exact fit each, on two seeds of a target: no winner
        better = metric.sign * unit_means(exact)[0]
    wins_a, wins_b = int((better < 0).sum()), int((better > 0).sum())
    varies = len(units) > 1 and np.isfinite(units).all()
    quality = Quality(
        metric=metric,
        a=means[0].mean,
        b=means[1].mean,
        difference=means[2],
        deviation=float(units.std(ddof=1)) if varies else math.nan,
        wins_a=wins_a,
        wins_b=wins_b,
        ties=len(units) - wins_a - wins_b,
        identical=bool(len(a) and (a == b).all()),
        cells=len(a),
        infinite_a=int(np.isinf(a).sum()),
        infinite_b=int(np.isinf(b).sum()),
        refused=refused,
    )
    return quality, units, float(magnitude(counted_a, counted_b).max(initial=0.0))


def _test(family: Sequence[_Tested]) -> None:
    """Test one metric on each task, or on each category, corrected for their number."""
    padded = np.full((len(family), max(len(units) for _, units, _ in family)), np.nan)
    for row, (quality, units, _) in enumerate(family):
        # Sides equal to the last digit are not tested, and not counted in the correction.
        if not quality.identical:
            padded[row, : len(units)] = units
    p, methods = p_values(padded, np.array([scale for _, _, scale in family]))
    adjusted = holm(p)
    level = ALPHA / max(1, int((~np.isnan(p)).sum()))
    for row, (quality, units, _) in enumerate(family):
        quality.p, quality.adjusted = float(p[row]), float(adjusted[row])
        quality.method = str(methods[row])
        if not math.isnan(quality.p):
            quality.detectable = detectable(quality.deviation, len(units), level)


def _cost(together: pd.DataFrame, finished: pd.DataFrame) -> Cost:
    same = finished["where"] == finished["where|b"]
    apart = finished[~same]
    unlike = Counter(zip(apart["where"], apart["where|b"], strict=True))
    refused = {f"times: A on {a}; B on {b}": number for (a, b), number in unlike.items()}
    cpu = (finished["device"] == "cpu") == (finished["device|b"] == "cpu")
    if not cpu.all():
        refused[RESIDENT] = int((~cpu).sum())
    means = together.filter(like="params_").mean()
    return Cost(
        parameters_a=(float(means["params_mlp"]), float(means["params_encoding"])),
        parameters_b=(float(means["params_mlp|b"]), float(means["params_encoding|b"])),
        memory=_ratio(finished[cpu], "peak_memory"),
        time=_ratio(finished[same], "training"),
        timed=int(same.sum()),
        untimed=len(apart),
        refused=refused,
    )


def _ratio(cells: pd.DataFrame, column: str) -> Interval:
    """Geometric mean over units of B / A, with its interval."""
    a, b = cells[column], cells[f"{column}|b"]
    usable = cells[(a > 0) & (b > 0)]
    if usable.empty:
        return NO_INTERVAL
    logs = usable.assign(entry="both", ratio=np.log(usable[f"{column}|b"] / usable[column]))
    found = intervals(cube(logs, "ratio", ["both"]).values)[0]
    mean, low, high = (math.exp(x) for x in (found.mean, found.low, found.high))
    return Interval(mean, low, high, found.units, found.method)
