"""Does the spectrum predict quality? Rank correlations over cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encbench_leaderboard.board.table import TaskBoard

TOO_FEW = 5
"""Fewer cells, or fewer encodings, than this say nothing about a rank correlation."""
STATISTICS = {
    "maximum": "λ_max",
    "median": "λ median",
    "quantile_10": "λ 10th percentile",
    "resolved_rank": "resolved rank",
    "effective_rank": "effective rank",
}


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ between a statistic of the spectrum and quality, over one task's cells."""

    statistic: str
    when: str
    rho: float  # in [−1, 1]; NaN: one of the two does not vary
    cells: int
    entries: int

    @property
    def too_few(self) -> bool:
        return self.cells < TOO_FEW or self.entries < TOO_FEW


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ of x (n,) and y (n,): Pearson's correlation of the ranks, ties at their mean.
    NaN where either does not vary, or n < 2."""
    a, b = (_mean_ranks(values) - (len(values) + 1) / 2 for values in (x, y))
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else math.nan


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, place, equal = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(equal) - (equal - 1) / 2)[place]
    return ranks


def correlations(task: TaskBoard, when: str) -> list[Correlation]:
    """ρ of every statistic at that time over the cells that finished with a spectrum. Eigenvalues
    below the floor rank under every resolved one, tied. Quality is turned so that higher is
    better."""
    quality = f"metric:{task.primary.name}"
    cells = task.cells[task.cells["status"] == "ok"].dropna(subset=[quality, f"{when}:size"])
    # values under different conditions, such as other numbers of scales, have no common order
    under = cells[f"under:{task.primary.name}"]
    cells = cells[under.isin(under.mode()[:1])]
    sign = 1.0 if task.primary.direction == "higher" else -1.0
    y = cells[quality].to_numpy() * sign
    count, entries = len(cells), cells["entry"].nunique()
    return [
        Correlation(
            name,
            when,
            spearman(cells[f"{when}:{name}"].fillna(-math.inf).to_numpy(), y),
            count,
            entries,
        )
        for name in STATISTICS
    ]


def mean_rho(tasks: Sequence[TaskBoard], when: str) -> dict[str, tuple[float, int]]:
    """Of each statistic, ρ averaged over the tasks that have enough cells and a defined ρ; and
    their number."""
    values: dict[str, list[float]] = {name: [] for name in STATISTICS}
    for task in tasks:
        for c in correlations(task, when):
            if not c.too_few and not math.isnan(c.rho):
                values[c.statistic].append(c.rho)
    return {name: (sum(v) / len(v) if v else math.nan, len(v)) for name, v in values.items()}
