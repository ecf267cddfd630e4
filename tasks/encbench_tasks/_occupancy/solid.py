"""Make a solid of a mesh file: scale, repair and check it, and decide which points are inside."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import igl
import numpy as np

from encbench import DataError
from encbench.errors import plural
from encbench_tasks._occupancy.cells import parts_of
from encbench_tasks._occupancy.doubles import each_once, oriented_by_cells, without_doubles
from encbench_tasks._occupancy.reading import read_triangles
from encbench_tasks._occupancy.triangles import (
    Array,
    Edges,
    Flags,
    Indices,
    Triangles,
    edge_uses,
    edges_of,
    into_unit_cube,
    signed_volume,
    signed_volumes,
)

logger = logging.getLogger("encbench")
VERSION = 4
"""Version of everything between a file's bytes and a label or a point on the surface: repairs,
scaling, truth. If it changes, meshes of files are other data."""
FLAT = 1e-6
"""Maximum thickness of a flat mesh, relative to its largest extent."""
ENCLOSED = 0.75
"""Winding number that a surface must reach somewhere to enclose a solid: it is ½ beside any sheet,
and ¾ where two walls meet at right angles."""
THIN = 1e-4
"""Volume of a closed surface in the unit cube below which it is checked for an inside."""
PROBES = 1 << 14
"""Number of points in the box, and of further ones near the surface of a closed mesh; at least one
of them all must be inside."""
OUTSIDE = 0.05
"""Maximum winding number of a point that is outside: on a surface it is the solid angle within, an
eighth at the corner of a box; the error of the approximation is 0.005."""
WEIGHTS = np.array([(i, j, 8 - i - j) for i in range(9) for j in range(9 - i)]) / 8
"""Barycentric coordinates of 45 points of a triangle, including its corners."""
CHUNK = 256
"""Points per call. The library holds Python's lock while it computes: longer calls would make
training wait for the thread that labels the next epoch, shorter ones take a fifth longer."""

DIRECTIONS = np.array([[0.36, 0.48, 0.8], [-0.71, 0.43, 0.56], [0.29, -0.83, -0.47]])
"""Directions of rays, along no axis, diagonal or plane that meshes are likely to have."""


@dataclass(frozen=True)
class Solid:
    """A solid whose bounding box has 1 as its longest side and is centred in [0, 1]³."""

    surface: Triangles
    """Its mesh; coinciding faces, such as the wall between two solids that touch, count once."""
    low: Array
    """(3,) lower corner of the bounding box."""
    high: Array
    """(3,) upper corner."""
    occupied: Callable[[Array], Flags]
    """Ground truth: function from points (N, 3) to whether they are inside (N,)."""


def solid_of_mesh(path: Path, method: Literal["winding", "rays"] = "winding") -> Solid:
    """The solid that a mesh file bounds, its longest axis scaled to 1.

    Warnings report doubled faces, holes, inconsistent orientation, inside-out parts and, for rays,
    overlapping parts, and what is done about them.

    Raises:
        DataError: the file cannot be read, or its triangles bound no solid: no faces, no
            area, flat, or nothing inside; or the method is rays and the mesh is not
            watertight.
    """
    mesh = _scaled(read_triangles(path), path)
    edges, doubled, unclear, turned = edges_of(mesh.faces), 0, 0, 0
    clashing = edges.clashing
    if edges.branching:
        mesh, turned = oriented_by_cells(mesh)
        mesh, doubled, unclear = without_doubles(mesh)
        edges = edges_of(mesh.faces) if doubled or turned else edges
    mesh, more = oriented(mesh, edges.clashing)
    if edges.clashing:
        edges = edges_of(mesh.faces)
    surface = each_once(mesh)
    _warn(path, edges, doubled, unclear, min(turned + more, len(mesh.faces)), len(mesh.faces))
    if again := len(mesh.faces) - len(surface.faces):
        logger.warning(
            "%s: %s with others: counted for what is inside, and not for where points on the "
            "surface are drawn",
            path,
            plural(again, "other face coincides", "other faces coincide"),
        )
    if clashing and (unbalanced := _unbalanced(mesh.faces)):
        logger.warning(
            "%s: the parts that meet at %s of more than two faces could not be oriented "
            "relative to each other; each keeps the orientation that most of its area had",
            path,
            plural(unbalanced, "edge"),
        )
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    winding = WindingNumber(mesh)
    if edges.open or abs(signed_volume(mesh)) < THIN:
        rng = np.random.default_rng(0)
        probes = low + rng.random((PROBES, 3)) * (high - low)
        if not edges.open:
            x, normals = mesh.sample(PROBES, rng)
            probes = np.concatenate([probes, x - 10 ** rng.uniform(-7, -1, (PROBES, 1)) * normals])
        if np.abs(winding.numbers(probes)).max() < ENCLOSED:
            what = f"is open ({edges.open} border edges) and" if edges.open else "is closed but"
            raise DataError(
                f"{path}: the surface {what} encloses nothing; give the surface of a solid, "
                "closed but for small holes"
            )
    if method == "winding":
        return Solid(surface, low, high, winding)
    if not edges.watertight:
        raise DataError(
            f"{path}: truth=rays needs a watertight mesh, this one has {edges.open} border and "
            f"{edges.branching} branching edges; use truth=winding"
        )
    probes = low + np.random.default_rng(0).random((PROBES, 3)) * (high - low)
    if np.abs(winding.numbers(probes)).max() > 1.5:
        logger.warning(
            "%s: parts overlap, and truth=rays treats points inside two of them as outside; "
            "truth=winding does not",
            path,
        )
    return Solid(surface, low, high, RayParity(mesh))


def _scaled(mesh: Triangles, path: Path) -> Triangles:
    """Scale to the unit cube, and drop faces without area."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    with np.errstate(over="ignore"):
        extent = float((high - low).max())
    if extent < np.finfo(np.float64).tiny or not np.isfinite(extent):
        raise DataError(f"{path}: all vertices are at one place, or too far apart; no surface")
    # shifted before it is scaled: a small mesh far from the origin keeps its digits
    centred = mesh.vertices - (low + high) / 2
    scale, shift = into_unit_cube(low - (low + high) / 2, high - (low + high) / 2)
    mesh = Triangles(centred * scale + shift, mesh.faces)
    spread = np.linalg.svd(np.cov(mesh.vertices.T), compute_uv=False)
    if spread[-1] <= FLAT**2 * spread[0]:
        raise DataError(
            f"{path}: flat, {len(mesh.faces)} triangle(s) in one plane enclose nothing; "
            "give the surface of a solid"
        )
    real = mesh.areas > 0
    if not real.any():
        raise DataError(f"{path}: no triangle has an area; give the surface of a solid")
    return mesh if real.all() else Triangles(mesh.vertices, mesh.faces[real])


def _unbalanced(faces: Indices) -> int:
    """Return how many edges of more than two faces have more in one direction than in the other."""
    _, uses, balance = edge_uses(faces)
    return int(((uses > 2) & (balance != 0)).sum())


def _warn(path: Path, edges: Edges, doubled: int, unclear: int, turned: int, faces: int) -> None:
    if doubled:
        left_out = plural(doubled, "face that coincides", "faces that coincide")
        logger.warning("%s: left out %s with others", path, left_out)
    if unclear:
        logger.warning(
            "%s: %s cells that may be inside or outside; they are taken as outside",
            path,
            plural(unclear, "double-sided face encloses", "double-sided faces enclose"),
        )
    if edges.open:
        logger.warning(
            "%s: %s: the mesh has holes; inside is where the generalized winding "
            "number is over ½, which closes them smoothly",
            path,
            plural(edges.open, "border edge"),
        )
    if turned:
        logger.warning(
            "%s: flipped %s of %s to face outwards", path, f"{turned:,}", plural(faces, "face")
        )
    if edges.clashing:
        logger.warning(
            "%s: %s whose faces cannot be oriented alike; the winding number counts each "
            "face as it is",
            path,
            plural(edges.clashing, "edge"),
        )


def oriented(mesh: Triangles, clashing: int) -> tuple[Triangles, int]:
    """Orient the faces of each patch alike, and outwards; return also the number of turned faces.

    A patch keeps the orientation that most of its area had, so that walls of cavities stay as
    they are; the volume of the whole becomes positive. Then closed parts of negative volume are
    turned, unless they lie entirely within the others: those are cavities.
    """
    faces = mesh.faces
    if clashing:
        aligned, patch = igl.bfs_orient(np.ascontiguousarray(faces))
        agreement = np.einsum(
            "ij,ij->i", Triangles(mesh.vertices, aligned).area_vectors, mesh.area_vectors
        )
        votes = np.bincount(patch, weights=np.sign(agreement) * mesh.areas)
        faces = np.where((votes[patch] < 0)[:, None], aligned[:, ::-1], aligned)
    if signed_volume(Triangles(mesh.vertices, faces)) < 0:
        faces = faces[:, ::-1]
    wrong = _inside_out(Triangles(mesh.vertices, faces))
    if faces is mesh.faces and not wrong.any():
        return mesh, 0
    faces = np.ascontiguousarray(np.where(wrong[:, None], faces[:, ::-1], faces), np.int64)
    result = Triangles(mesh.vertices, faces)
    turned = int((np.einsum("ij,ij->i", result.area_vectors, mesh.area_vectors) < 0).sum())
    return result, turned


def _inside_out(mesh: Triangles) -> np.ndarray:
    """(F,) whether a face belongs to a closed part of negative volume that is no cavity."""
    edge, uses, _ = edge_uses(mesh.faces)
    part = parts_of(edge)
    volume = np.bincount(part, weights=signed_volumes(mesh))
    closed = np.bincount(part, weights=(uses[edge] == 1).any(axis=1)) == 0
    negative = closed & (volume < 0)
    if not negative.any() or negative[part].all():
        return np.zeros(len(part), np.bool_)
    others = WindingNumber(Triangles(mesh.vertices, mesh.faces[~negative[part]]))
    faces = np.flatnonzero(negative[part])
    places = np.einsum("kc,fcd->fkd", WEIGHTS, mesh.vertices[mesh.faces[faces]])
    w = np.abs(others.numbers(places.reshape(-1, 3))).reshape(len(faces), -1)
    inside, outside = (
        np.bincount(part[faces], weights=found.any(axis=1), minlength=len(volume)) > 0
        for found in (w > 1 - OUTSIDE, w < OUTSIDE)
    )
    turned = inside & outside
    return turned[part]


class WindingNumber:
    """Points are inside if |w| > ½, w the generalized winding number (libigl's approximation).

    Jacobson, Kavan, Sorkine-Hornung, "Robust inside-outside segmentation using generalized
    winding numbers", SIGGRAPH 2013; Barill et al., "Fast winding numbers for soups and
    clouds", SIGGRAPH 2018. It is right for self-intersecting and overlapping parts, and closes
    holes by a smooth sheet. With |w| instead of w, a part that is inside out beside others still
    counts as inside.
    """

    def __init__(self, mesh: Triangles) -> None:
        hierarchy = igl.FastWindingNumberBVH()
        # released before Python exits, or the binding complains about live objects
        self._held = [hierarchy]
        weakref.finalize(self, self._held.clear)
        hierarchy.init(np.ascontiguousarray(mesh.vertices), np.ascontiguousarray(mesh.faces))

    def numbers(self, x: Array) -> Array:
        """w at points (N, 3); the error of the approximation is at most about 0.005."""
        (hierarchy,) = self._held
        parts = [
            np.atleast_1d(hierarchy.winding_number(np.ascontiguousarray(part)))
            for part in np.split(x, range(CHUNK, len(x), CHUNK))
        ]
        numbers: Array = np.concatenate(parts)
        return numbers

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        inside: Flags = np.abs(self.numbers(x)) > 0.5
        return inside


class RayParity:
    """Points are inside if rays cross the surface an odd number of times (Embree, float32).

    Only right if the surface is watertight and no two parts overlap. The majority of rays in three
    fixed directions decides: a ray through an edge may count it twice or not at all. (trimesh's own
    ``contains`` settles such doubts by random rays, differently each time.)
    """

    def __init__(self, mesh: Triangles) -> None:
        # a second, not needed for planning
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        self._rays = RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        votes = np.zeros(len(x), np.int64)
        for direction in DIRECTIONS:
            _, ray = self._rays.intersects_id(
                x, np.broadcast_to(direction, x.shape), multiple_hits=True
            )
            votes += np.bincount(ray, minlength=len(x)) % 2
        inside: Flags = votes >= 2
        return inside
