"""Built-in solids with fine detail, given by formulas and computed when needed.

The sign of a formula says exactly which points are inside; the surface is a mesh of its zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from encbench_tasks._occupancy.cache import kept_on_disk
from encbench_tasks._occupancy.lattice import Lattice, extract
from encbench_tasks._occupancy.solid import Solid
from encbench_tasks._occupancy.triangles import Array, Flags, Indices, Triangles, into_unit_cube

MESH_CELLS = 192
"""Cells of the mesh along the longest axis."""


@dataclass(frozen=True)
class Shape:
    """A solid {x : value(x) < 0} within its bounding box."""

    value: Callable[[Array], Array]
    """(N, 3) to (N,): negative inside; near the surface approximately the distance from it."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    """The bounding box in the formula's own units."""
    version: int = 1
    """Part of the data's hash, and of the key of the mesh on disk; increase it when the formula
    changes."""


@lru_cache(maxsize=4)
def solid_of_shape(name: str, cells: int = MESH_CELLS) -> Solid:
    """The built-in shape in the unit cube; its mesh has ``cells`` cells along the longest axis."""
    shape = SHAPES[name]
    low, high = np.array(shape.low), np.array(shape.high)
    scale, shift = into_unit_cube(low, high)
    box = low * scale + shift, high * scale + shift

    def value(x: Array) -> Array:
        return shape.value((x - shift) / scale)

    def occupied(x: Array) -> Flags:
        inside: Flags = value(x) < 0
        return inside

    mesh = kept_on_disk(_mesh, ["box", "value"])(name, shape.version, cells, box, value)
    return Solid(Triangles(*mesh), *box, occupied)


def _mesh(
    name: str, version: int, cells: int, box: tuple[Array, Array], value: Callable[[Array], Array]
) -> tuple[Array, Indices]:
    """Vertices (V, 3) and faces (F, 3) of the solid in which the value is negative."""
    found = extract(Lattice.over(*box, cells, lambda x: -value(x), coarsest=cells // 2))
    return found.vertices, found.faces


def gyroid(x: Array) -> Array:
    """A sheet along the gyroid, clipped to the unit ball: smooth walls, many handles.

    |sin a cos b + sin b cos c + sin c cos a| < 0.35 at (a, b, c) = 6 x.
    """
    s, c = np.sin(6 * x), np.cos(6 * x)
    sheet = (s * np.roll(c, -1, axis=1)).sum(axis=1)
    # the gradient's length is at most about 6 · 1.7
    wall = (np.abs(sheet) - 0.35) / 9
    result: Array = np.maximum(wall, np.linalg.norm(x, axis=1) - 1)
    return result


def knot(x: Array) -> Array:
    """A (2, 3) torus knot, a tube of radius 0.4 with 0.05 deep threads engraved: genus 1.

    The curve is ((2 + cos 3t) cos 2t, (2 + cos 3t) sin 2t, sin 3t); the threads are square,
    60 turns along it with 3 starts.
    """
    tree, length = _knot_samples()
    t = tree.query(x)[1] * (2 * np.pi / length)
    for _ in range(2):  # Newton steps for the nearest point of the curve
        curve, first, second = _knot_curve(t)
        offset = curve - x
        slope = (offset * first).sum(axis=1)
        bend = (first * first).sum(axis=1) + (offset * second).sum(axis=1)
        t = t - np.clip(slope / np.maximum(bend, 1e-9), -0.01, 0.01)
    curve, first, _ = _knot_curve(t)
    offset = x - curve
    distance = np.linalg.norm(offset, axis=1)
    # the angle around the tube, from the direction away from the torus' circle
    away = _knot_away(t)
    tangent = first / np.linalg.norm(first, axis=1, keepdims=True)
    away = away - (away * tangent).sum(axis=1, keepdims=True) * tangent
    side = np.cross(tangent, away)
    angle = np.arctan2((offset * side).sum(axis=1), (offset * away).sum(axis=1))
    turn = (60 * t + 3 * angle) / (2 * np.pi)
    engraved = np.abs(turn - np.floor(turn) - 0.5) < 0.2
    result: Array = distance - np.where(engraved, 0.35, 0.4)
    return result


def _knot_curve(t: NDArray[np.floating]) -> tuple[Array, Array, Array]:
    """The curve (N, 3) at t (N,), and its first two derivatives."""
    r, r1, r2 = 2 + np.cos(3 * t), -3 * np.sin(3 * t), -9 * np.cos(3 * t)
    c, s = np.cos(2 * t), np.sin(2 * t)
    curve = np.stack([r * c, r * s, np.sin(3 * t)], axis=1)
    first = np.stack([r1 * c - 2 * r * s, r1 * s + 2 * r * c, 3 * np.cos(3 * t)], axis=1)
    second = np.stack(
        [
            r2 * c - 4 * r1 * s - 4 * r * c,
            r2 * s + 4 * r1 * c - 4 * r * s,
            -9 * np.sin(3 * t),
        ],
        axis=1,
    )
    return curve, first, second


def _knot_away(t: Array) -> Array:
    radial = np.stack([np.cos(2 * t), np.sin(2 * t), np.zeros_like(t)], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    away: Array = np.cos(3 * t)[:, None] * radial + np.sin(3 * t)[:, None] * up
    return away


@lru_cache(maxsize=1)
def _knot_samples(count: int = 4096) -> tuple[cKDTree, int]:
    return cKDTree(_knot_curve(np.arange(count) * (2 * np.pi / count))[0]), count


def flange(x: Array) -> Array:
    """A machine part with sharp edges: toothed disk, hub, bore with keyway, six holes: genus 7.

    32 teeth of slanted flanks, a groove in the face, a hub on one side; units: outer radius 1.
    """
    radius = np.hypot(x[:, 0], x[:, 1])
    angle = np.arctan2(x[:, 1], x[:, 0])
    z = x[:, 2]
    # a triangle wave cut at both ends gives slanted flanks, tips and roots
    wave = 4 * np.abs(16 * angle / np.pi - np.floor(16 * angle / np.pi) - 0.5) - 1
    rim = radius - (0.94 + 0.06 * np.clip(1.8 * wave, -1, 1))
    disk = np.maximum(rim, np.abs(z) - 0.12)
    groove = np.maximum(np.abs(radius - 0.78) - 0.03, np.abs(z - 0.12) - 0.05)
    hub = np.maximum(radius - 0.34, np.abs(z - 0.12) - 0.24)
    solid = np.minimum(np.maximum(disk, -groove), hub)
    keyway = np.maximum(np.abs(x[:, 1]) - 0.05, np.abs(x[:, 0] - 0.15) - 0.13)
    sixth = angle - np.round(angle * 3 / np.pi) * np.pi / 3
    holes = np.hypot(radius * np.cos(sixth) - 0.56, radius * np.sin(sixth)) - 0.11
    cut = np.minimum(np.minimum(radius - 0.2, keyway), holes)
    result: Array = np.maximum(solid, -cut)
    return result


SHAPES = {
    "gyroid": Shape(gyroid, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),
    "knot": Shape(knot, (-2.7644032, -3.22824744, -1.4), (3.4, 3.22824744, 1.4)),
    "flange": Shape(flange, (-1.0, -1.0, -0.12), (1.0, 1.0, 0.36)),
}
