"""Rank correlations between statistics of the spectrum and quality, over cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from encbench_leaderboard.board.facts import STATISTICS
from encbench_leaderboard.board.table import TaskBoard

TOO_FEW = 5
"""Minimum number of cells, and of encodings, for a rank correlation."""
MAY_BE_MISSING = ("alignment_centred", "energy_tenth")
"""Statistics that are missing if they were not computed; for the others, a missing value is below
its floor."""
NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Misprediction:
    """The encoding and task farthest from a linear fit of ranks."""

    entry: str
    task: str
    ranks: float  # rank of quality minus fitted rank; negative: worse than predicted
    cells: int  # number of cells ranked


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ between a statistic of the spectrum and quality over one task's cells, or its
    mean over tasks."""

    statistic: str
    when: str
    rho: float  # in [−1, 1]; NaN: one of the two does not vary
    cells: int
    encodings: int  # an encoding under several settings counts once
    tasks: int = 1
    worst: Misprediction | None = None

    @property
    def too_few(self) -> bool:
        return self.cells < TOO_FEW or self.encodings < TOO_FEW

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of ρ; NaN if there is none.

        tanh(atanh ρ ± 1.96 √((1 + ρ²/2) / (n − 3))), with n the number of encodings: cells of one
        encoding count once, also on several tasks. Source: Bonett, Wright, "Sample size
        requirements for estimating Pearson, Kendall and Spearman correlations", Psychometrika 65,
        2000.
        """
        if self.too_few or not abs(self.rho) < 1 - 1e-12:
            return math.nan, math.nan
        half = NORMAL * math.sqrt((1 + self.rho**2 / 2) / (self.encodings - 3))
        centre = math.atanh(self.rho)
        return math.tanh(centre - half), math.tanh(centre + half)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ of x (n,) and y (n,): Pearson's correlation of the ranks; ties share their mean
    rank. NaN if either does not vary, or n < 2."""
    a, b = _centred_ranks(x), _centred_ranks(y)
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else math.nan


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    ranks = pd.Series(values).rank().to_numpy()
    return ranks - (len(values) + 1) / 2


def correlations(task: TaskBoard, when: str) -> list[Correlation]:
    """ρ of every recorded statistic at time ``when`` over the cells that finished with a spectrum.
    Eigenvalues below the floor are tied below all resolved ones. Quality has the sign with which
    higher is better."""
    quality = f"metric:{task.primary.name}"
    cells = task.cells[task.cells["status"] == "ok"].dropna(subset=[quality, f"{when}:size"])
    # values under different conditions, such as numbers of scales, must not be ranked together
    under = cells[f"under:{task.primary.name}"]
    cells = cells[under.isin(under.mode()[:1])]
    turned = task.primary.sign * cells[quality].to_numpy()
    numbers, entries = pd.factorize(cells["entry"], sort=True)
    encodings = np.array([one.encoding for one in task.facts], dtype=object)[cells.index]
    found = []
    for name in STATISTICS:
        values = cells[f"{when}:{name}"].to_numpy()
        known = ~np.isnan(values) if name in MAY_BE_MISSING else np.ones(len(values), bool)
        if name not in MAY_BE_MISSING or known.any():
            x = np.where(np.isnan(values), -math.inf, values)
            rho, worst = _rho(x[known], turned[known], numbers[known], entries, task.label)
            distinct = len(set(encodings[known]))
            found.append(Correlation(name, when, rho, int(known.sum()), distinct, worst=worst))
    return found


def _rho(
    x: np.ndarray, y: np.ndarray, of: np.ndarray, entries: pd.Index[Any], task: str
) -> tuple[float, Misprediction | None]:
    """Spearman's ρ of x and y (n,), and the entry farthest from the line fitted to their ranks;
    ``of`` (n,) is the index of each cell's entry."""
    rho = spearman(x, y)
    if math.isnan(rho):
        return rho, None
    a, b = _centred_ranks(x), _centred_ranks(y)
    off = np.bincount(of, b - a * float(a @ b) / float(a @ a)) / np.maximum(np.bincount(of), 1)
    worst = int(abs(off).argmax())
    return rho, Misprediction(str(entries[worst]), task, float(off[worst]), len(x))


def mean_rho(of_tasks: Iterable[Sequence[Correlation]], when: str) -> dict[str, Correlation]:
    """Mean ρ of each recorded statistic over the tasks with enough cells and a defined ρ.

    Each has the worst misprediction over tasks, and the smallest number of encodings on a task.

    Args:
        of_tasks: ``correlations`` of each task.
        when: the time at which the spectra were taken.
    """
    found: dict[str, list[Correlation]] = {}
    for of_task in of_tasks:
        for c in of_task:
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
        min((c.encodings for c in found), default=0),
        len(found),
        max(worst, key=lambda one: abs(one.ranks) / one.cells, default=None),
    )
