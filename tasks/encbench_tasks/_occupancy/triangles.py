"""Triangle meshes: areas, samples, edges and volume; and triangles of faces with more corners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
MOST_CORNERS = 512
"""Maximum number of corners for ear clipping, whose time grows with their cube."""
ROUNDING = 1e-9
"""Area of a triangle outside its polygon, relative to the polygon's, that may be rounding."""


@dataclass(frozen=True)
class Triangles:
    """A triangle mesh: vertices (V, 3) float64 and faces (F, 3) int64, counter-clockwise."""

    vertices: Array
    faces: Indices

    @cached_property
    def area_vectors(self) -> Array:
        """(F, 3) normals whose lengths are the triangles' areas."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        cross: Array = np.cross(b - a, c - a) / 2
        return cross

    @cached_property
    def areas(self) -> Array:
        """(F,) areas."""
        areas: Array = np.linalg.norm(self.area_vectors, axis=1)
        return areas

    def normals(self, faces: Indices) -> Array:
        """Unit normals (n, 3) of faces (n,) that have an area."""
        normals: Array = self.area_vectors[faces] / self.areas[faces, None]
        return normals

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """``count`` points (count, 3) uniform over the area, and unit normals (count, 3)."""
        ends = np.cumsum(self.areas)
        face = np.searchsorted(ends, rng.random(count) * ends[-1], side="right")
        # rounding may choose the last triangles, which may have no area
        face = np.minimum(face, int(np.flatnonzero(self.areas)[-1]))
        a, b, c = (self.vertices[self.faces[face, k]] for k in range(3))
        u, v = rng.random((2, count, 1))
        # the far half of the square is folded onto the triangle
        folded = u + v > 1
        u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
        points: Array = a + u * (b - a) + v * (c - a)
        return points, self.normals(face)


@dataclass(frozen=True)
class Edges:
    """Counts of edges that a closed, consistently oriented surface does not have."""

    open: int
    """Edges of a single face: borders of holes."""
    clashing: int
    """Edges of two faces that run along them in the same direction."""
    branching: int
    """Edges of more than two faces."""

    @property
    def watertight(self) -> bool:
        return self.open == self.clashing == self.branching == 0


def edge_uses(faces: Indices) -> tuple[Indices, Indices, Indices]:
    """Return the edge of each side of a face (F, 3), and per edge (E,) faces and their balance.

    The balance is the number of faces that run along an edge from its lower to its higher vertex,
    minus the number of those that run the other way.
    """
    from trimesh.geometry import faces_to_edges  # a second, not needed for planning

    sides: Indices = faces_to_edges(faces)  # type: ignore[no-untyped-call] # trimesh leaves it untyped
    forward = sides[:, 0] < sides[:, 1]
    key = sides.min(axis=1) * (int(faces.max()) + 1) + sides.max(axis=1)
    _, edge, uses = np.unique(key, return_inverse=True, return_counts=True)
    balance = np.bincount(edge, weights=np.where(forward, 1, -1)).astype(np.int64)
    return edge.reshape(faces.shape), uses, balance


def edges_of(faces: Indices) -> Edges:
    """Count the defects of faces (F, 3) that are not degenerate."""
    _, uses, balance = edge_uses(faces)
    return Edges(
        open=int((uses == 1).sum()),
        clashing=int(((uses == 2) & (balance != 0)).sum()),
        branching=int((uses > 2).sum()),
    )


def signed_volume(mesh: Triangles) -> float:
    """Enclosed volume, positive if faces are counter-clockwise seen from outside.

    Exact for closed surfaces; holes are closed by cones to the vertices' mean.
    """
    return float(signed_volumes(mesh).sum())


def signed_volumes(mesh: Triangles) -> Array:
    """(F,) volumes of the tetrahedra between each triangle and the vertices' mean."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] - mesh.vertices.mean(axis=0) for k in range(3))
    volumes: Array = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return volumes


def into_unit_cube(low: Array, high: Array) -> tuple[float, Array]:
    """Scale s and shift t such that x·s + t has the longest side 1 and is centred in [0, 1]³."""
    scale = 1.0 / float((high - low).max())
    shift: Array = 0.5 - (low + high) / 2 * scale
    return scale, shift


def triangulated(faces: Any, vertices: Array) -> Indices:
    """Triangles (F, 3) of faces, an array (n, k) or rows of any length, at vertices (V, 3).

    A face becomes a fan about its first corner, or about another one if this fan would leave the
    face, which is then not convex; if no fan fits, it is split by ear clipping.
    """
    from trimesh.geometry import triangulate_quads  # a second, not needed for planning

    lengths = np.fromiter(map(len, faces), np.int64, len(faces))
    if (lengths == 3).all():
        return np.array(faces, np.int64).reshape(-1, 3)
    fans = [np.asarray(face, np.int64) for face in faces]
    ears = [np.empty((0, 3), np.int64)]
    for count in set(lengths[lengths > 3].tolist()):
        numbers = np.flatnonzero(lengths == count)
        polygons = np.stack([fans[number] for number in numbers])
        # corners that are no vertices are refused later
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
    """(n,) whether all triangles about the first of the corners (n, k, 3) face like the polygon."""
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
    if (normal[axis] > 0) == (axis == 1):  # without y, x and z have the opposite orientation
        flat = flat[:, ::-1]

    def side(a: int, b: int, points: Array) -> Array:
        """Positive for points (n, 2) to the left of the line from corner a to b."""
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
        else:  # the polygon crosses itself: take any corner
            at, (a, b, c) = 1, left[:3]
        triangles.append((a, b, c))
        left.pop(at)
    return np.array([*triangles, left], np.int64)
