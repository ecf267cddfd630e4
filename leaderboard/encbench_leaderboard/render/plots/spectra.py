"""Eigenvalue spectra of the NTK at the start, middle and end of training."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from encbench.results.records import SpectrumSummary, StoredRecord
from encbench_leaderboard.board.spectra_mean import MeanSpectrum, floor_of, mean_spectrum, resolved
from encbench_leaderboard.board.table import WHENS, TaskBoard
from encbench_leaderboard.render.plots.selection import best_entries, spread
from encbench_leaderboard.render.style import figure, legends
from encbench_leaderboard.report.format import plural

__all__ = ["AVERAGED", "draw_spectra", "resolved", "spectra_caption"]

AVERAGED = 40
"""Cells an entry whose spectra are read and averaged: one a target before a second one."""
LENGTH = 1000
"""Places of a drawn mean: more than a panel has pixels across."""

LINES: dict[str, dict[str, Any]] = {
    "start": {"linestyle": (0, (1, 1.6)), "linewidth": 1.2, "alpha": 0.8},
    "middle": {"linestyle": (0, (4, 2)), "linewidth": 1.2, "alpha": 0.8},
    "end": {"linestyle": "-", "linewidth": 1.7, "alpha": 1.0},
}


@dataclass(frozen=True)
class _Entry:
    """An encoding's cells that are drawn, and what each belongs to."""

    records: Sequence[StoredRecord]
    groups: Sequence[Hashable]


def draw_spectra(task: TaskBoard, colours: Mapping[str, tuple[str, str]]) -> Figure | None:
    """Spectra of K, and of the MLP's part alone where it was recorded.

    An entry with one cell is drawn as it is; the spectra of several as their geometric mean,
    see ``spectra_mean``, at the end of training with a band from the 10th to the 90th
    percentile over seeds, or over the targets of a category. What is below the floor is counted
    in the legend and never drawn; a mean is thin where it is an upper bound.
    """
    entries = _entries(task)
    if not entries:
        return None
    parts = [""]
    if any(_spectra(stored, "mlp_") for entry in entries.values() for stored in entry.records):
        parts.append("mlp_")
    rows = math.ceil(len(entries) / 3)
    drawn = figure(4.2 + 0.5 * rows)
    panels: Sequence[Axes] = list(
        drawn.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False)[0]
    )
    summaries = [s for entry in entries.values() for r in entry.records for s in r.record.spectra]
    single = all(len(entry.records) == 1 for entry in entries.values())
    one_size = single and len({s.size for s in summaries}) == 1
    for panel, part in zip(panels, parts, strict=True):
        _panel(panel, part, entries, colours, one_size=one_size)
        panel.set_title("MLP's part alone, $K_\\mathrm{MLP}$" if part else _title(summaries))
    panels[0].set_ylabel("eigenvalue λ")
    _floor_band(panels, [s.floor for s in summaries if s.floor > 0])
    kinds = [Line2D([], [], color="#444444", label=when, **LINES[when]) for when in WHENS]
    if not single:
        kinds.append(Line2D([], [], color="#444444", linewidth=0.7, label="upper bound"))
    panels[0].legend(
        handles=kinds,
        loc="lower left",
        ncols=1,
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
    )
    names = legends(list(entries), 38, 2)
    drawn.legend(
        handles=[
            *(
                Line2D(
                    [],
                    [],
                    color=colours[name][0],
                    linewidth=2.2,
                    label=_legend(names[name], entry),
                )
                for name, entry in entries.items()
            ),
            Patch(color="#e4e4e4", label="under the floor: rounding noise"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return drawn


def spectra_caption(task: TaskBoard) -> str:
    """What the picture shows, in words that fit what is averaged."""
    entries = _entries(task)
    counts = [len(entry.records) for entry in entries.values()]
    if not counts or max(counts) == 1:
        return (
            "NTK eigenvalues. A line stops at the floor; what lies under it is counted in the "
            "legend."
        )
    over = "the targets, seeds of one averaged first" if task.targets else "the seeds"
    sizes = {s.size for e in entries.values() for r in e.records for s in r.record.spectra}
    grow = " Eigenvalues grow with the size of the kernel, and these differ in size." * (
        len(sizes) > 1
    )
    most = max(sum(_drawable(r) for r in task.of_entry(name)) for name in entries)
    part = f" Of each encoding {AVERAGED} cells are read." if most > AVERAGED else ""
    return (
        f"NTK eigenvalues: geometric mean over {over}, resampled to a common index; the band "
        "holds the 10th to the 90th percentile at the end of training. Values under their floor "
        "count as the floor, so a line is an upper bound where it is thin, and it stops where "
        f"fewer than half are resolved.{grow}{part}"
    )


def _entries(task: TaskBoard) -> dict[str, _Entry]:
    units = dict(zip((r.record.key for r in task.records), task.cells["unit"], strict=True))
    found = {}
    for name, records in best_entries(task, _drawable).items():
        groups = [units[stored.record.key] for stored in records]
        chosen = spread(groups, AVERAGED)
        chosen = [i for i in chosen if _spectra(records[i], "")]
        if chosen:
            found[name] = _Entry([records[i] for i in chosen], [groups[i] for i in chosen])
    return found


def _drawable(stored: StoredRecord) -> bool:
    """Whether its record tells of spectra, which need not be read for that."""
    return (
        stored.record.status == "ok"
        and bool(stored.record.spectra)
        and ("arrays.npz" in stored.files or (stored.path / "arrays.npz").exists())
    )


def _title(summaries: Sequence[SpectrumSummary]) -> str:
    kernel = " and ".join(sorted({s.outputs for s in summaries}))
    points = sorted({s.points for s in summaries})
    n = f"{points[0]:,}" + (f" to {points[-1]:,}" if len(points) > 1 else "")
    return f"NTK, $K$ ({kernel} kernel, N = {n} points)"


def _spectra(stored: StoredRecord, part: str) -> dict[str, tuple[np.ndarray, SpectrumSummary]]:
    """Eigenvalues and summary of each moment that has both."""
    found: dict[str, tuple[np.ndarray, SpectrumSummary]] = {}
    for summary in stored.record.spectra:
        values = stored.arrays.get(f"spectrum_{part}{summary.when}")
        if values is not None and len(values):
            found[summary.when] = (values, summary)
    return found


def _panel(
    panel: Axes,
    part: str,
    entries: Mapping[str, _Entry],
    colours: Mapping[str, tuple[str, str]],
    *,
    one_size: bool,
) -> None:
    # The best entry is drawn last, on top.
    for name, entry in reversed(list(entries.items())):
        colour = colours[name][0]
        for when in WHENS:
            if len(entry.records) > 1:
                mean = _mean(entry, part, when)
                if mean is not None:
                    _draw_mean(panel, mean, colour, when)
                continue
            found = _spectra(entry.records[0], part).get(when)
            if found is not None:
                values, summary = found
                floor = floor_of(summary, values, part)
                _draw_one(panel, values, floor, colour, when, one_size=one_size)
    panel.set_yscale("log")
    panel.set_xlabel("index of the eigenvalue" + ("" if one_size else " / size of the kernel"))


def _draw_one(
    panel: Axes, values: np.ndarray, floor: float, colour: str, when: str, *, one_size: bool
) -> None:
    above = resolved(values, floor)
    if not len(above):
        return
    index = np.arange(1, len(above) + 1, dtype=np.float64)
    if not one_size:
        index /= len(values)
    panel.plot(index, above, color=colour, **LINES[when])
    if when == "end" and len(above) < len(values):
        _stop(panel, float(index[-1]), float(above[-1]), colour)


def _stop(panel: Axes, place: float, value: float, colour: str) -> None:
    """Mark where a line ends before the last eigenvalue."""
    panel.plot(place, value, marker="|", markersize=8, markeredgewidth=1.8, color=colour)


def _mean(entry: _Entry, part: str, when: str) -> MeanSpectrum | None:
    spectra, groups = [], []
    for stored, group in zip(entry.records, entry.groups, strict=True):
        found = _spectra(stored, part).get(when)
        if found is not None:
            values, summary = found
            floor = floor_of(summary, values, part)
            # Without a floor rounding noise would pass for values.
            if floor > 0:
                spectra.append((values, floor))
                groups.append(group)
    return mean_spectrum(spectra, groups, length=LENGTH) if spectra else None


def _draw_mean(panel: Axes, mean: MeanSpectrum, colour: str, when: str) -> None:
    style = LINES[when]
    if when == "end":
        panel.fill_between(
            mean.place, mean.low, mean.high, color=colour, alpha=0.15, linewidth=0, zorder=1.5
        )
    certain = np.where(mean.bounded, np.nan, mean.mean)
    panel.plot(mean.place, certain, color=colour, **style)
    # From the last place that all resolve, so that the line has no gap.
    reached = mean.bounded | np.append(mean.bounded[1:], False)
    bounded = np.where(reached, mean.mean, np.nan)
    panel.plot(mean.place, bounded, color=colour, **style | {"linewidth": 0.7})
    known = np.flatnonzero(~np.isnan(mean.mean))
    if when == "end" and len(known) and known[-1] < len(mean.mean) - 1:
        _stop(panel, float(mean.place[known[-1]]), float(mean.mean[known[-1]]), colour)


def _floor_band(panels: Sequence[Axes], floors: Sequence[float]) -> None:
    """Shade what lies under the floor: up to the lowest, and paler up to the highest one."""
    if not floors:
        return
    low, high = min(floors), max(floors)
    bottom = low / 30
    for panel in panels:
        panel.axhspan(bottom, low, color="#e4e4e4", linewidth=0, zorder=0)
        panel.axhspan(low, high, color="#f3f3f3", linewidth=0, zorder=0)
        panel.axhline(low, color="#888888", linewidth=0.8, zorder=1)
        panel.set_ylim(bottom=bottom)


def _legend(name: str, entry: _Entry) -> str:
    """The name, and how much of the spectrum at the end is under the floor."""
    last = [_last(stored) for stored in entry.records]
    found = [(values, summary.floor) for values, summary in filter(None, last)]
    below = sum(len(values) - len(resolved(values, floor)) for values, floor in found)
    size = sum(len(values) for values, _ in found)
    if len(entry.records) == 1:
        return f"{name}\n{below:,} of {size:,} ≤ floor"
    share = _percent(below, size)
    return f"{name}\nmean of {plural(len(found), 'cell')}, {share} of values ≤ floor"


def _percent(below: int, size: int) -> str:
    """A share that reads 0% or 100% only where it is."""
    share = 100 * below / size
    if 0 < share < 0.1:
        return "under 0.1%"
    if 99.9 < share < 100:
        return "over 99.9%"
    return f"{share:.1f}".removesuffix(".0") + "%"


def _last(stored: StoredRecord) -> tuple[np.ndarray, SpectrumSummary] | None:
    spectra = _spectra(stored, "")
    return spectra.get("end", next(reversed(spectra.values()), None))
