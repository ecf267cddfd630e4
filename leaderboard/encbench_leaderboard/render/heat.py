"""Maps of colours, drawn by matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, NullLocator

from encbench_leaderboard.render.style import figure
from encbench_leaderboard.report.blocks import Panel

COLUMNS = 3
HEIGHT = 2.5
"""Inches of a row of panels."""
COLOURS = "viridis"
"""Perceptually uniform, and told apart by colour-blind readers."""


def plot_maps(panels: Sequence[Panel]) -> Drawing:
    """Draw panels that are maps, with one scale of colours beside them."""
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    drawn = figure(rows * HEIGHT)
    grid = drawn.subplots(rows, columns, squeeze=False)
    norm = None
    for place, axes in enumerate(grid.flat):
        if place >= len(panels) or (heat := panels[place].heat) is None:
            axes.set_axis_off()
            continue
        panel, norm = panels[place], LogNorm(*heat.limits)
        axes.pcolormesh(heat.x, heat.y, heat.values, norm=norm, cmap=COLOURS, linewidth=0)
        axes.set(xscale=panel.x.scale, yscale=panel.y.scale)
        axes.set(xlim=panel.x.limits, ylim=panel.y.limits)
        axes.yaxis.set_major_locator(FixedLocator([at for at, _ in panel.y.ticks]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_yticklabels([text for _, text in panel.y.ticks])
        axes.grid(visible=False)
        title = "\n".join(textwrap.wrap(panel.title.replace(",", ", "), 36)).replace("$", r"\$")
        axes.set_title(title, fontsize=8)
        if place % columns == 0:
            axes.set_ylabel(panel.y.title)
        if place + columns >= len(panels):
            axes.set_xlabel(panel.x.title)
    assert panels[0].heat is not None
    mapped = ScalarMappable(norm, COLOURS)
    drawn.colorbar(mapped, ax=list(grid.flat), label=panels[0].heat.title, pad=0.01, aspect=30)
    return drawn
