"""The plots of ``encbench ntk`` and ``encbench dynamics``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from encbench.cli.console import write_picture
from encbench.errors import UsageError
from encbench.results.level_areas import BAR, SHARE_AXIS, SHARE_TICKS, legend_of, stacked_areas
from encbench.results.palette import COLOURS

if TYPE_CHECKING:
    from encbench.runs.analysis import Initial, LossCurves

HIGHEST = 1e6
"""Maximum upper end of a loss axis; a diverging run exceeds it within a few steps."""


def plot_spectra(path: Path, found: Sequence[Initial]) -> None:
    """Plot eigenvalues in descending order on a log axis, each line down to its floor.

    Raises:
        StoreError: the file cannot be written.
        UsageError: its suffix is not that of a picture format.
    """
    rows = (len(found) + 1) // 2
    figure = Figure(figsize=(8, 4.6 + 0.22 * rows), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set_prop_cycle(color=[on_paper for on_paper, _, _ in COLOURS])
    several = len({item.task for item in found}) > 1
    for item in found:
        if item.summary is None or item.eigenvalues is None:
            continue
        above = item.eigenvalues[item.eigenvalues > item.summary.floor]
        below = len(item.eigenvalues) - len(above)
        label = f"{item.task} × {item.encoding}" if several else item.encoding
        label += f" ({below} ≤ floor)" if below else ""
        (line,) = axes.plot(range(1, len(above) + 1), above, label=label)
        axes.axhline(item.summary.floor, color=line.get_color(), linewidth=0.6, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlabel("index of the eigenvalue")
    axes.set_ylabel("eigenvalue λ")
    axes.set_title(
        f"NTK at initialization, {found[0].outputs} kernel, {found[0].points:,} points; "
        "dotted: floors"
    )
    axes.grid(alpha=0.3)
    # below the axes, where it hides no curve
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    write_picture(figure.savefig, path)


def plot_levels(path: Path, found: Sequence[Initial]) -> None:
    """Plot shares of the trace and of each eigenvalue as stacked areas, a panel per encoding.

    Raises:
        StoreError, UsageError: as ``plot_spectra``, or no encoding has levels.
    """
    split = [(item, item.summary) for item in found if item.summary is not None]
    drawn = [(item, parts) for item, of in split if of.split and (parts := of.split.parts)]
    if not drawn:
        raise UsageError("nothing to draw: none of the encodings has levels; try -e mpe")
    figure = Figure(figsize=(8, 0.6 + 2.6 * len(drawn)), layout="constrained", dpi=150)
    for axes, (item, parts) in zip(
        figure.subplots(len(drawn), squeeze=False)[:, 0], drawn, strict=True
    ):
        for area in stacked_areas(parts, item.shares):
            colour = "#9a9a9a" if area.shade is None else colormaps["viridis"](area.shade)
            looks = {"color": colour, "label": area.label, "linewidth": 0}
            axes.fill_between(area.x, area.low, area.high, **looks)
        title = textwrap.wrap(f"{item.task} × {item.encoding}", 70)
        axes.set_title("\n".join(title), fontsize="small")
        axes.set(xlim=(BAR[0], 1), ylim=(0, 1), ylabel="share, stacked")
        axes.set_xticks(*zip(*SHARE_TICKS, strict=True))
        axes.legend(**legend_of(*axes.get_legend_handles_labels()), fontsize="x-small")
    axes.set_xlabel(SHARE_AXIS)
    figure.suptitle(
        "What the network and each level contribute: v_iᵀ K_l v_i / λ_i, which sum to 1, and\n"
        f"on the left the levels' shares of the encoding's trace; {found[0].outputs} kernel, "
        f"{found[0].points:,} points",
        fontsize="medium",
    )
    write_picture(figure.savefig, path)


def plot_dynamics(path: Path, comparisons: Sequence[LossCurves], title: str) -> None:
    """Plot predicted and measured loss, one panel per learning rate.

    Raises:
        StoreError, UsageError: as ``plot_spectra``.
    """
    figure = Figure(figsize=(5 * len(comparisons), 4.2), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
    for axes, item in zip(panels, comparisons, strict=True):
        axes.plot(item.steps, item.measured, color="#0072B2", linewidth=3, alpha=0.6)
        axes.plot(item.steps, item.predicted, color="#D55E00", linewidth=1.5, linestyle="--")
        if item.held_out is not None and item.held_out_predicted is not None:
            axes.plot(item.steps, item.held_out, color="#009E73", linewidth=3, alpha=0.6)
            axes.plot(
                item.steps, item.held_out_predicted, color="#000000", linewidth=1.5, linestyle=":"
            )
        if item.parted is not None:
            axes.axvline(item.parted, color="grey", linewidth=0.8)
            axes.annotate(
                f"10 % apart at step {item.parted}",
                (item.parted, 0.03),
                xycoords=("data", "axes fraction"),
                rotation=90,
                va="bottom",
                ha="right",
                fontsize="small",
            )
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, item.steps[-1])
        axes.set_yscale("log")
        # a prediction that diverges must not flatten the measurement
        measured = item.measured[np.isfinite(item.measured)]
        axes.set_ylim(measured.min() / 2, min(measured.max() * 10, HIGHEST))
        axes.set_title(f"lr = {item.factor:g} lr_crit", fontsize="medium")
        axes.set_xlabel("step of gradient descent")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    named = ["measured", "predicted by the NTK at the start"]
    if comparisons[0].held_out is not None:
        named += [f"held out: {name}" for name in named]
    panels[0].legend(named, fontsize="small")
    figure.suptitle(title, fontsize="medium")
    write_picture(figure.savefig, path)
