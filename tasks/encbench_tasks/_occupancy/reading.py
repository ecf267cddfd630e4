"""Read triangles from mesh files: PLY, OBJ, STL, OFF or GLB, gzipped or not."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from encbench import DataError
from encbench_tasks._occupancy.mesh_formats import READERS
from encbench_tasks._occupancy.triangles import Array, Indices, Triangles

MOST_BYTES = 1 << 30
"""Maximum size of an unpacked mesh file."""
MOST_GROWTH = 100
"""Maximum ratio of a file's unpacked to its gzipped size; that of meshes is about 2 to 10."""
PIECE = 1 << 20


def sha256(path: Path) -> str:
    """SHA-256 of the unpacked file, so that ``a.ply`` and ``a.ply.gz`` are the same data.

    Raises:
        DataError: there is no such file, it is empty or too large, or cannot be unpacked.
    """
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def read_triangles(path: Path) -> Triangles:
    """Read all triangles of a file in its own units; parts of a scene are put in their places.

    Faces with more corners are split. Vertices at one place are merged, which STL needs.

    Raises:
        DataError: the file is not a mesh, damaged, too large, a point cloud, or has vertices
            that are not finite.
    """
    suffix = _suffix(path)
    data = b"".join(_pieces(path))
    if suffix != ".stl":  # it may be binary from the first byte
        data = data.removeprefix(codecs.BOM_UTF8)
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        if is_wide and suffix != ".stl":
            raise ValueError
        vertices, faces = READERS[suffix](data)
    except MemoryError:
        raise
    # for damaged files, readers raise anything from IndexError to struct.error
    except Exception as error:
        _refuse_another_format(path, suffix, data)
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if is_wide:
            reason = "it is text in UTF-16; save it as UTF-8"
        raise DataError(
            f"{path}: not a readable {suffix[1:].upper()} mesh ({reason}); "
            f"give a mesh file ({' '.join(READERS)}, gzipped or not)"
        ) from error
    if len(faces) == 0:
        _refuse_another_format(path, suffix, data)
        what, mend = "empty, without vertices and faces", "give a file of a mesh"
        if len(vertices):
            what = f"a point cloud of {len(vertices)} points, without faces"
            mend = "reconstruct a surface first"
        raise DataError(f"{path}: {what}, where triangles are needed; {mend}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        first = int(suffix == ".obj")
        raise DataError(
            f"{path}: a face has the vertex {wrong + first}, the mesh has {len(vertices)}, counted "
            f"from {first}; correct the file"
        )
    bad = int((~np.isfinite(vertices[np.unique(faces)])).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(vertices)} vertices are not finite (NaN or infinite); "
            "remove them and their faces"
        )
    return _merged(vertices, faces)


def _refuse_another_format(path: Path, suffix: str, data: bytes) -> None:
    """Raise DataError if data that cannot be read begin like those of another format."""
    is_stl = data.startswith(b"solid ") or len(data) == 84 + 50 * int.from_bytes(
        data[80:84], "little"
    )
    begins = {".ply": b"ply", ".off": b"OFF", ".glb": b"glTF"}
    found = next((other for other, word in begins.items() if data.startswith(word)), None)
    found = found or (".stl" if is_stl else None)
    if found not in (None, suffix):
        raise DataError(
            f"{path}: the content is that of {found}, not of {suffix}; rename the file"
        ) from None


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield the file's bytes, unpacked if it is gzipped: at most ``MOST_BYTES`` in all."""
    total = 0
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        most = min(MOST_BYTES, path.stat().st_size * MOST_GROWTH) if packed else MOST_BYTES
        with gzip.open(path) if packed else path.open("rb") as file:
            while piece := file.read(PIECE):
                total += len(piece)
                if total > max(most, PIECE):
                    raise DataError(
                        f"{path}: more than {most >> 20} MiB{' when unpacked' * packed}, the most "
                        "that is read; simplify the mesh first"
                    )
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged: {error}; fetch it again") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; give the path of a mesh file"
        ) from None
    if not total:
        raise DataError(f"{path}: the file is empty; replace it by a mesh")


def _suffix(path: Path) -> str:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if not suffixes or suffixes[-1] not in READERS:
        raise DataError(
            f"{path}: a mesh's name ends in {' '.join(READERS)}, with or without .gz; "
            "rename or convert the file"
        )
    return suffixes[-1]


def _merged(vertices: Array, faces: Indices) -> Triangles:
    """Merge vertices at one place, and drop those that no face uses."""
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    places = vertices[used]
    # sorted by columns: numpy's unique rows take ten times as long for a million of them
    order = np.lexsort(places.T)
    places = places[order]
    new = np.concatenate([[True], (places[1:] != places[:-1]).any(axis=1)])
    number = np.empty(len(vertices), np.int64)
    number[np.flatnonzero(used)[order]] = np.cumsum(new) - 1
    return Triangles(places[new], number[faces])
