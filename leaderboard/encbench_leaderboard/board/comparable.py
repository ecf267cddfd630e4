"""Which cells and points ``encbench plot`` can compare; the others are left out and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from encbench.errors import plural

POINT = ["encoding", "settings", "entry"]
"""Columns in which all cells of a point have the same values."""
NAMED = 4
"""Maximum number of targets that a note names."""
LeftOut = Counter[tuple[str, str]]
"""Numbers of what is left out: "cell" or "point", and the sentence on it."""


@dataclass(frozen=True)
class Number:
    """The number on the y axis."""

    values: np.ndarray  # (cells,), NaN if missing
    title: str  # with its unit
    name: str  # without
    below: np.ndarray | bool = False  # (cells,), whether it is missing because of the floor
    cost: bool = False  # whether it is infinite for a cell that never reached a value
    infinite: str = ""  # what an infinite value means


@dataclass(frozen=True)
class Selection:
    """The cells that are drawn, and sentences on the others."""

    cells: pd.DataFrame
    left_out: LeftOut
    notes: list[str]


def sentences(left_out: LeftOut) -> list[str]:
    """One sentence for each kind of what is left out."""
    return [f"{plural(count, noun)} {rest}." for (noun, rest), count in left_out.items() if count]


def comparable(cells: pd.DataFrame, of: Number, task: str, *, category: bool) -> Selection:
    """The finished cells that have x and y, without points whose means would be over other cells
    than those they are compared with.

    - A point with an infinite value is left out: a mean over its other cells would be too good for
      a cost, and too bad for an exact fit.
    - In a category, all means are over the same targets, see ``common_units``.
    - A point with eigenvalues below the floor is drawn without them, and counted.
    - Seeds are exchangeable: means over different numbers of seeds are drawn, with a note.

    Args:
        cells: a row per cell, with "number", "below", x and the columns in ``POINT``.
        of: the number.
        task: label of the task or category.
    """
    infinite = np.isinf(cells["number"])
    ran = (cells["status"] == "ok") | (of.cost & infinite)
    cells = cells[ran & cells["x"].notna()]
    point = cells.groupby(POINT, sort=False).ngroup()
    infinite, missing = np.isinf(cells["number"]), cells["number"].isna()
    below = missing & cells["below"]
    without_all = infinite.groupby(point).transform("any")
    left_out = LeftOut({("cell", f"left out: no {of.name}"): int((missing & ~below).sum())})
    left_out["cell", f"left out: {of.name} is below the floor"] = int(below.sum())
    if of.cost:
        for status, number in cells["status"][infinite].value_counts().items():
            why = "" if status == "ok" else f" ({str(status).replace('_', ' ')})"
            never = f"never reached the value{why}: the points that they belong to are left out"
            left_out["cell", never] = number
    else:
        why = f"left out: {of.name} is infinite{of.infinite}"
        left_out["point", why] = point[infinite].nunique()
    kept = cells[~missing & ~without_all]
    notes: list[str] = []
    if category and len(kept):
        kept, notes = _on_common_targets(kept, point[kept.index], set(point[below]), task)
    too_high = set(point[below]) & set(point[kept.index])
    left_out["point", "drawn too high, without the cells below the floor"] = len(too_high)
    return Selection(kept, left_out, [*notes, *_numbers_of_seeds(kept, task)])


def common_units(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """The units over which means are comparable: of each mean's units, and those that all means
    have, the ones that keep most, counted as units × means that have them all."""
    every = list(sets)
    candidates = {*every, frozenset.intersection(*every)} if every else {frozenset[str]()}

    def kept(units: frozenset[str]) -> tuple[int, int, list[str]]:
        means = sum(units <= one for one in every)
        return len(units) * means, means, sorted(units)

    return max(candidates, key=kept)


def _on_common_targets(
    cells: pd.DataFrame, point: pd.Series[int], below: Set[int], task: str
) -> tuple[pd.DataFrame, list[str]]:
    sets = cells["unit"].groupby(point).agg(frozenset)
    units = common_units(sets)
    have = sets.map(units.issubset)
    of_all = cells["unit"].nunique()
    names = cells.groupby("unit", sort=False)["target"].first()
    kept = cells[cells["unit"].isin(units) & point.map(have)]
    if len(kept) == len(cells):
        return cells, []
    of = f"{len(units)} of {plural(of_all, 'target')}" if len(units) < of_all else "all targets"
    named = f" ({', '.join(names[names.index.isin(units)])})" if len(units) <= NAMED else ""
    gone = have.index[~have]
    of_floor = gone.isin(below).sum()
    why = {"not": len(gone) - of_floor, "not above the floor": of_floor}
    dropped = "".join(
        f"; {plural(int(n), 'point')} left out: {text} on all of them"
        for text, n in why.items()
        if n
    )
    return kept, [f"{task}: means are over {of}{named}, the same at each point{dropped}."]


def _numbers_of_seeds(cells: pd.DataFrame, task: str) -> list[str]:
    seeds = cells.groupby([*POINT, "target"], sort=False)["seed"].nunique()
    if seeds.nunique() < 2:
        return []
    return [f"{task}: means are over different numbers of seeds, {seeds.min()} to {seeds.max()}."]
