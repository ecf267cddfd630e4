"""Points to learn from: uniform in the bounding box, or near the surface."""

from __future__ import annotations

import numpy as np

from encbench_tasks._occupancy.solid import Array, Solid

__all__ = ["draw_points", "near_surface_points", "uniform_points"]


def uniform_points(solid: Solid, count: int, rng: np.random.Generator) -> Array:
    """(count, 3) uniform in the bounding box."""
    return _single(solid.low + rng.random((count, 3)) * (solid.high - solid.low))


def near_surface_points(solid: Solid, count: int, sigma: float, rng: np.random.Generator) -> Array:
    """(count, 3) on the surface, uniform over its area, moved by N(0, σ²) in each coordinate.

    What leaves the unit cube is reflected at its wall, σ at most 0.5.
    """
    x, _ = solid.surface.sample(count, rng)
    x = np.abs(x + sigma * rng.standard_normal((count, 3))) % 2
    return _single(np.where(x > 1, 2 - x, x))


def draw_points(solid: Solid, count: int, near: float, sigma: float, seed: int) -> Array:
    """(count, 3): a part ``near`` of them near the surface, the others uniform."""
    rng = np.random.default_rng(seed)
    close = round(count * near)
    uniform = uniform_points(solid, count - close, rng)
    return np.concatenate([uniform, near_surface_points(solid, close, sigma, rng)])


def _single(x: Array) -> Array:
    """Rounded to float32, as networks will: the label must be that of the very same point."""
    rounded: Array = x.astype(np.float32).astype(np.float64)
    return rounded
