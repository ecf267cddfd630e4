"""Rows of a comparison: quality, parameters, memory and time of two sides, with their tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from encbench_leaderboard.board.table import MetricInfo, TaskBoard
from encbench_leaderboard.statistics.holm import holm
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA, p_values
from encbench_leaderboard.statistics.sample import Cube, cube, unit_means
from encbench_leaderboard.statistics.student import detectable

__all__ = ["Cost", "Quality", "Row", "rows_of"]

RESIDENT = "memory: a CPU counts resident memory of the process, a GPU its tensors"
NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0, "")


@dataclass
class Quality:
    """One metric of both sides, over the cells that both finished with a value."""

    metric: MetricInfo
    a: float
    b: float
    """Means over units of the paired cells; NaN without any."""
    difference: Interval
    """Of B − A, with a 95 % interval of this row alone."""
    deviation: float
    """Standard deviation of the differences over units."""
    wins_a: int
    wins_b: int
    ties: int
    """Units in which A, B or neither is better."""
    identical: bool
    """Whether every pair is equal to the last digit."""
    refused: dict[str, int] = field(default_factory=dict)
    """Why pairs are not compared, their conditions being unlike, and how many."""
    p: float = math.nan
    adjusted: float = math.nan
    """After Holm, over the rows of its kind: this metric, tasks or categories."""
    method: str = ""
    detectable: float = math.nan
    """Difference that this test would have found in four of five tries."""

    @property
    def better(self) -> str:
        """ "A" or "B" where the test tells, else ""."""
        if not self.adjusted <= ALPHA:
            return ""
        return "B" if (self.difference.mean > 0) == (self.metric.direction == "higher") else "A"


@dataclass
class Cost:
    """Parameters of both sides, and ratios B / A of what cells took."""

    parameters_a: tuple[float, float]
    parameters_b: tuple[float, float]
    """MLP and encoding; NaN where unknown, means where cells differ."""
    memory: Interval
    """Geometric mean of the ratios of peak memory, over units."""
    time: Interval
    """The same of seconds of training, over pairs of the same machine, device and threads."""
    timed: int
    untimed: int
    """Pairs whose times are compared, and whose are not."""
    refused: dict[str, int] = field(default_factory=dict)
    """Why times or memory of pairs are not compared, and of how many."""


@dataclass
class Row:
    """Two sides on one task, or on a category of tasks."""

    task: str
    entry: str
    """The encoding, where whole folders are compared."""
    category: bool
    targets: int
    within: bool
    """Whether it is a task whose category has a row of its own."""
    pairs: int
    """Pairs of cells that both finished."""
    quality: list[Quality]
    cost: Cost


Tables = Sequence[tuple[TaskBoard, pd.DataFrame, pd.DataFrame]]


def rows_of(tables: Tables) -> list[Row]:
    """A row for each entry of each table: a board, and the cells of A and of B.

    Args:
        tables: cells have the columns of ``TaskBoard.cells``, "where" and "device" of the
            machine, and "pair", which two cells share that stand beside one another.
    """
    inside = {task.slug for board, _, _ in tables for task in board.targets}
    rows: list[Row] = []
    gaps: list[tuple[Quality, np.ndarray, float, bool]] = []
    for board, cells_a, cells_b in tables:
        together = cells_a.merge(
            cells_b, on=["entry", "pair"], suffixes=("", "|b"), validate="one_to_one"
        )
        finished = together[(together["status"] == "ok") & (together["status|b"] == "ok")]
        entries = list(dict.fromkeys(together["entry"]))
        metrics = [m for m in board.metrics if f"metric:{m.name}|b" in finished]
        measured = [_quality(finished, entries, metric) for metric in metrics]
        for place, entry in enumerate(entries):
            own = together[together["entry"] == entry]
            ended = finished[finished["entry"] == entry]
            row = Row(
                task=board.label,
                entry=entry,
                category=bool(board.targets),
                targets=int(own["unit"].nunique()) if board.targets else 0,
                within=board.slug in inside,
                pairs=len(ended),
                quality=[found[place][0] for found in measured],
                cost=_cost(own, ended),
            )
            rows.append(row)
            gaps += [(*found[place], row.category) for found in measured]
    _test(gaps)
    return rows


def _quality(
    finished: pd.DataFrame, entries: Sequence[str], metric: MetricInfo
) -> list[tuple[Quality, np.ndarray, float]]:
    """Per entry: the numbers, the differences of its units and the size of its values."""
    column = f"metric:{metric.name}"
    valued = finished[finished[column].notna() & finished[f"{column}|b"].notna()]
    # MS-SSIM of three scales and of four are two metrics.
    alike = valued[f"under:{metric.name}"] == valued[f"under:{metric.name}|b"]
    paired, unlike = valued[alike], valued[~alike]
    a, b = paired[column].to_numpy(np.float64), paired[f"{column}|b"].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        # ∞ beside ∞ is no difference
        paired = paired.assign(gap=np.where(a == b, 0.0, b - a))
    cubes = [cube(paired, name, entries) for name in (column, f"{column}|b", "gap")]
    sides = [intervals(c.values) for c in cubes]
    units = unit_means(cubes[2].values)
    better = units if metric.direction == "higher" else -units
    found = []
    for place in range(len(entries)):
        here = units[place][~np.isnan(units[place])]
        scale = float(np.nan_to_num(np.abs(cubes[0].values[place]), posinf=0.0).max())
        quality = Quality(
            metric=metric,
            a=sides[0][place].mean,
            b=sides[1][place].mean,
            difference=sides[2][place],
            deviation=_deviation(here),
            wins_a=int((better[place] < 0).sum()),
            wins_b=int((better[place] > 0).sum()),
            ties=int((better[place] == 0).sum()),
            identical=_all_zero(cubes[2], place),
            refused=_refused(metric, unlike[unlike["entry"] == entries[place]]),
        )
        found.append((quality, units[place], scale))
    return found


def _refused(metric: MetricInfo, pairs: pd.DataFrame) -> dict[str, int]:
    under = f"under:{metric.name}"
    found = Counter(zip(pairs[under], pairs[f"{under}|b"], strict=True))
    return {f"{metric.title}: A under {a}; B under {b}": n for (a, b), n in found.items()}


def _deviation(values: np.ndarray) -> float:
    spread = len(values) > 1 and np.isfinite(values).all()
    return float(values.std(ddof=1)) if spread else math.nan


def _all_zero(gaps: Cube, place: int) -> bool:
    values = gaps.values[place]
    present = ~np.isnan(values)
    return bool(present.any() and (values[present] == 0).all())


def _test(gaps: Sequence[tuple[Quality, np.ndarray, float, bool]]) -> None:
    """Tests of each metric, over all tasks and over all categories, corrected for their number."""
    families: dict[tuple[str, bool], list[tuple[Quality, np.ndarray, float]]] = {}
    for quality, units, scale, category in gaps:
        families.setdefault((quality.metric.name, category), []).append((quality, units, scale))
    for family in families.values():
        widest = max(len(units) for _, units, _ in family)
        padded = np.full((len(family), widest), np.nan)
        for row, (quality, units, _) in enumerate(family):
            # What is equal to the last digit needs no test, and takes no part in the correction.
            if not quality.identical:
                padded[row, : len(units)] = units
        p, methods = p_values(padded, np.array([scale for _, _, scale in family]))
        adjusted = holm(p)
        tests = int((~np.isnan(p)).sum())
        for row, (quality, _, _) in enumerate(family):
            quality.p, quality.adjusted = float(p[row]), float(adjusted[row])
            quality.method = str(methods[row])
            if tests and not math.isnan(p[row]):
                quality.detectable = detectable(
                    quality.deviation, quality.difference.units, ALPHA / tests
                )


def _cost(together: pd.DataFrame, finished: pd.DataFrame) -> Cost:
    same = finished["where"] == finished["where|b"]
    apart = finished[~same]
    unlike = Counter(zip(apart["where"], apart["where|b"], strict=True))
    refused = {f"times: A on {a}; B on {b}": number for (a, b), number in unlike.items()}
    cpu = (finished["device"] == "cpu") == (finished["device|b"] == "cpu")
    if not cpu.all():
        refused[RESIDENT] = int((~cpu).sum())
    return Cost(
        parameters_a=_parameters(together, ""),
        parameters_b=_parameters(together, "|b"),
        memory=_ratio(finished[cpu], "peak_memory"),
        time=_ratio(finished[same], "training"),
        timed=int(same.sum()),
        untimed=len(apart),
        refused=refused,
    )


def _parameters(cells: pd.DataFrame, side: str) -> tuple[float, float]:
    return (
        float(cells[f"params_mlp{side}"].mean()),
        float(cells[f"params_encoding{side}"].mean()),
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
