"""Names beside marks, where they hide neither one another nor a mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["Label", "Place", "find_places", "label_marks"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

RINGS = (7.0, 16.0, 28.0, 42.0)
"""Distances from a mark at which a name may stand, in points."""
DIRECTIONS = tuple(math.radians(a) for a in (0, 45, 90, 135, 180, 225, 270, 315))
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
    found: list[Place | None] = []
    for (x, y), (width, height) in zip(marks, sizes, strict=False):
        place = _nearest_free(x, y, width, height, inside, boxes, unit)
        found.append(place)
        if place is not None:
            boxes = np.vstack([boxes, place.box])
    return found


def _nearest_free(
    x: float, y: float, width: float, height: float, inside: Box, boxes: np.ndarray, unit: float
) -> Place | None:
    for ring in RINGS:
        for angle in DIRECTIONS:
            near = (x + ring * unit * math.cos(angle), y + ring * unit * math.sin(angle))
            # The side of the name that faces the mark: half a step up or down in diagonals.
            x0 = near[0] - width * (0.5 - 0.5 * _sign(math.cos(angle)))
            y0 = near[1] - height * (0.5 - 0.5 * _sign(math.sin(angle)))
            if _sign(math.cos(angle)) == 0:
                # Above and below it may be moved aside to stay within.
                x0 = max(inside[0], min(x0, inside[2] - width))
            box = (x0, y0, x0 + width, y0 + height)
            within = inside[0] <= box[0] and inside[1] <= box[1]
            within = within and box[2] <= inside[2] and box[3] <= inside[3]
            if within and not _overlap(box, boxes):
                return Place(box, near)
    return None


def _sign(value: float) -> int:
    return 0 if abs(value) < 1e-9 else int(math.copysign(1, value))


def _overlap(box: Box, boxes: np.ndarray) -> bool:
    x0, y0, x1, y1 = box
    hit = (boxes[:, 0] < x1) & (x0 < boxes[:, 2]) & (boxes[:, 1] < y1) & (y0 < boxes[:, 3])
    return bool(hit.any())


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
