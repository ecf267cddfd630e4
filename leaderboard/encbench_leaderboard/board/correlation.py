"""Does the spectrum predict quality? Rank correlations over cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from encbench_leaderboard.board.cells import STATISTICS
from encbench_leaderboard.board.table import TaskBoard

TOO_FEW = 5
"""Fewer cells, or fewer encodings, than this say nothing about a rank correlation."""
MAY_BE_MISSING = ("alignment_centred", "energy_tenth")
"""Not recorded by earlier versions, nor where they were not computed; of the others a missing value
is below its floor."""
NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Misprediction:
    """The encoding and task that lie farthest from a fit of ranks."""

    entry: str
    task: str
    ranks: float  # quality's rank above the fitted one; negative: worse than predicted
    cells: int  # that were ranked


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ between a statistic of the spectrum and quality, over one task's cells, or its
    mean over several tasks."""

    statistic: str
    when: str
    rho: float  # in [−1, 1]; NaN: one of the two does not vary
    cells: int
    entries: int
    tasks: int = 1
    worst: Misprediction | None = None

    @property
    def too_few(self) -> bool:
        return self.cells < TOO_FEW or self.entries < TOO_FEW

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ρ, of the number of encodings; NaN where there is none.

        Cells of one encoding, and of one encoding on several tasks, count once. tanh(atanh ρ ±
        1.96 √((1 + ρ²/2) / (n − 3))). Source: Bonett, Wright, "Sample size requirements for
        estimating Pearson, Kendall and Spearman correlations", Psychometrika 65, 2000.
        """
        if self.too_few or not abs(self.rho) < 1 - 1e-12:
            return math.nan, math.nan
        half = NORMAL * math.sqrt((1 + self.rho**2 / 2) / (self.entries - 3))
        centre = math.atanh(self.rho)
        return math.tanh(centre - half), math.tanh(centre + half)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ of x (n,) and y (n,): Pearson's correlation of the ranks, ties at their mean.
    NaN where either does not vary, or n < 2."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else math.nan


def correlations(task: TaskBoard, when: str) -> list[Correlation]:
    """ρ of every recorded statistic at that time over the cells that finished with a spectrum.
    Eigenvalues below the floor rank under every resolved one, tied. Quality is turned so that
    higher is better."""
    quality = f"metric:{task.primary.name}"
    cells = task.cells[task.cells["status"] == "ok"].dropna(subset=[quality, f"{when}:size"])
    # values under different conditions, such as other numbers of scales, have no common order
    under = cells[f"under:{task.primary.name}"]
    cells = cells[under.isin(under.mode()[:1])]
    sign = 1.0 if task.primary.direction == "higher" else -1.0
    recorded = [
        n for n in STATISTICS if n not in MAY_BE_MISSING or cells[f"{when}:{n}"].notna().any()
    ]
    return [_correlation(task, name, when, cells, sign * cells[quality]) for name in recorded]


def _correlation(
    task: TaskBoard, name: str, when: str, cells: pd.DataFrame, quality: pd.Series[float]
) -> Correlation:
    values = cells[f"{when}:{name}"]
    known = values.notna() if name in MAY_BE_MISSING else pd.Series(True, values.index)
    x, y = values[known].fillna(-math.inf).to_numpy(), quality[known].to_numpy()
    entries = cells["entry"][known]
    rho = spearman(x, y)
    worst = None
    if not math.isnan(rho):
        a, b = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
        off = pd.Series(b - a * float(a @ b) / float(a @ a)).groupby(entries.to_numpy()).mean()
        at = str(off.abs().idxmax())
        worst = Misprediction(at, task.label, float(off[at]), len(x))
    return Correlation(name, when, rho, len(x), entries.nunique(), worst=worst)


def mean_rho(tasks: Sequence[TaskBoard], when: str) -> dict[str, Correlation]:
    """Of each statistic that was recorded, ρ averaged over the tasks that have enough cells and a
    defined ρ; the worst prediction of all; and the encodings of the task with the fewest."""
    found: dict[str, list[Correlation]] = {}
    for task in tasks:
        for c in correlations(task, when):
            kept = found.setdefault(c.statistic, [])
            if not c.too_few and not math.isnan(c.rho):
                kept.append(c)
    return {name: _mean(name, when, of) for name, of in found.items()}


def _mean(name: str, when: str, found: Sequence[Correlation]) -> Correlation:
    worst = [c.worst for c in found if c.worst is not None]
    return Correlation(
        name,
        when,
        sum(c.rho for c in found) / len(found) if found else math.nan,
        sum(c.cells for c in found),
        min((c.entries for c in found), default=0),
        len(found),
        max(worst, key=lambda one: abs(one.ranks) / one.cells, default=None),
    )
