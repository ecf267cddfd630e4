"""Encodings over tasks: ranks, mean ranks, and tests over tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.statistics.across import (
    FEWEST_TASKS,
    Wins,
    friedman_p,
    sign_tests,
)
from encbench_leaderboard.statistics.pairs import ALPHA
from encbench_leaderboard.statistics.ranks import ranks_with_failures


@dataclass(frozen=True)
class OverTasks:
    """Tests over tasks, of the entries that were run on all of them."""

    entries: tuple[str, ...]
    tasks: int
    friedman: float  # p-value of Friedman's test; NaN for two entries
    wins: tuple[Wins, ...]  # all pairs of entries, by index

    @property
    def sure(self) -> list[Wins]:
        return [pair for pair in self.wins if pair.adjusted <= ALPHA]


@dataclass(frozen=True)
class Overview:
    """Ranks of entries over tasks; a category counts as one task."""

    groups: tuple[TaskBoard, ...]
    entries: tuple[str, ...]  # by number of tasks finished, descending, then by mean rank
    finished: np.ndarray  # (entries,) number of tasks that rank the entry and that it finished
    ranks: np.ndarray
    """(entries, groups); NaN if an entry was not run, or a task has no ranking. Equal values share
    their mean rank; entries that did not finish rank after all that did."""
    tests: OverTasks | None  # None for fewer than FEWEST_TASKS tasks

    def mean_rank(self, place: int) -> float:
        """Mean rank over the tasks that rank the entry; NaN if there is none."""
        return float(pd.Series(self.ranks[place]).mean())

    def tasks(self, place: int) -> int:
        """Number of tasks that rank the entry."""
        return int((~np.isnan(self.ranks[place])).sum())


def overview(board: Board) -> Overview:
    """Rank the entries of each group by its primary metric."""
    groups = tuple(board.groups)
    names = list(board.entries)
    place = {name: index for index, name in enumerate(names)}
    ranks = np.full((len(names), len(groups)), np.nan)
    finished = np.zeros(len(names), dtype=np.int64)
    for column, group in enumerate(groups):
        table = group.standings
        unordered = (table["n"] > 0).any() and table["rank"].isna().all()
        if len(table) < 2 or unordered:
            # a single entry, or entries without order, have no ranks
            continue
        rows = [place[entry] for entry in group.standings["entry"]]
        # Ranks, not values: in a category, incomplete entries rank below complete ones.
        ranks[rows, column] = ranks_with_failures(
            group.standings["rank"].to_numpy(dtype=np.float64), higher=False
        )
        finished[rows] += (group.standings["n"] > 0).to_numpy()
    order = np.lexsort((pd.DataFrame(ranks).mean(axis=1).fillna(0.0), -finished))
    ordered = tuple(names[i] for i in order)
    return Overview(groups, ordered, finished[order], ranks[order], _tests(ordered, ranks[order]))


def _tests(entries: tuple[str, ...], ranks: np.ndarray) -> OverTasks | None:
    ranks = ranks[:, ~np.isnan(ranks).all(axis=0)]
    everywhere = ~np.isnan(ranks).any(axis=1)
    tasks = ranks.shape[1]
    if tasks < FEWEST_TASKS or everywhere.sum() < 2:
        return None
    # Ranked among themselves, so that entries run on fewer tasks do not affect their ranks.
    among = np.stack([ranks_with_failures(r, higher=False) for r in ranks[everywhere].T])
    return OverTasks(
        tuple(e for e, kept in zip(entries, everywhere, strict=True) if kept),
        tasks,
        friedman_p(among),
        tuple(sign_tests(among)),
    )
