"""Compute standings from cells: means over units, intervals, and the ranks that tests support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
import pandas as pd

from encbench.results.palette import natural
from encbench_leaderboard.board.facts import WHENS, MetricInfo
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import Pairs, compare_all
from encbench_leaderboard.statistics.ranks import rank_intervals
from encbench_leaderboard.statistics.sample import Cube, cube, group_means, shared_units

OVER_DECADES = ("floor", "maximum", "median", "quantile_10", "minimum")
"""Numbers averaged as logarithms: the largest eigenvalue would dominate an arithmetic mean."""
MAY_BE_BELOW_FLOOR = (*OVER_DECADES[2:], "energy_tenth", "energy_90")
"""Numbers that a cell may lack since they need eigenvalues below the floor."""
TESTED = 200
"""Maximum number of entries, the best by value, that are tested in pairs: 19,900 pairs."""
AT_ONCE = 500
NOT_NUMBERS = ("entry", "encoding", "status", "seed", "unit", "repeat", "target")


def standings(
    cells: pd.DataFrame, metrics: Sequence[MetricInfo], *, category: bool
) -> tuple[pd.DataFrame, Pairs | None]:
    """A row per entry, best first, and tests of all pairs by the first metric, None if no entry has
    two units.

    Args:
        cells: a row per cell, with columns "unit" and "repeat".
        metrics: entries are ranked by the first one.
        category: whether units are targets; an entry that finished on fewer of them than others
            ranks below those, since its mean is over other images.

    Columns: "n", number of "cells" that finished; "units" with a value of the first metric; each
    number's mean, and ``|min`` and ``|max`` over cells; each metric's ``|low`` and ``|high`` (the
    95 % interval of the mean, NaN for none), ``|interval`` (its method) and ``|n``; "rank" by
    value; "rank_low" and "rank_high", the ranks compatible with the tests, or those of
    ``_untested_ranks``, or NaN; "tested", whether there was a test; "tied", whether none
    distinguishes the entry from the one above. Means are over units; each unit contributes the mean
    of its cells. On infinite values see ``exact_fits_capped``. Means of eigenvalues and floors are
    geometric, over the cells whose value is above the floor.
    """
    finished = (cells["status"] == "ok").to_numpy()
    place, _ = pd.factorize(cells["entry"])
    # of an entry without finished cells, parameters and learning rate are shown, but no quality
    shown = cells[finished | (np.bincount(place, finished) == 0)[place]]
    place, found = pd.factorize(shown["entry"])
    columns = _of_entries(shown, place)
    names = list(found)
    place = pd.Index(names).get_indexer(cells["entry"])

    def count(counted: np.ndarray) -> np.ndarray:
        """Number of counted cells per entry."""
        return np.bincount(place, counted, len(names)).astype(np.int64)

    columns["n"], columns["cells"] = count(finished), count(np.ones(len(cells)))
    for metric in metrics:
        name = f"metric:{metric.name}"
        of_metric = _intervals(cells, metric, names)
        columns |= {
            name: np.array([interval.mean for interval in of_metric]),
            f"{name}|low": np.array([interval.low for interval in of_metric]),
            f"{name}|high": np.array([interval.high for interval in of_metric]),
            f"{name}|interval": np.array([interval.method for interval in of_metric], object),
            f"{name}|n": count(valued := finished & cells[name].notna().to_numpy()),
            f"{name}|infinite": count(valued & np.isinf(cells[name].to_numpy())),
            f"{name}|zero": count(valued & (cells[name] == 0).to_numpy()),
        }
        mixed = _mixed(cells, metric, place, valued)
        columns[f"{name}|mixed"] = np.isin(np.arange(len(names)), mixed)
        for number in (name, f"{name}|low", f"{name}|high"):
            columns[number] = np.where(columns[f"{name}|mixed"], np.nan, columns[number])
        columns[f"{name}|interval"][columns[f"{name}|mixed"]] = ""
        if metric is metrics[0]:
            columns["units"] = np.array([interval.units for interval in of_metric])
    rank = _ranks(
        columns[f"metric:{metrics[0].name}"], columns["units"], metrics[0].higher, category
    )
    if len(_mixed(cells, metrics[0], np.zeros(len(cells)), finished)):
        # values under different conditions, such as MS-SSIM scales, cannot be ranked
        rank = np.full(len(names), np.nan)
    columns["rank"] = rank
    # NaN does not compare equal even to itself
    unranked, values = np.isnan(rank), np.nan_to_num(rank)
    keys = zip(columns["n"] == 0, unranked, values, map(natural, names), strict=True)
    order = [place for place, _ in sorted(enumerate(keys), key=itemgetter(1))]
    names = [names[i] for i in order]
    columns = {name: column[order] for name, column in columns.items()}
    tests, pairs = _tested(
        names, columns["rank"], columns["units"], cells, metrics[0], category=category
    )
    columns |= {"entry": np.array(names, dtype=object)} | tests
    # as ``text_series``; a series for each numeric column would double the time
    texts = {n: pd.Series(c, dtype=object) for n, c in columns.items() if c.dtype == object}
    return pd.DataFrame(columns | texts, index=pd.RangeIndex(len(names))), pairs


def _mixed(
    cells: pd.DataFrame, metric: MetricInfo, group: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """Those of the groups (cells,) whose counted values were taken under different conditions."""
    name = f"under:{metric.name}"
    if name not in cells:
        return np.empty(0)
    counted = counted & cells[f"metric:{metric.name}"].notna().to_numpy()
    conditions = cells[name][counted].groupby(group[counted]).nunique()
    return conditions.index[conditions > 1].to_numpy()


def _intervals(cells: pd.DataFrame, metric: MetricInfo, entries: list[str]) -> list[Interval]:
    """Mean and interval of each entry; without an interval if any value is infinite."""
    infinite = cells[(cells["status"] == "ok") & np.isinf(cells[f"metric:{metric.name}"])]
    without = set(infinite["entry"])
    found: list[Interval] = []
    # a cube of thousands of entries with different seeds would be nearly empty
    for start in range(0, len(entries), AT_ONCE):
        part = entries[start : start + AT_ONCE]
        found += intervals(metric_cube(cells, metric, part).values)
    return [
        replace(one, low=math.nan, high=math.nan, method="") if entry in without else one
        for entry, one in zip(entries, found, strict=True)
    ]


def metric_cube(cells: pd.DataFrame, metric: MetricInfo, entries: Sequence[str]) -> Cube:
    """Values of a metric as they count in means and tests: see ``exact_fits_capped``."""
    capped = cells[["entry", "status", "unit", "repeat"]].assign(
        value=exact_fits_capped(cells, metric)
    )
    return cube(capped, "value", entries)


def exact_fits_capped(
    cells: pd.DataFrame, metric: MetricInfo, table: pd.DataFrame | None = None
) -> np.ndarray:
    """(cells,) values of a metric, in which an infinitely good one (an exact fit has a PSNR of ∞)
    is the best finite value of all cells, so that a mean exists and no exact fit lowers it. An
    entry without any other value keeps them. An infinitely bad value is left as it is. ``table``:
    all cells, if ``cells`` are some of them."""
    values, known = _values(cells, metric)
    exact = known & (values == metric.sign * np.inf)
    of_table, usable = (values, known) if table is None else _values(table, metric)
    finite = of_table[usable & np.isfinite(of_table)]
    if not exact.any() or not len(finite):
        return values
    mixed = exact & cells["entry"].isin(cells["entry"][known & ~exact]).to_numpy()
    return np.where(mixed, metric.sign * (metric.sign * finite).max(), values)


def _values(cells: pd.DataFrame, metric: MetricInfo) -> tuple[np.ndarray, np.ndarray]:
    """(cells,) values of a metric, and whether they are those of finished cells."""
    values = cells[f"metric:{metric.name}"].to_numpy(dtype=np.float64)
    return values, (cells["status"] == "ok").to_numpy() & ~np.isnan(values)


def _of_entries(shown: pd.DataFrame, place: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, minimum and maximum of each number, and counts below the floor, per entry ``place``
    (cells,)."""
    numbers = [c for c in shown.columns if c not in NOT_NUMBERS and not c.startswith("under:")]
    values = shown[numbers].to_numpy(dtype=np.float64)
    of_entry = pd.DataFrame(values).groupby(place, sort=False)
    lowest, highest = of_entry.min().to_numpy(), of_entry.max().to_numpy()
    columns = dict(zip(numbers, _means(shown, values, numbers, place).T, strict=True))
    for column, name in enumerate(numbers):
        columns[f"{name}|min"], columns[f"{name}|max"] = lowest[:, column], highest[:, column]
    return columns | _below(shown, place, len(lowest))


def _means(
    shown: pd.DataFrame, values: np.ndarray, numbers: Sequence[str], place: np.ndarray
) -> np.ndarray:
    """Means over units (entries, numbers) of values (cells, numbers)."""
    over_decades = np.isin(numbers, [f"{when}:{name}" for when in WHENS for name in OVER_DECADES])
    unit, units = pd.factorize(shown["unit"])
    pair, pairs = pd.factorize(place * len(units) + unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = values.copy()
        turned[:, over_decades] = np.log(values[:, over_decades])
        means = group_means(group_means(turned, pair), pairs // len(units))
        means[:, over_decades] = np.exp(means[:, over_decades])
    return means


def _below(shown: pd.DataFrame, place: np.ndarray, entries: int) -> dict[str, np.ndarray]:
    """Number of cells per entry with a spectrum, and of those with a statistic below the floor."""
    counts = {}
    for when in WHENS:
        taken = shown[f"{when}:size"].notna().to_numpy()
        counts[f"{when}:taken"] = taken
        for number in MAY_BE_BELOW_FLOOR:
            below = taken & shown[f"{when}:{number}"].isna().to_numpy()
            counts[f"{when}:{number}|below"] = below
    return {
        name: np.bincount(place, counted, entries).astype(np.int64)
        for name, counted in counts.items()
    }


def _ranks(values: np.ndarray, units: np.ndarray, higher: bool, category: bool) -> np.ndarray:
    """Ranks of values (entries,); equal values share their best rank; NaN if there is no value."""
    ranks = np.full(len(values), np.nan)
    ranked = ~np.isnan(values) & (units > 0)
    fewer = -units[ranked] if category else np.zeros(ranked.sum())
    keys = np.column_stack([fewer, -values[ranked] if higher else values[ranked]])
    _, place, number = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    ranks[ranked] = (1 + np.cumsum(number) - number)[place.reshape(-1)]
    return ranks


def _tested(
    names: Sequence[str],
    rank: np.ndarray,
    units: np.ndarray,
    cells: pd.DataFrame,
    metric: MetricInfo,
    *,
    category: bool,
) -> tuple[dict[str, np.ndarray], Pairs | None]:
    """Columns on the tests of the best entries, and the tests; entries are in order of rank."""
    ranked = np.flatnonzero(~np.isnan(rank))
    best = ranked[:TESTED]
    nothing, no = np.full(len(names), np.nan), np.zeros(len(names), dtype=bool)
    columns = {
        "rank_low": nothing,
        "rank_high": nothing.copy(),
        "tested": no,
        "tied": no.copy(),
    }
    if category and len(best):
        low, high = _untested_ranks(cells, metric, [names[i] for i in best], rank[best])
        apart = low < high
        columns["rank_low"][best[apart]] = low[apart]
        columns["rank_high"][best[apart]] = high[apart]
    if not (units[best] > 1).any():
        return columns, None
    pairs = compare_all(metric_cube(cells, metric, [names[i] for i in best]))
    low, high = rank_intervals(pairs, rank[best], len(ranked), higher=metric.higher)
    known = ~np.isnan(pairs.p)
    tested = np.zeros(len(best), dtype=bool)
    tested[pairs.first[known]] = tested[pairs.second[known]] = True
    columns["tested"][best] = tested
    tied = pairs.second[(pairs.second == pairs.first + 1) & known & ~pairs.significant()]
    columns["tied"][best[tied]] = True
    columns["rank_low"][best[tested]] = low[tested]
    columns["rank_high"][best[tested]] = high[tested]
    return columns, pairs if known.any() else None


def _untested_ranks(
    cells: pd.DataFrame, metric: MetricInfo, entries: Sequence[str], rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest rank of each entry of a category by value (entries,), if no mean is
    compared with one over other targets: without a common one, or as many but not the same."""
    common = shared_units(cells, f"metric:{metric.name}", entries)
    number = common.diagonal()
    apart = (common == 0) | ((number[:, None] == number) & (common < number))
    above, below = rank < rank[:, None], rank > rank[:, None]
    return rank - (apart & above).sum(axis=1), rank + (apart & below).sum(axis=1)
