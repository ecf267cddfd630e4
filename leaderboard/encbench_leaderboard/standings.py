"""Cells become standings: means over units, their intervals, and ranks as the data allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from encbench_leaderboard.cells import WHENS, MetricInfo
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import Pairs, compare_all
from encbench_leaderboard.statistics.ranks import rank_intervals
from encbench_leaderboard.statistics.sample import cube

__all__ = ["MAY_BE_BELOW_FLOOR", "TESTED", "natural", "standings"]

MAY_BE_BELOW_FLOOR = ("median", "quantile_10", "minimum")
OVER_DECADES = ("floor", "maximum", *MAY_BE_BELOW_FLOOR)
"""Averaged as logarithms: of eigenvalues a decade apart the larger would be the mean."""
TESTED = 200
"""Entries, the best by value, that are tested against one another: 19,900 pairs."""
AT_ONCE = 500
NOT_NUMBERS = ("entry", "encoding", "status", "seed", "unit", "repeat", "target")


def standings(
    cells: pd.DataFrame, metrics: Sequence[MetricInfo], *, category: bool
) -> tuple[pd.DataFrame, Pairs | None]:
    """One row an entry, best first, and the tests of all pairs by the first metric.

    Args:
        cells: one row a cell, columns "unit" and "repeat" among them.
        category: whether units are targets; an entry that finished on fewer of them than others
            ranks below those, for its mean is over other images.

    Returns:
        Standings, and None for the tests where no entry has two units.

        Columns: "n" cells that finished of "cells"; "units" with a value of the first metric;
        each number's mean, and ``|min`` and ``|max`` over cells; each metric's ``|low`` and
        ``|high`` (the 95 % interval of the mean, NaN for none), ``|interval`` (its method) and
        ``|n``; "rank" by value; "rank_low" and "rank_high", which the tests allow; "tested",
        whether there was one; "tied", whether it does not tell the entry from the one above.

        Means are over units, of the mean over each unit's cells; of eigenvalues and floors they
        are geometric, over the cells where they are above the floor.
    """
    ok = cells["status"] == "ok"
    any_ok = ok.groupby(cells["entry"]).transform("any")
    # What a failed entry has (parameters, learning rate) is shown; its quality is not.
    shown = cells[ok | ~any_ok]
    numbers = [column for column in cells.columns if column not in NOT_NUMBERS]
    by_entry = shown.groupby("entry", sort=False)
    table = pd.concat(
        [
            _means(shown, numbers),
            by_entry[numbers].min().add_suffix("|min"),
            by_entry[numbers].max().add_suffix("|max"),
            _below(shown),
        ],
        axis=1,
    )
    entries = list(table.index)
    table["n"] = ok.groupby(cells["entry"], sort=False).sum().reindex(entries).astype(int)
    table["cells"] = cells.groupby("entry", sort=False).size().reindex(entries)
    added: dict[str, list[Any]] = {}
    for metric in metrics:
        column = f"metric:{metric.name}"
        of_metric = _intervals(cells, column, entries)
        added |= _columns(column, of_metric)
        finished = cells.loc[ok, column].notna().groupby(cells.loc[ok, "entry"]).sum()
        added[f"{column}|n"] = finished.reindex(entries).fillna(0).astype(int).tolist()
        if metric is metrics[0]:
            added["units"] = [interval.units for interval in of_metric]
    table = table.assign(**added)
    table = _ranked(table, f"metric:{metrics[0].name}", metrics[0].direction == "higher", category)
    pairs = _tested(table, cells, metrics[0])
    return table.reset_index(names="entry"), pairs


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which 4 comes before 16."""
    parts = re.findall(r"\d+|\D+", text.lower())
    return tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts)


def _intervals(cells: pd.DataFrame, column: str, entries: list[str]) -> list[Interval]:
    # A cube of thousands of entries, each under seeds of its own, would be nearly empty.
    parts = (entries[start : start + AT_ONCE] for start in range(0, len(entries), AT_ONCE))
    return [found for part in parts for found in intervals(cube(cells, column, part).values)]


def _means(shown: pd.DataFrame, numbers: list[str]) -> pd.DataFrame:
    values = shown[numbers].copy()
    over_decades = [f"{when}:{number}" for when in WHENS for number in OVER_DECADES]
    with np.errstate(divide="ignore", invalid="ignore"):
        values[over_decades] = np.log(values[over_decades])
        values[["entry", "unit"]] = shown[["entry", "unit"]]
        by_unit = values.groupby(["entry", "unit"], sort=False)[numbers].mean()
        means = by_unit.groupby("entry", sort=False).mean()
        means[over_decades] = np.exp(means[over_decades])
    return means


def _below(shown: pd.DataFrame) -> pd.DataFrame:
    """Cells with a spectrum, and those of them whose number is below its floor."""
    counts = {}
    for when in WHENS:
        taken = shown[f"{when}:size"].notna()
        counts[f"{when}:taken"] = taken
        for number in MAY_BE_BELOW_FLOOR:
            counts[f"{when}:{number}|below"] = taken & shown[f"{when}:{number}"].isna()
    return pd.DataFrame(counts).groupby(shown["entry"], sort=False).sum().astype(int)


def _columns(column: str, found: Sequence[Interval]) -> dict[str, list[Any]]:
    return {
        column: [interval.mean for interval in found],
        f"{column}|low": [interval.low for interval in found],
        f"{column}|high": [interval.high for interval in found],
        f"{column}|interval": [interval.method for interval in found],
    }


def _ranked(table: pd.DataFrame, primary: str, higher: bool, category: bool) -> pd.DataFrame:
    units = table["units"].where(table[primary].notna(), 0)
    complete = units if category else (units > 0).astype(int)
    table["rank"] = np.nan
    above = 0
    for level in sorted({int(n) for n in complete if n > 0}, reverse=True):
        here = table.loc[complete == level, primary]
        table.loc[here.index, "rank"] = above + here.rank(method="min", ascending=not higher)
        above += len(here)
    order = pd.Series([natural(str(entry)) for entry in table.index], index=table.index)
    table = table.assign(order=order, unfinished=table["n"] == 0)
    table = table.sort_values(["unfinished", "rank", "order"])
    return table.drop(columns=["order", "unfinished"])


def _tested(table: pd.DataFrame, cells: pd.DataFrame, metric: MetricInfo) -> Pairs | None:
    ranked = table[table["rank"].notna()]
    entries = list(ranked.index[:TESTED])
    table["rank_low"] = table["rank_high"] = np.nan
    table["tested"] = table["tied"] = False
    if not (ranked["units"][:TESTED] > 1).any():
        return None
    pairs = compare_all(cube(cells, f"metric:{metric.name}", entries))
    low, high = rank_intervals(
        pairs,
        ranked["rank"].to_numpy(dtype=np.float64)[:TESTED],
        len(ranked),
        higher=metric.direction == "higher",
    )
    spoken = ~np.isnan(pairs.p)
    tested = np.zeros(len(entries), dtype=bool)
    tested[pairs.first[spoken]] = tested[pairs.second[spoken]] = True
    table.loc[entries, "tested"] = tested
    tied = pairs.second[(pairs.second == pairs.first + 1) & spoken & ~pairs.significant()]
    table.loc[[entries[place] for place in tied], "tied"] = True
    table.loc[entries, "rank_low"] = np.where(tested, low, np.nan)
    table.loc[entries, "rank_high"] = np.where(tested, high, np.nan)
    return pairs if spoken.any() else None
