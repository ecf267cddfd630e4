"""From a mesh file to a solid: scaled, checked, oriented, with its ground truth."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from encbench import DataError
from encbench_tasks._occupancy.files import read_triangles
from encbench_tasks._occupancy.repair import Edges, edges_of, oriented
from encbench_tasks._occupancy.solid import Solid, Triangles, into_unit_cube
from encbench_tasks._occupancy.truth import RayParity, WindingNumber

__all__ = ["TruthMethod", "solid_of_mesh"]

logger = logging.getLogger("encbench")
TruthMethod = Literal["winding", "rays"]
FLAT = 1e-6
"""Thickness of all vertices over their largest extent, below which a mesh is flat."""
ENCLOSED = 0.75
"""Winding number that an open surface must reach somewhere: ½ is beside any sheet, ¾ where two
walls meet at right angles."""
PROBES = 1 << 14
"""Points that look for an inside."""


def solid_of_mesh(path: Path, method: TruthMethod = "winding") -> Solid:
    """The solid that a mesh file bounds, its longest axis scaled to 1.

    Holes, clashing orientation and non-manifold edges are warned of, with what is done.

    Raises:
        DataError: the file cannot be read, or its triangles bound no solid: no faces, no
            area, flat, or open with nothing inside; or rays were asked for on a mesh that is
            not watertight.
    """
    mesh = _scaled(read_triangles(path), path)
    edges = edges_of(mesh.faces)
    mesh, turned = oriented(mesh, edges.clashing)
    if edges.clashing:
        edges = edges_of(mesh.faces)
    _warn(path, edges, turned, len(mesh.faces))
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    winding = WindingNumber(mesh)
    probes = low + np.random.default_rng(0).random((PROBES, 3)) * (high - low)
    if edges.open and np.abs(winding.numbers(probes)).max() < ENCLOSED:
        raise DataError(
            f"{path}: the surface is open ({edges.open} border edges) and encloses nothing; "
            "close it first"
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


def _warn(path: Path, edges: Edges, turned: int, faces: int) -> None:
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
