"""Eigenvalue spectra of the NTK at the start, middle and end of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from encbench.records import SpectrumSummary, StoredRecord
from encbench_leaderboard.plots.selection import best_entries
from encbench_leaderboard.style import figure, legends
from encbench_leaderboard.table import WHENS, TaskBoard

__all__ = ["draw_spectra", "resolved"]

LINES: dict[str, dict[str, Any]] = {
    "start": {"linestyle": (0, (1, 1.6)), "linewidth": 1.2, "alpha": 0.8},
    "middle": {"linestyle": (0, (4, 2)), "linewidth": 1.2, "alpha": 0.8},
    "end": {"linestyle": "-", "linewidth": 1.7, "alpha": 1.0},
}


def resolved(eigenvalues: np.ndarray, floor: float) -> np.ndarray:
    """The eigenvalues (M,) above the floor, descending; the rest is rounding noise."""
    above = eigenvalues[np.isfinite(eigenvalues) & (eigenvalues > max(floor, 0.0))]
    return np.sort(above)[::-1]


def draw_spectra(task: TaskBoard, colours: Mapping[str, tuple[str, str]]) -> Figure | None:
    """Spectra of K, and of the MLP's part alone where it was recorded; one seed an encoding.

    Eigenvalues below the floor are counted in the legend and never drawn.
    """
    entries = {
        entry: records[0]
        for entry, records in best_entries(task, lambda r: bool(_spectra(r, ""))).items()
    }
    if not entries:
        return None
    parts = [""]
    if any(_spectra(stored, "mlp_") for stored in entries.values()):
        parts.append("mlp_")
    rows = math.ceil(len(entries) / 3)
    drawn = figure(4.2 + 0.5 * rows)
    panels: Sequence[Axes] = list(drawn.subplots(1, len(parts), sharey=True, squeeze=False)[0])
    sizes = {len(values) for r in entries.values() for values, _ in _spectra(r, "").values()}
    for panel, part in zip(panels, parts, strict=True):
        _panel(panel, part, entries, colours, one_size=len(sizes) == 1)
    panels[0].set_ylabel("eigenvalue λ")
    _floor_band(panels, list(entries.values()))
    kinds = [Line2D([], [], color="#444444", label=when, **LINES[when]) for when in WHENS]
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
                    color=colours[entry][0],
                    linewidth=2.2,
                    label=_legend(names[entry], stored),
                )
                for entry, stored in entries.items()
            ),
            Patch(color="#e4e4e4", label="under the floor: rounding noise"),
        ],
        loc="outside lower center",
        ncols=3,
    )
    return drawn


def _spectra(stored: StoredRecord, part: str) -> dict[str, tuple[np.ndarray, SpectrumSummary]]:
    """Eigenvalues and summary of each moment that has both."""
    found: dict[str, tuple[np.ndarray, SpectrumSummary]] = {}
    if stored.record.status != "ok":
        return found
    for summary in stored.record.spectra:
        values = stored.arrays.get(f"spectrum_{part}{summary.when}")
        if values is not None and len(values):
            found[summary.when] = (values, summary)
    return found


def _panel(
    panel: Axes,
    part: str,
    entries: Mapping[str, StoredRecord],
    colours: Mapping[str, tuple[str, str]],
    *,
    one_size: bool,
) -> None:
    # The best entry is drawn last, on top.
    for entry, stored in reversed(list(entries.items())):
        for when, (values, summary) in _spectra(stored, part).items():
            above = resolved(values, _floor(summary, values, part))
            if not len(above):
                continue
            index = np.arange(1, len(above) + 1, dtype=np.float64)
            if not one_size:
                index /= len(values)
            panel.plot(index, above, color=colours[entry][0], **LINES[when])
            if when == "end" and len(above) < len(values):
                panel.plot(
                    index[-1],
                    above[-1],
                    marker="|",
                    markersize=8,
                    markeredgewidth=1.8,
                    color=colours[entry][0],
                )
    summaries = [s for r in entries.values() for s in r.record.spectra]
    kernel = " and ".join(sorted({s.outputs for s in summaries}))
    panel.set_yscale("log")
    panel.set_xlabel("index of the eigenvalue" + ("" if one_size else " / size of the kernel"))
    panel.set_title(
        "MLP's part alone, $K_\\mathrm{MLP}$" if part else f"NTK, $K$ ({kernel} kernel)"
    )


def _floor_band(panels: Sequence[Axes], records: Sequence[StoredRecord]) -> None:
    """Shade what lies under the floor: up to the lowest, and paler up to the highest one."""
    floors = [s.floor for r in records for s in r.record.spectra if s.floor > 0]
    if not floors:
        return
    low, high = min(floors), max(floors)
    bottom = low / 30
    for panel in panels:
        panel.axhspan(bottom, low, color="#e4e4e4", linewidth=0, zorder=0)
        panel.axhspan(low, high, color="#f3f3f3", linewidth=0, zorder=0)
        panel.axhline(low, color="#888888", linewidth=0.8, zorder=1)
        panel.set_ylim(bottom=bottom)


def _legend(name: str, stored: StoredRecord) -> str:
    spectra = _spectra(stored, "")
    values, summary = spectra.get("end", next(reversed(spectra.values())))
    below = len(values) - len(resolved(values, summary.floor))
    return f"{name}\n{below:,} of {len(values):,} ≤ floor"


def _floor(summary: SpectrumSummary, values: np.ndarray, part: str) -> float:
    if not part:
        return summary.floor
    if summary.mlp is not None:
        return summary.mlp.floor
    # The part's λ_max is at most the kernel's, so the kernel's floor is safe for it; its own
    # most negative eigenvalue may still say that it is noisier.
    return max(summary.floor, -10 * float(np.nanmin(values)))
