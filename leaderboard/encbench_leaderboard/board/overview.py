"""Encodings over tasks: ranks, their means, and what tests over tasks say."""

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
    """Tests over the tasks that some entries were all run on."""

    entries: tuple[str, ...]
    tasks: int
    friedman: float  # p that these entries do not differ; NaN for two
    wins: tuple[Wins, ...]  # pairs of entries, by place

    @property
    def sure(self) -> list[Wins]:
        return [pair for pair in self.wins if pair.adjusted <= ALPHA]


@dataclass(frozen=True)
class Overview:
    """Ranks of entries over tasks, a category counted as one task."""

    groups: tuple[TaskBoard, ...]
    entries: tuple[str, ...]  # what finished on most tasks first, of those the best mean rank
    finished: np.ndarray  # (entries,) on how many of the tasks that rank it an entry finished
    ranks: np.ndarray
    """(entries, groups); NaN where an entry was not run, or alone. Equal values share their mean
    rank; what did not finish ranks after all that did."""
    tests: OverTasks | None  # None for fewer than FEWEST_TASKS tasks

    def mean_rank(self, place: int) -> float:
        """Over the tasks that rank the entry; NaN where there is none."""
        return float(pd.Series(self.ranks[place]).mean())

    def tasks(self, place: int) -> int:
        """How many rank the entry."""
        return int((~np.isnan(self.ranks[place])).sum())


def overview(board: Board) -> Overview:
    """Rank the entries of each group by its primary metric."""
    groups = tuple(board.groups)
    # An entry of a category may be named by settings that no single task varies, and reversely.
    present = {entry for group in groups for entry in group.standings["entry"]}
    names = [name for name in board.entries if name in present]
    place = {name: index for index, name in enumerate(names)}
    ranks = np.full((len(names), len(groups)), np.nan)
    finished = np.zeros(len(names), dtype=np.int64)
    for column, group in enumerate(groups):
        table = group.standings
        unordered = (table["n"] > 0).any() and table["rank"].isna().all()
        if len(table) < 2 or unordered:
            # the best of one says nothing
            continue
        rows = [place[entry] for entry in group.standings["entry"]]
        # Ranks, not values: an incomplete entry of a category stands below complete ones.
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
    # Ranked among themselves: what ran on fewer tasks must not change their ranks.
    among = np.stack([ranks_with_failures(r, higher=False) for r in ranks[everywhere].T])
    return OverTasks(
        tuple(e for e, kept in zip(entries, everywhere, strict=True) if kept),
        tasks,
        friedman_p(among),
        tuple(sign_tests(among)),
    )
