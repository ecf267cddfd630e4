"""Interpolation on a regular grid in plain Python numbers, one axis at a time."""

import math


def interpolate(grid: list, point: list[float]) -> list[float]:
    """Values (F,) at a point of a nested list, n nodes per axis, *last* coordinate outermost.

    Node i lies at i / (n − 1) on every axis.
    """
    if not point:
        return grid
    *others, coordinate = point
    position = coordinate * (len(grid) - 1)
    cell = min(math.floor(position), len(grid) - 2)
    lower = interpolate(grid[cell], others)
    upper = interpolate(grid[cell + 1], others)
    share = position - cell
    return [(1 - share) * a + share * b for a, b in zip(lower, upper, strict=True)]
