"""Quality against what it costs, as numbers: one panel a cost, and who is on its front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from encbench_leaderboard.footer import machine
from encbench_leaderboard.format import code, plain, plural
from encbench_leaderboard.remembered import remembered
from encbench_leaderboard.table import MetricInfo, TaskBoard

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
    cells = _costs(task)
    cells = cells[cells["entry"].isin(entries["entry"])]
    panels = [_panel(entries, cells, "parameters", "", metric)]
    ran = list(cells["machine"].value_counts().index)
    if len(ran) > 1:
        left_out.append(
            f"Times were taken on {len(ran)} different machines or settings of threads, and each "
            "has a panel of its own."
            if len(ran) <= MACHINES
            else f"Times were taken on {len(ran)} different machines or settings of threads; only "
            f"the {MACHINES} with the most cells are drawn, a panel each."
        )
    for where in ran[:MACHINES]:
        chosen = cells[cells["machine"] == where]
        panels.append(_panel(entries, chosen, "training", where if len(ran) > 1 else "", metric))
    devices = list(cells["device"].value_counts().index)
    if len(devices) > 1:
        left_out.append(
            "Peak memory is of tensors on a GPU and of the whole process on a CPU; each of the "
            f"{len(devices)} devices has a panel of its own."
        )
    for where in devices:
        chosen = cells[cells["device"] == where]
        panels.append(_panel(entries, chosen, "memory", where if len(devices) > 1 else "", metric))
    return Tradeoffs(metric, [p for p in panels if len(p.points)], left_out)


def _finished(task: TaskBoard) -> tuple[pd.DataFrame, list[str]]:
    """Entry, quality, quality_low and quality_high of each that finished; who is left out."""
    name = f"metric:{task.primary.name}"
    table = task.standings
    done = table[np.isfinite(table[name]) & (table["n"] > 0)]
    left_out = []
    if task.targets and len(done):
        whole = done[done["units"] == done["units"].max()]
        if missing := len(done) - len(whole):
            left_out.append(
                f"{plural(missing, 'encoding')} that did not finish on as many targets as others "
                f"{'is' if missing == 1 else 'are'} left out."
            )
        done = whole
    columns = {name: "quality", f"{name}|low": "quality_low", f"{name}|high": "quality_high"}
    return done[["entry", *columns]].rename(columns=columns), left_out


def _costs(task: TaskBoard) -> pd.DataFrame:
    """A row a cell that finished: entry, unit, machine, device and costs."""
    cells = task.cells
    frame = pd.DataFrame(
        {
            "entry": cells["entry"],
            "unit": cells["unit"],
            "machine": [machine(stored) for stored in task.records],
            "device": [stored.record.provenance.device for stored in task.records],
            "parameters": cells["params_mlp"].fillna(0) + cells["params_encoding"].fillna(0),
            "training": cells["training"],
            "memory": cells["peak_memory"] / 2**20,
        }
    )
    return frame[cells["status"] == "ok"]


def _panel(
    entries: pd.DataFrame, cells: pd.DataFrame, cost: Cost, where: str, metric: MetricInfo
) -> Panel:
    known = cells[cells[cost] > 0]
    # Cells of a unit first, as quality is averaged.
    means = known.groupby(["entry", "unit"], sort=False)[cost].mean()
    costs = pd.DataFrame(
        {
            "cost": means.groupby("entry", sort=False).mean(),
            "cost_low": means.groupby("entry", sort=False).min(),
            "cost_high": means.groupby("entry", sort=False).max(),
        }
    )
    points = entries.merge(costs.rename_axis("entry").reset_index(), on="entry")
    higher = metric.direction == "higher"
    points["front"] = front(points["cost"].to_numpy(), points["quality"].to_numpy(), higher=higher)
    points = points.sort_values(
        ["quality", "cost", "entry"], ascending=[not higher, True, True], ignore_index=True
    )
    return Panel(cost, AXES[cost], where, points)


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
