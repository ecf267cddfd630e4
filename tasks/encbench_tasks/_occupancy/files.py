"""Mesh files: from PLY, OBJ, STL, OFF or GLB, gzipped or not, to triangles."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path

import numpy as np
import trimesh

from encbench import DataError
from encbench_tasks._occupancy.solid import Array, Indices, Triangles

__all__ = ["SUFFIXES", "content", "read_triangles", "sha256"]

SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")


def content(path: Path) -> bytes:
    """The file's bytes, unpacked if it is gzipped.

    Raises:
        DataError: there is no such file, it is empty or cannot be unpacked.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged: {error}; fetch it again") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; give the path of a mesh file"
        ) from None
    if not data:
        raise DataError(f"{path}: the file is empty; replace it by a mesh")
    return data


def sha256(path: Path) -> str:
    """SHA-256 of the unpacked file, so that ``a.ply`` and ``a.ply.gz`` are the same data.

    Raises:
        DataError: as ``content``.
    """
    return hashlib.sha256(content(path)).hexdigest()


def read_triangles(path: Path) -> Triangles:
    """All triangles of a file in its own units; parts of a scene are put in their places.

    Faces of more corners are split. Vertices at one place become one, as STL needs.

    Raises:
        DataError: the file is no mesh, damaged, a point cloud, or has vertices that are not
            finite; says which.
    """
    kind = _kind(path)
    data = content(path)
    try:
        loaded = trimesh.load_scene(io.BytesIO(data), file_type=kind, process=False)
        # in their places, by the scene's transformations
        geometry = loaded.dump()
        points = sum(len(getattr(part, "vertices", ())) for part in geometry)
        parts = [part for part in geometry if isinstance(part, trimesh.Trimesh)]
        offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
        stacked = [np.asarray(part.vertices, np.float64) for part in parts]
        vertices = np.concatenate([np.empty((0, 3)), *stacked])
        shifted = [np.asarray(p.faces, np.int64) + n for p, n in zip(parts, offsets, strict=False)]
        faces = np.concatenate([np.empty((0, 3), np.int64), *shifted])
    except MemoryError:
        raise
    # readers answer damaged files with anything from IndexError to struct.error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{path}: not a readable {kind.upper()} mesh ({reason}); "
            f"give a mesh file ({' '.join(SUFFIXES)}, gzipped or not)"
        ) from error
    if len(faces) == 0:
        what = f"a point cloud of {points} points" if points else "empty"
        raise DataError(
            f"{path}: {what}, without faces, where triangles are needed; "
            "reconstruct a surface first"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise DataError(
            f"{path}: faces name vertices up to {faces.max()} of {len(vertices)}; mend the file"
        )
    bad = int((~np.isfinite(vertices[np.unique(faces)])).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(vertices)} vertices are not finite (NaN or infinite); "
            "remove them and their faces"
        )
    return _merged(vertices, faces)


def _kind(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise DataError(
            f"{path}: a mesh's name ends in {' '.join(SUFFIXES)}, with or without .gz; "
            "rename or convert the file"
        )
    return suffixes[-1][1:]


def _merged(vertices: Array, faces: Indices) -> Triangles:
    """One vertex for each place, and only those that faces use."""
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    places = vertices[used]
    # sorted by columns: numpy's unique rows take ten times as long on a million of them
    order = np.lexsort(places.T)
    places = places[order]
    new = np.concatenate([[True], (places[1:] != places[:-1]).any(axis=1)])
    number = np.empty(len(vertices), np.int64)
    number[np.flatnonzero(used)[order]] = np.cumsum(new) - 1
    return Triangles(places[new], number[faces])
