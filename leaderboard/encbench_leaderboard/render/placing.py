"""Names beside marks, where they hide neither one another nor a mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

RINGS = np.array([7.0, 16.0, 28.0, 42.0])
"""Distances from a mark at which a name may stand, in points."""
ANGLES = np.radians(np.arange(0, 360, 45))
DIRECTIONS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]).round(12)
STEPS = (RINGS[:, None, None] * DIRECTIONS).reshape(-1, 2)
"""From a mark to the nearest point of its name, (places, 2): the nearest first."""
SIDES = np.tile(np.sign(DIRECTIONS), (len(RINGS), 1))
"""On which side of the mark that is, (places, 2): -1, 0 or 1 along x and y."""
MARK = 5.0
"""Half the side of the square around a mark that is kept free, in points."""
LEADER = 12.0
"""From this distance on a line leads from the name to its mark, in points."""


@dataclass(frozen=True)
class Label:
    """A name to be set beside a mark, in data coordinates."""

    x: float
    y: float
    text: str
    colour: str
    weight: str = "normal"


@dataclass(frozen=True)
class Place:
    """Where a name stands: its box, and the point of the box nearest to the mark."""

    box: Box
    near: tuple[float, float]


def find_places(
    marks: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    inside: Box,
    taken: Sequence[Box] = (),
    *,
    unit: float = 1.0,
) -> list[Place | None]:
    """A place for the name of each of the first marks, or None where all overlap something.

    The first names choose first, each the nearest place that is free, to the right before other
    directions.

    Args:
        marks: centres of all marks; the first ``len(sizes)`` are to be named.
        sizes: width and height of the names.
        inside: what no name may leave.
        taken: what no name may cover, besides marks and other names.
        unit: the length of a point.
    """
    half = MARK * unit
    centres = np.array(marks, dtype=np.float64).reshape(-1, 2)
    boxes = np.vstack([np.hstack([centres - half, centres + half]), np.array(taken).reshape(-1, 4)])
    left, bottom, right, top = inside
    found: list[Place | None] = []
    for mark, size in zip(centres, np.array(sizes), strict=False):
        near = mark + unit * STEPS
        # The side of the name that faces the mark: its middle above, below and beside it.
        corner = near - size * (0.5 - 0.5 * SIDES)
        # Above and below it may be moved aside to stay within.
        x = np.maximum(left, np.minimum(corner[:, 0], right - size[0]))
        corner[:, 0] = np.where(SIDES[:, 0] == 0, x, corner[:, 0])
        places = np.hstack([corner, corner + size])
        x0, y0, x1, y1 = places.T[:, :, None]  # each (places, 1)
        within = (x0 >= left) & (y0 >= bottom) & (x1 <= right) & (y1 <= top)
        hit = (boxes[:, 0] < x1) & (x0 < boxes[:, 2]) & (boxes[:, 1] < y1) & (y0 < boxes[:, 3])
        free = np.flatnonzero(within[:, 0] & ~hit.any(axis=1))
        if not len(free):
            found.append(None)
            continue
        box, point = places[free[0]], near[free[0]]
        found.append(Place((box[0], box[1], box[2], box[3]), (point[0], point[1])))
        boxes = np.vstack([boxes, box])
    return found


def label_marks(
    drawn: Figure,
    axes: Axes,
    labels: Sequence[Label],
    others: Sequence[tuple[float, float]] = (),
    lines: Sequence[Box] = (),
    *,
    size: float = 7.5,
) -> list[bool]:
    """Set names beside their marks; returns which ones found a place.

    The figure's layout must be final: positions are in its pixels.

    Args:
        labels: those to be named, the most important first.
        others: further marks, in data coordinates, that no name may cover.
        lines: upright and level lines, from (x0, y0) to (x1, y1), that no name may cover.
        size: of the type, in points.
    """
    unit = drawn.dpi / 72
    texts = [
        axes.text(
            label.x, label.y, label.text, fontsize=size, color=label.colour, weight=label.weight,
            linespacing=1.05, va="bottom", ha="left", zorder=6,
        )
        for label in labels
    ]  # fmt: skip
    canvas = drawn.canvas if isinstance(drawn.canvas, FigureCanvasAgg) else FigureCanvasAgg(drawn)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call] # matplotlib leaves it so
    extents = [text.get_window_extent(renderer) for text in texts]
    marks = axes.transData.transform([(m.x, m.y) for m in labels] + list(others))
    frame = axes.get_window_extent()
    ends = axes.transData.transform(np.array(lines, dtype=np.float64).reshape(-1, 2))
    pairs = ends.reshape(-1, 2, 2)
    taken = np.hstack([pairs.min(axis=1) - unit, pairs.max(axis=1) + unit])
    places = find_places(
        [(float(x), float(y)) for x, y in marks],
        [(e.width, e.height) for e in extents],
        (frame.x0, frame.y0, frame.x1, frame.y1),
        [tuple(box) for box in taken.tolist()],
        unit=unit,
    )
    to_data = axes.transData.inverted().transform
    for text, label, mark, place in zip(texts, labels, marks, places, strict=False):
        if place is None:
            text.remove()
            continue
        x, y = to_data(place.box[:2])
        text.set_position((float(x), float(y)))
        if math.dist(place.near, mark) >= LEADER * unit:
            end = to_data(place.near)
            axes.plot(
                [label.x, end[0]], [label.y, end[1]],
                color=label.colour, linewidth=0.6, alpha=0.6, zorder=2, scalex=False, scaley=False,
            )  # fmt: skip
    return [place is not None for place in places]
