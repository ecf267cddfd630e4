"""Quality against what it costs, as numbers: one panel a cost, and who is on its front."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from encbench_leaderboard.board.cached import remembered
from encbench_leaderboard.board.table import MetricInfo, TaskBoard
from encbench_leaderboard.report.footer import machine
from encbench_leaderboard.report.format import code, plain, plural
from encbench_leaderboard.statistics.sample import group_means

__all__ = ["Cost", "Panel", "Tradeoffs", "front", "front_text", "tradeoffs"]

Cost = Literal["parameters", "training", "memory"]
AXES: dict[Cost, str] = {
    "parameters": "parameters",
    "training": "training [s]",
    "memory": "peak memory [MiB]",
}
BY: dict[Cost, str] = {
    "parameters": "parameters",
    "training": "training time",
    "memory": "peak memory",
}
MACHINES = 2
"""Machines that get a panel of times each; those with the most cells."""
NAMED = 12
"""Entries of a front that the page names."""


@dataclass(frozen=True)
class Panel:
    """Entries by one cost and their quality."""

    cost: Cost
    label: str
    """Of the axis, with its unit."""
    where: str
    """Machine or device that the costs are of; "" where it does not matter or is the only one."""
    points: pd.DataFrame
    """A row an entry, best first: ``entry``; ``quality``, with ``quality_low`` and
    ``quality_high`` the interval of its mean, NaN where there is none; ``cost``, with
    ``cost_low`` and ``cost_high`` the smallest and largest of its units; and ``front``."""


@dataclass(frozen=True)
class Tradeoffs:
    """All panels of a task or category, and what had to be left out."""

    metric: MetricInfo
    panels: Sequence[Panel]
    left_out: Sequence[str]
    """Sentences in Markdown."""


def front(cost: np.ndarray, quality: np.ndarray, *, higher: bool) -> np.ndarray:
    """Pareto front of cost (n,) and quality (n,), both finite: (n,) bool.

    An entry is on it unless another one costs no more and is at least as good, and is better in
    one of the two. Equal ones are on it together, or none of them is.
    """
    if not len(cost):
        return np.zeros(0, dtype=bool)
    gain = quality if higher else -quality
    order = np.lexsort((-gain, cost))
    sorted_cost, sorted_gain = cost[order], gain[order]
    cheapest = np.concatenate([[True], np.diff(sorted_cost) > 0])
    # of those that cost the same only the best can be on the front
    best = sorted_gain[np.maximum.accumulate(np.where(cheapest, np.arange(len(cost)), 0))]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(sorted_gain)[:-1]])
    before = before[np.maximum.accumulate(np.where(cheapest, np.arange(len(cost)), 0))]
    found = np.empty(len(cost), dtype=bool)
    found[order] = (sorted_gain == best) & (sorted_gain > before)
    return found


@remembered
def tradeoffs(task: TaskBoard) -> Tradeoffs:
    """Quality against parameters, seconds of training and peak memory, of a task or category.

    Quality is the standings' mean and interval, over all cells. Times of different machines
    never share a panel, nor does memory of different devices. In a category an entry that did
    not finish on all targets is left out: its mean would be over others.
    """
    metric = task.primary
    entries, left_out = _finished(task)
    cells = _costs(task, list(entries["entry"]))
    ran = [where for where, _ in Counter(cells.machine).most_common()]
    if len(ran) > 1:
        left_out.append(
            f"Times were taken on {len(ran)} different machines or settings of threads, and each "
            "has a panel of its own."
            if len(ran) <= MACHINES
            else f"Times were taken on {len(ran)} different machines or settings of threads; only "
            f"the {MACHINES} with the most cells are drawn, a panel each."
        )
    devices = [where for where, _ in Counter(cells.device).most_common()]
    if len(devices) > 1:
        left_out.append(
            "Peak memory is of tensors on a GPU and of the whole process on a CPU; each of the "
            f"{len(devices)} devices has a panel of its own."
        )
    panels = [_panel(entries, cells, "parameters", None, metric)]
    for where in ran[:MACHINES]:
        shown = where if len(ran) > 1 else ""
        panels.append(_panel(entries, cells, "training", cells.machine == where, metric, shown))
    for where in devices:
        shown = where if len(devices) > 1 else ""
        panels.append(_panel(entries, cells, "memory", cells.device == where, metric, shown))
    return Tradeoffs(metric, [panel for panel in panels if panel is not None], left_out)


def _finished(task: TaskBoard) -> tuple[dict[str, np.ndarray], list[str]]:
    """Entry, quality, quality_low and quality_high of each that finished; who is left out."""
    name = f"metric:{task.primary.name}"
    table = task.standings
    columns = {
        "entry": table["entry"].to_numpy(dtype=object),
        "quality": table[name].to_numpy(),
        "quality_low": table[f"{name}|low"].to_numpy(),
        "quality_high": table[f"{name}|high"].to_numpy(),
    }
    done = np.isfinite(columns["quality"]) & (table["n"].to_numpy() > 0)
    left_out = []
    if task.targets and done.any():
        units = table["units"].to_numpy()
        whole = done & (units == units[done].max())
        if missing := int(done.sum() - whole.sum()):
            left_out.append(
                f"{plural(missing, 'encoding')} that did not finish on as many targets as others "
                f"{'is' if missing == 1 else 'are'} left out."
            )
        done = whole
    return {name: column[done] for name, column in columns.items()}, left_out


@dataclass(frozen=True)
class _Cells:
    """Cells that finished, of the entries that are drawn; arrays (cells,)."""

    entry: np.ndarray
    """Its place among the entries."""
    unit: np.ndarray
    units: int
    machine: np.ndarray
    device: np.ndarray
    costs: Mapping[Cost, np.ndarray]


def _costs(task: TaskBoard, entries: Sequence[str]) -> _Cells:
    cells = task.cells
    place = {entry: number for number, entry in enumerate(entries)}
    entry = np.array([place.get(entry, -1) for entry in cells["entry"]], dtype=np.int64)
    kept = (entry >= 0) & (cells["status"] == "ok").to_numpy()
    unit, units = pd.factorize(cells["unit"])
    records = list(itertools.compress(task.records, kept))
    parameters = cells["params_mlp"].fillna(0) + cells["params_encoding"].fillna(0)
    return _Cells(
        entry[kept],
        unit[kept],
        len(units),
        np.array([machine(stored) for stored in records], dtype=object),
        np.array([stored.record.provenance.device for stored in records], dtype=object),
        {
            "parameters": parameters.to_numpy()[kept],
            "training": cells["training"].to_numpy()[kept],
            "memory": cells["peak_memory"].to_numpy()[kept] / 2**20,
        },
    )


def _panel(
    entries: Mapping[str, np.ndarray],
    cells: _Cells,
    cost: Cost,
    chosen: np.ndarray | None,
    metric: MetricInfo,
    where: str = "",
) -> Panel | None:
    """Of all cells or of those chosen, (cells,) bool; None where none has that cost."""
    values = cells.costs[cost]
    known = values > 0 if chosen is None else chosen & (values > 0)
    if not known.any():
        return None
    # Cells of a unit first, as quality is averaged.
    pair, pairs = pd.factorize(cells.entry[known] * cells.units + cells.unit[known])
    of_units = group_means(values[known, None], pair)
    of, found = pd.factorize(pairs // cells.units)
    lowest, highest = np.full(len(found), np.inf), np.full(len(found), -np.inf)
    np.minimum.at(lowest, of, of_units[:, 0])
    np.maximum.at(highest, of, of_units[:, 0])
    costs, quality = group_means(of_units, of)[:, 0], entries["quality"][found]
    higher = metric.direction == "higher"
    points = {name: column[found] for name, column in entries.items()} | {
        "cost": costs,
        "cost_low": lowest,
        "cost_high": highest,
        "front": front(costs, quality, higher=higher),
    }
    order = np.lexsort((points["entry"].astype(str), costs, -quality if higher else quality))
    return Panel(cost, AXES[cost], where, pd.DataFrame(points).iloc[order].reset_index(drop=True))


def front_text(found: Tradeoffs) -> str:
    """Which entries are on the front of each panel, as a Markdown list."""
    lines = []
    for panel in found.panels:
        points = panel.points
        names = [code(entry) for entry in points.loc[points["front"], "entry"]]
        more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
        on = f" on {plain(panel.where)}" if panel.where else ""
        lines.append(
            f"- by {BY[panel.cost]}{on}: {', '.join(names[:NAMED])}{more}; "
            f"dominated: {len(points) - len(names):,} of {len(points):,}"
        )
    title = found.metric.title
    return (
        f"Pareto front, best {plain(title)} first (no other encoding is at least as good for no "
        "more, by the means):\n\n" + "\n".join(lines)
    )
