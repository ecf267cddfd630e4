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
MOST_CORNERS = 1 << 11
"""Maximum number of corners for ear clipping: 5 s; the time grows with the square."""
ROUNDING = 1e-9
"""Area of a triangle outside its polygon, relative to the polygon's, that may be rounding."""
FLAT = 1e-15
"""Area of a triangle, relative to its polygon's, that may be rounding of 0."""
COLLINEAR = 1e-14
"""The same in ear clipping, relative to the square of the polygon's extent."""
TOUCHING = 1e-12
"""The same of the triangle between a side and a corner that touches it."""


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

    Faces of fewer than three corners, and corners at the place of the one before, are left out. A
    face becomes a fan about its first corner, or about another one if this fan would leave the
    face, which is then not convex, or have triangles without area; if no fan fits, it is split by
    ear clipping.

    Raises:
        ValueError: no fan fits a face of more than ``MOST_CORNERS`` corners.
    """
    from trimesh.geometry import triangulate_quads  # a second, not needed for planning

    lengths = np.fromiter(map(len, faces), np.int64, len(faces))
    if (lengths < 3).any():
        return triangulated([face for face in faces if len(face) > 2], vertices)
    if (lengths == 3).all():
        return np.array(faces, np.int64).reshape(-1, 3)
    fans = _without_repeats([np.asarray(face, np.int64) for face in faces], vertices)
    lengths = np.fromiter(map(len, fans), np.int64, len(fans))
    ears = [np.empty((0, 3), np.int64)]
    for count in set(lengths[lengths > 3].tolist()):
        numbers = np.flatnonzero(lengths == count)
        polygons = np.stack([fans[number] for number in numbers])
        # corners that are no vertices are refused later
        bent = np.flatnonzero(_are_vertices(polygons, vertices))
        for _ in range(count):
            bent = bent[~_fans_fit(vertices[polygons[bent]])]
            polygons[bent] = np.roll(polygons[bent], -1, axis=1)
        for number, polygon in zip(numbers, polygons, strict=True):
            fans[number] = polygon
        if len(bent) and count > MOST_CORNERS:
            raise ValueError(
                f"a face of {count} corners that is not convex, at most {MOST_CORNERS} are split; "
                "triangulate it"
            )
        for row in bent:
            ears.append(polygons[row][_ears(vertices[polygons[row]])])
            fans[numbers[row]] = np.empty(0, np.int64)
    triangles: Indices = triangulate_quads([fan for fan in fans if len(fan) > 2]).reshape(-1, 3)
    return np.concatenate([triangles.astype(np.int64), *ears])


def _are_vertices(polygons: Indices, vertices: Array) -> Flags:
    """(n,) whether all corners of polygons (n, k) are numbers of vertices (V, 3)."""
    inside: Flags = (polygons.min(axis=1) >= 0) & (polygons.max(axis=1) < len(vertices))
    return inside


def _without_repeats(faces: list[Indices], vertices: Array) -> list[Indices]:
    """Return faces of more than three corners without those at the place of the one before."""
    long = [number for number, face in enumerate(faces) if len(face) > 3]
    corners = np.concatenate([faces[number] for number in long])
    before = np.concatenate([np.roll(faces[number], 1) for number in long])
    known = _are_vertices(np.stack([corners, before], axis=1), vertices)
    repeated = np.zeros(len(corners), np.bool_)
    repeated[known] = (vertices[corners[known]] == vertices[before[known]]).all(axis=1)
    if not repeated.any():
        return faces
    ends = np.cumsum([len(faces[number]) for number in long])
    kept = np.split(~repeated, ends[:-1])
    result = list(faces)
    for number, each in zip(long, kept, strict=True):
        result[number] = faces[number][each]
    return result


def _fans_fit(corners: Array) -> Flags:
    """(n,) whether all triangles about the first of the corners (n, k, 3) face like the polygon,
    and have an area if it has one."""
    rays = corners[:, 1:] - corners[:, :1]
    areas = np.cross(rays[:, :-1], rays[:, 1:])
    whole = areas.sum(axis=1)
    along = np.einsum("nij,nj->ni", areas, whole)
    square = (whole**2).sum(axis=1)[:, None]
    outside = (along < -ROUNDING * square).any(axis=1)
    flat = ((np.abs(along) <= FLAT * square) & (square > 0)).any(axis=1)
    fit: Flags = np.logical_not(outside) & ~flat
    return fit


def _ears(corners: Array) -> Indices:
    """Triangles (n, 3) of one polygon with corners (k, 3), as numbers of corners.

    It may touch itself, as where a bridge leads to a hole and back. Where it turns back on itself,
    there is no triangle.
    """
    flat, left = _projected(corners), len(corners)
    _, place = np.unique(flat, axis=0, return_inverse=True)
    before, after = (np.roll(np.arange(left), step).tolist() for step in (1, -1))
    # only these can be within an ear
    reflex = np.array([_twice_area(flat, before[b], b, after[b]) <= COLLINEAR for b in range(left)])
    triangles, at, tried = list[tuple[int, int, int]](), 0, 0
    while left > 2:
        a, b, c = before[at], at, after[at]
        is_spike = place[a] in (place[b], place[c])
        # first no corner may touch an ear, then they may; at last, the polygon crosses itself
        stage = tried // left
        if not (is_spike or stage > 1 or _is_ear(flat, place, (a, b, c), reflex, stage == 0)):
            at, tried = c, tried + 1
            continue
        if not is_spike:
            triangles.append((a, b, c))
        after[a], before[c], reflex[b] = c, a, False
        for corner in (a, c):
            area = _twice_area(flat, before[corner], corner, after[corner])
            reflex[corner] = area <= COLLINEAR
        # on from the next corner but one, or long fans of thin triangles would result
        left, at, tried = left - 1, a if is_spike else after[c], 0
    return np.array(triangles, np.int64).reshape(-1, 3)


def _projected(corners: Array) -> Array:
    """(k, 2) corners (k, 3) along the axis nearest to the polygon's normal; counter-clockwise."""
    rays = corners - corners[0]
    rays = rays / np.abs(rays).max()
    normal = np.cross(rays[1:-1], rays[2:]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    flat: Array = np.delete(rays, axis, axis=1)
    # without y, x and z have the opposite orientation
    return flat[:, ::-1] if (normal[axis] > 0) == (axis == 1) else flat


def _is_ear(
    flat: Array, place: Indices, ear: tuple[int, int, int], reflex: Flags, is_strict: bool
) -> bool:
    """Whether a triangle of three corners has an area, and no ``reflex`` corner (k,) within or,
    strictly, on its sides. Corners at the same places are the other ends of bridges."""
    if _twice_area(flat, *ear) <= COLLINEAR:
        return False
    points, within = flat[reflex], np.ones(int(reflex.sum()), np.bool_)
    for start, end in zip(ear, ear[1:] + ear[:1], strict=True):
        (x, y), to = flat[end] - flat[start], points - flat[start]
        sides = x * to[:, 1] - y * to[:, 0]
        within &= sides >= 0 if is_strict else sides > TOUCHING
    found = place[reflex][within]
    return all(corner in place[list(ear)] for corner in found)


def _twice_area(flat: Array, a: int, b: int, c: int) -> float:
    """Twice the area of the triangle of three corners, positive if they are counter-clockwise."""
    (x, y), (u, v) = flat[b] - flat[a], flat[c] - flat[a]
    return float(x * v - y * u)
