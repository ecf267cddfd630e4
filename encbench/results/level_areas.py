"""Stacked areas of the shares of the levels of a kernel, as data for any plotting library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encbench.results.kernel_summary import LevelShare

if TYPE_CHECKING:
    from matplotlib.artist import Artist

BAR = (-0.2, -0.06)
"""Range on the axis of i / R of the bar that shows the shares of the trace."""
SHARE_AXIS = "index of the eigenvalue / eigenvalues above the floor"
SHARE_TICKS = (
    (sum(BAR) / 2, "trace"),
    (0.0, "0"),
    (0.25, "¼"),
    (0.5, "½"),
    (0.75, "¾"),
    (1.0, "1"),
)
BINS = 128
"""Maximum number of bins of an area; each is the mean over adjacent eigenvalues."""
NAMED = 12
"""Maximum number of parts in a legend."""


@dataclass(frozen=True, eq=False)
class LevelArea:
    """The area of one part, between those of the parts below and above it."""

    label: str
    """Name of the part, and its share of the kernel's trace."""
    shade: float | None
    """From 0 for the coarsest level to 1 for the finest; None for the network."""
    x: np.ndarray
    """(n,) i / R for the R eigenvalues above the floor."""
    low: np.ndarray
    """(n,) lower edge."""
    high: np.ndarray
    """(n,) upper edge."""


def stacked_areas(parts: Sequence[LevelShare], shares: np.ndarray | None) -> Iterator[LevelArea]:
    """Yield the areas of a bar of the levels' shares of the trace, without the network, beside
    which they would hardly be seen; then the areas of all parts over the eigenvalues.

    Args:
        parts: those of a ``SplitSummary``, the network first.
        shares: (R, parts) per eigenvalue above the floor; if None, only the bar is yielded.
    """
    traces = np.array([0.0, *(part.trace for part in parts[1:])])
    traces /= traces.sum() or 1.0
    stacks = [(np.array(BAR), np.tile(traces, (2, 1)))]
    if shares is not None and len(shares):
        edges = np.unique(np.linspace(0, len(shares), BINS + 1).round().astype(int))
        means = np.add.reduceat(shares, edges[:-1], axis=0) / np.diff(edges)[:, None]
        x = np.repeat(edges, 2)[1:-1] / len(shares)
        stacks.append((x, np.repeat(means, 2, axis=0)))
    for x, heights in stacks:
        tops = np.cumsum(heights, axis=1)
        for place, part in enumerate(parts):
            shade = None if place == 0 else (place - 1) / max(1, len(parts) - 2)
            label = f"{part.name}: {100 * part.trace:.3g} % of the trace"
            low = tops[:, place] - heights[:, place]
            yield LevelArea(label, shade, x, low, tops[:, place])


def legend_of(handles: Sequence[Artist], labels: Sequence[str]) -> dict[str, Any]:
    """Arguments for a legend beside the axes; each label once, and of many an even selection."""
    named = list(dict(zip(labels, handles, strict=True)).items())
    named = named[:: math.ceil(len(named) / NAMED)]
    return {
        "labels": [label for label, _ in named],
        "handles": [handle for _, handle in named],
        "reverse": True,
        "loc": "upper left",
        "bbox_to_anchor": (1, 1),
        "borderaxespad": 0.2,
    }
