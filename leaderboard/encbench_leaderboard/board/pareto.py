"""Quality against each cost: points and Pareto fronts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd

from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.statistics.sample import covered, group_means

Cost = Literal["parameters", "training", "memory"]
LABELS: dict[Cost, str] = {
    "parameters": "parameters",
    "training": "training [s]",
    "memory": "peak memory [MiB]",
}
MACHINES = 2
"""Maximum number of machines with a panel of times each: those with the most cells."""

SAME_SIZE = 0.05
"""Numbers of parameters that differ from one number by at most this share count as equal: the
tolerance of ``--budget parameters=N``."""


def equally_large(sizes: Sequence[float]) -> bool:
    """Whether numbers of parameters may all be those of one budget."""
    return not sizes or max(sizes) * (1 - SAME_SIZE) <= min(sizes) * (1 + SAME_SIZE)


@dataclass(frozen=True)
class CostPoints:
    """Cost and quality of entries, for one kind of cost."""

    cost: Cost
    label: str  # axis label with unit
    where: str
    """Machine or device of the costs; "" if they do not depend on it, or there is only one."""
    points: pd.DataFrame
    """A row per entry, best first: entry; quality, quality_low, quality_high (interval of its mean,
    or NaN); cost, cost_low, cost_high (smallest and largest of its units); front."""
    lacking: int = 0
    """Entries of a category left out: they have costs of this kind on fewer of its targets."""


@dataclass(frozen=True)
class Tradeoffs:
    """Quality against each cost on a task or category."""

    metric: MetricInfo
    panels: Sequence[CostPoints]
    unfinished: int  # entries of a category left out: on other targets than the best
    machines: int  # number of machines on which times were measured
    devices: int  # number of devices on which memory was measured


def front(cost: np.ndarray, quality: np.ndarray, *, higher: bool) -> np.ndarray:
    """Pareto front of cost (n,) and quality (n,), neither NaN: (n,) bool. An entry is on it unless
    another costs no more and is at least as good, and is strictly better in one of the two."""
    if not len(cost):
        return np.zeros(0, dtype=bool)
    gain = quality if higher else -quality
    # by cost ascending, then by quality descending
    points, place = np.unique(np.column_stack([cost, -gain]), axis=0, return_inverse=True)
    best = np.maximum.accumulate(-points[:, 1])
    found: np.ndarray = np.concatenate([[True], best[1:] > best[:-1]])[place.reshape(-1)]
    return found


# cached because a figure and the sentences below it use the same result
@lru_cache(maxsize=1)
def tradeoffs(task: TaskBoard) -> Tradeoffs:
    """Quality (mean and interval of the standings) against each cost. Times of different machines
    never share a panel, nor does memory of different devices.

    In a category, an entry that did not finish on the same targets as the best is left out, since
    its mean is over other targets; and so is, of a panel, one without costs on some of the panel's
    targets, since targets differ in cost."""
    entries, unfinished = _finished(task)
    cells = _cells(task, entries["entry"])
    machines, devices = (
        list(dict(Counter(cells[of]).most_common())) for of in ("machine", "device")
    )
    parts: list[tuple[Cost, str, np.ndarray]] = [
        ("parameters", "", np.ones(len(cells["entry"]), dtype=bool)),
        *(("training", where, cells["machine"] == where) for where in machines[:MACHINES]),
        *(("memory", where, cells["device"] == where) for where in devices),
    ]
    several = {"training": len(machines) > 1, "memory": len(devices) > 1}
    panels = []
    # within the tolerance of a budget, the sizes are no choice of the encodings
    known_sizes = cells["parameters"][cells["parameters"] > 0].tolist()
    if len(entries["entry"]) > 1 and equally_large(known_sizes):
        parts.pop(0)
    for cost, where, chosen in parts:
        known = chosen & (cells[cost] > 0)
        kept, lacking = _on_all_targets(cells, known) if task.targets else (known, 0)
        if known.any():
            points = _points(entries, cells, cost, kept, higher=task.primary.higher)
            place = where if several.get(cost) else ""
            panels.append(CostPoints(cost, LABELS[cost], place, points, lacking))
    return Tradeoffs(task.primary, panels, unfinished, len(machines), len(devices))


# arrays instead of data frames, for speed: a page of a hundred tasks has hundreds of these
Columns = Mapping[str, np.ndarray]


def _finished(task: TaskBoard) -> tuple[Columns, int]:
    """Entry, quality and interval of each entry that finished; and the number left out."""
    name = f"metric:{task.primary.name}"
    columns = {
        "entry": task.standings["entry"].to_numpy(dtype=object),
        "quality": task.standings[name].to_numpy(),
        "quality_low": task.standings[f"{name}|low"].to_numpy(),
        "quality_high": task.standings[f"{name}|high"].to_numpy(),
    }
    done = ~np.isnan(columns["quality"]) & (task.standings["n"].to_numpy() > 0)
    whole = done
    if task.targets and done.any():
        targets = covered(task.cells, name, columns["entry"].tolist())
        whole = done & (targets == targets[done.argmax()]).all(axis=1)
    return {key: column[whole] for key, column in columns.items()}, int(done.sum() - whole.sum())


def _cells(task: TaskBoard, entries: np.ndarray) -> Columns:
    """Finished cells of these entries: entry (its index), unit, costs, machine and device."""
    cells = task.cells
    entry = pd.Index(entries).get_indexer(cells["entry"])
    kept = (entry >= 0) & (cells["status"] == "ok").to_numpy()
    sources = [one.source for one in itertools.compress(task.facts, kept)]
    parameters = cells["params_mlp"].fillna(0) + cells["params_encoding"].fillna(0)
    return {
        "entry": entry[kept],
        "unit": pd.factorize(cells["unit"])[0][kept],
        "parameters": parameters.to_numpy()[kept],
        "training": cells["training"].to_numpy()[kept],
        "memory": cells["peak_memory"].to_numpy()[kept] / 2**20,
        "machine": np.array([source.machine for source in sources], dtype=object),
        "device": np.array([source.device for source in sources], dtype=object),
    }


def _on_all_targets(cells: Columns, known: np.ndarray) -> tuple[np.ndarray, int]:
    """Of the cells with a known cost (cells,) bool, those of entries that have such cells on every
    target that any entry has them on; and the number of the other entries."""
    found = pd.DataFrame({"entry": cells["entry"][known], "unit": cells["unit"][known]})
    targets = found.groupby("entry")["unit"].nunique()
    lacking = targets.index[targets < found["unit"].nunique()].to_numpy()
    return known & ~np.isin(cells["entry"], lacking), len(lacking)


def _points(
    entries: Columns, cells: Columns, cost: Cost, known: np.ndarray, *, higher: bool
) -> pd.DataFrame:
    """The table of ``CostPoints`` from the cells whose cost is known, (cells,) bool."""
    values, units = cells[cost][known], int(cells["unit"].max()) + 1
    # averaged like quality: over the cells of a unit first
    pair, pairs = pd.factorize(cells["entry"][known] * units + cells["unit"][known])
    of_units = group_means(values[:, None], pair)
    of, found = pd.factorize(pairs // units)
    points = {name: column[found] for name, column in entries.items()}
    extremes = pd.Series(of_units[:, 0]).groupby(of)
    points |= {
        "cost": group_means(of_units, of)[:, 0],
        "cost_low": extremes.min().to_numpy(),
        "cost_high": extremes.max().to_numpy(),
    }
    points["front"] = front(points["cost"], points["quality"], higher=higher)
    worst_first = points["quality"] if higher else -points["quality"]
    order = np.lexsort((points["entry"].astype(str), points["cost"], -worst_first))
    return pd.DataFrame(points).iloc[order].reset_index(drop=True)
