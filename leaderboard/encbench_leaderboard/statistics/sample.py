"""Arrange cells as a sample: units of replication, and the repeats within each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Cube:
    """Values by entry, unit and repeat.

    On one task, a unit is a seed, with one cell. In a category, a unit is an image, and its repeats
    are seeds; units are compared, since seeds of one image say nothing about other images.
    """

    entries: tuple[str, ...]
    values: np.ndarray  # (entries, units, repeats) float64; NaN if no cell finished with a value


def cube(cells: pd.DataFrame, column: str, entries: Sequence[str]) -> Cube:
    """Arrange ``column`` of the finished cells by "entry", "unit" and "repeat". Cells with the same
    entry, unit and repeat (two copies of an image) count once, with their mean."""
    place = {entry: index for index, entry in enumerate(entries)}
    values = cells[column].to_numpy(dtype=np.float64)
    of = np.array([place.get(entry, -1) for entry in cells["entry"]], dtype=np.int64)
    kept = (of >= 0) & (cells["status"] == "ok").to_numpy() & ~np.isnan(values)
    i, values = of[kept], values[kept]
    j, units = pd.factorize(cells["unit"][kept], sort=True)
    k, repeats = pd.factorize(cells["repeat"][kept], sort=True)
    shape = (len(entries), max(1, len(units)), max(1, len(repeats)))
    total, number = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (i, j, k), values)
    np.add.at(number, (i, j, k), 1.0)
    with np.errstate(invalid="ignore"):
        return Cube(tuple(entries), total / number)


def covered(cells: pd.DataFrame, column: str, entries: Sequence[str]) -> np.ndarray:
    """(entries, units) bool: whether an entry has a finished cell with a value in a unit."""
    of = pd.Index(entries).get_indexer(pd.Index(cells["entry"]))
    kept = (of >= 0) & (cells["status"] == "ok").to_numpy() & cells[column].notna().to_numpy()
    unit, units = pd.factorize(cells["unit"][kept])
    found = np.zeros((len(entries), len(units)), dtype=bool)
    found[of[kept], unit] = True
    return found


def shared_units(cells: pd.DataFrame, column: str, entries: Sequence[str]) -> np.ndarray:
    """(entries, entries) number of units in which both have a finished cell with a value."""
    # in float32, matrix products are fast, and exact up to 2²⁴
    on = covered(cells, column, entries).astype(np.float32)
    shared: np.ndarray = on @ on.T
    return shared


def unit_means(values: np.ndarray) -> np.ndarray:
    """Means over the repeats that have a value: (…, units, repeats) -> (…, units); NaN if none."""
    present = ~np.isnan(values)
    number = present.sum(axis=-1)
    total = np.where(present, values, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = total / number
    return means


def group_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Means of the non-NaN values (n, numbers) per group (n,): (groups, numbers), NaN if none;
    groups in order of first appearance."""
    means = np.empty((len(np.unique(group)), values.shape[1]))
    # in pandas, a NaN in one column changes the rounding of sums in the others
    gaps = np.isnan(values).any(axis=0)
    for alike in (gaps, ~gaps):
        if alike.any():
            found = pd.DataFrame(values[:, alike]).groupby(group, sort=False).mean()
            means[:, alike] = found.to_numpy()
    return means
