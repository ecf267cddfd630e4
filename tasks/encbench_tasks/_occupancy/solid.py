"""From a mesh file to a solid: scaled, mended, checked, with its ground truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from encbench import DataError
from encbench_tasks._occupancy.reading import read_triangles
from encbench_tasks._occupancy.repair import oriented, without_doubles
from encbench_tasks._occupancy.triangles import (
    Array,
    Edges,
    Flags,
    Triangles,
    edges_of,
    into_unit_cube,
    signed_volume,
)
from encbench_tasks._occupancy.truth import RayParity, WindingNumber

logger = logging.getLogger("encbench")
FLAT = 1e-6
"""Thickness of all vertices over their largest extent, below which a mesh is flat."""
ENCLOSED = 0.75
"""Winding number that an open surface must reach somewhere: ½ is beside any sheet, ¾ where two
walls meet at right angles."""
THIN = 1e-4
"""Volume of a closed surface in the unit cube below which it is asked whether it has an inside."""
PROBES = 1 << 14
"""Points among which one at least must be inside: of the box and, if it is closed, as many near
the surface."""


@dataclass(frozen=True)
class Solid:
    """A solid whose bounding box has 1 as its longest side and is centred in [0, 1]³."""

    surface: Triangles
    low: Array
    """(3,) lower corner of the bounding box."""
    high: Array
    """(3,) upper corner."""
    occupied: Callable[[Array], Flags]
    """Ground truth: points (N, 3) to whether they are inside (N,)."""


def solid_of_mesh(path: Path, method: Literal["winding", "rays"] = "winding") -> Solid:
    """The solid that a mesh file bounds, its longest axis scaled to 1.

    Doubled faces, holes, clashing orientation and parts that are inside out are warned of, with
    what is done.

    Raises:
        DataError: the file cannot be read, or its triangles bound no solid: no faces, no
            area, flat, or nothing inside; or rays were asked for on a mesh that is not
            watertight.
    """
    mesh = _scaled(read_triangles(path), path)
    edges, doubled = edges_of(mesh.faces), 0
    if edges.branching:
        mesh, doubled = without_doubles(mesh)
        edges = edges_of(mesh.faces) if doubled else edges
    mesh, turned = oriented(mesh, edges.clashing)
    if edges.clashing:
        edges = edges_of(mesh.faces)
    _warn(path, edges, doubled, turned, len(mesh.faces))
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
        return Solid(mesh, low, high, winding)
    if not edges.watertight:
        raise DataError(
            f"{path}: truth=rays needs a watertight mesh, this one has {edges.open} border and "
            f"{edges.branching} branching edges; use truth=winding"
        )
    return Solid(mesh, low, high, RayParity(mesh))


def _scaled(mesh: Triangles, path: Path) -> Triangles:
    """In the unit cube, without faces that have no area."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    with np.errstate(over="ignore"):
        extent = float((high - low).max())
    if extent == 0 or not np.isfinite(extent):
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


def _warn(path: Path, edges: Edges, doubled: int, turned: int, faces: int) -> None:
    if doubled:
        logger.warning("%s: left out %d faces that coincide with others", path, doubled)
    if edges.open:
        logger.warning(
            "%s: %d border edges: the mesh has holes; inside is where the generalized winding "
            "number is over ½, which closes them smoothly",
            path,
            edges.open,
        )
    if turned:
        logger.warning("%s: turned %d of %d faces so that they face outwards", path, turned, faces)
    if edges.clashing:
        logger.warning(
            "%s: %d edges whose faces cannot be oriented alike; the winding number counts each "
            "face as it is",
            path,
            edges.clashing,
        )
