"""Triangles of faces with any number of corners."""

from __future__ import annotations

from typing import Any

import numpy as np

from encbench_tasks._occupancy.triangles import Array, Flags, Indices

MOST_CORNERS = 512
"""Of a face whose ears are cut off: the time for that grows with their cube."""
ROUNDING = 1e-9
"""Area of a triangle outside its polygon, over the polygon's, that may be rounding."""


def triangulated(faces: Any, vertices: Array) -> Indices:
    """Triangles (F, 3) of faces, an array (n, k) or rows of any length, at vertices (V, 3).

    A face becomes a fan about its first corner. Where the face bends inwards, so that this fan
    would leave it, about another corner; and where no fan fits, its ears are cut off.
    """
    from trimesh.geometry import triangulate_quads  # a second, which planning does without

    if isinstance(faces, np.ndarray) and faces.shape[1] == 3:
        return faces.astype(np.int64)
    fans = [np.asarray(face, np.int64) for face in faces]
    lengths = np.array([len(face) for face in fans], np.int64)
    ears = [np.empty((0, 3), np.int64)]
    for count in set(lengths[lengths > 3].tolist()):
        numbers = np.flatnonzero(lengths == count)
        polygons = np.stack([fans[number] for number in numbers])
        # a corner that is no vertex is complained of later
        bent = np.flatnonzero(((polygons >= 0) & (polygons < len(vertices))).all(axis=1))
        for _ in range(count):
            bent = bent[~_fans_fit(vertices[polygons[bent]])]
            polygons[bent] = np.roll(polygons[bent], -1, axis=1)
        for number, polygon in zip(numbers, polygons, strict=True):
            fans[number] = polygon
        for row in bent if count <= MOST_CORNERS else ():
            ears.append(polygons[row][_ears(vertices[polygons[row]])])
            fans[numbers[row]] = np.empty(0, np.int64)
    triangles: Indices = triangulate_quads(fans).reshape(-1, 3)
    return np.concatenate([triangles.astype(np.int64), *ears])


def _fans_fit(corners: Array) -> Flags:
    """(n,) whether triangles about the first of the corners (n, k, 3) all face like the whole."""
    rays = corners[:, 1:] - corners[:, :1]
    areas = np.cross(rays[:, :-1], rays[:, 1:])
    whole = areas.sum(axis=1)
    along = np.einsum("nij,nj->ni", areas, whole)
    fit: Flags = ~(along < -ROUNDING * (whole**2).sum(axis=1)[:, None]).any(axis=1)
    return fit


def _ears(corners: Array) -> Indices:
    """Triangles (k − 2, 3) of one simple polygon with corners (k, 3), as numbers of corners."""
    rays = corners[1:] - corners[0]
    normal = np.cross(rays[:-1], rays[1:]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    flat = np.delete(corners, axis, axis=1)
    if (normal[axis] > 0) == (axis == 1):  # without y, x and z are left in the other order
        flat = flat[:, ::-1]

    def side(a: int, b: int, points: Array) -> Array:
        """Positive where points (n, 2) lie to the left of the line from corner a to b."""
        along, to = flat[b] - flat[a], points - flat[a]
        sides: Array = along[0] * to[:, 1] - along[1] * to[:, 0]
        return sides

    left, triangles = list(range(len(corners))), []
    while len(left) > 3:
        for at in range(len(left)):
            a, b, c = (left[(at + step) % len(left)] for step in (-1, 0, 1))
            others = flat[[corner for corner in left if corner not in (a, b, c)]]
            within = (side(a, b, others) >= 0) & (side(b, c, others) >= 0)
            if side(a, b, flat[[c]])[0] > 0 and not (within & (side(c, a, others) >= 0)).any():
                break
        else:  # it crosses itself: any corner
            at, (a, b, c) = 1, left[:3]
        triangles.append((a, b, c))
        left.pop(at)
    return np.array([*triangles, left], np.int64)
