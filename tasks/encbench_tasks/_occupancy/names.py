"""What a mesh's name means: a built-in shape, a fetched mesh, or a file."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

from encbench import DataError
from encbench_tasks._occupancy.catalogue import MESHES, fetched_path
from encbench_tasks._occupancy.files import sha256
from encbench_tasks._occupancy.shapes import SHAPES

__all__ = ["data_hash_of", "locate"]


def locate(mesh: str) -> str | Path:
    """A built-in shape's name, or the path of a file. A name wins; ``./knot`` is a path.

    Raises:
        DataError: there is no such shape or file, or the mesh has not been fetched.
    """
    if mesh in SHAPES:
        return mesh
    if mesh in MESHES:
        path = fetched_path(mesh)
        if not path.is_file():
            raise DataError(
                f"mesh {mesh!r} is not on this machine; `encbench data fetch {mesh}` "
                "downloads it, or give the path of a mesh file"
            )
        return path
    try:
        path = Path(mesh).expanduser()
        if path.is_file():
            return path
        exists = path.exists()
    # a name that is too long, a home that nobody has
    except (OSError, RuntimeError) as error:
        raise DataError(f"no mesh {mesh[:80]!r}: {error}; give a path that can be read") from None
    if exists:
        raise DataError(f"{mesh!r} is not a file; give the path of one mesh file")
    known = [*SHAPES, *MESHES]
    near = difflib.get_close_matches(mesh, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"no mesh {mesh!r}: the file does not exist; {hint}Built in: {', '.join(SHAPES)}; "
        f"to fetch: {', '.join(MESHES)}"
    )


def data_hash_of(mesh: str) -> str:
    """SHA-256 of an unpacked mesh file, or of a built-in shape's name and version.

    Raises:
        DataError: as ``locate``, or the file cannot be read.
    """
    found = locate(mesh)
    if isinstance(found, Path):
        return sha256(found)
    return hashlib.sha256(f"encbench shape {found} {SHAPES[found].version}".encode()).hexdigest()
