"""Mesh files: from PLY, OBJ, STL, OFF or GLB, gzipped or not, to triangles."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from encbench import DataError
from encbench_tasks._occupancy.triangles import Array, Indices, Triangles, triangulated

MOST_BYTES = 1 << 30
"""Of a mesh file, unpacked."""
MOST_GROWTH = 100
"""Times that a gzipped file may grow: meshes grow some 2 to 10 times."""
MOST_NUMBERS = 1 << 28
"""Coordinates and indices of a scene, with those of geometries that it places many times."""
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
"""Numbers that an element of a glTF accessor consists of."""
PIECE = 1 << 20
PLY_KINDS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "int64": "i8", "uint64": "u8"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
PLY_CORNERS = ("vertex_indices", "vertex_index")


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
    """All triangles of a file in its own units; parts of a scene are put in their places.

    Faces of more corners are split. Vertices at one place become one, as STL needs.

    Raises:
        DataError: the file is not a mesh, damaged, too large, a point cloud, or has vertices
            that are not finite; says which.
    """
    suffix = _suffix(path)
    data = b"".join(_pieces(path))
    if suffix != ".stl":  # it may be binary from the first byte
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        vertices, faces = READERS[suffix](data)
    except MemoryError:
        raise
    # readers answer damaged files with anything from IndexError to struct.error
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{path}: not a readable {suffix[1:].upper()} mesh ({reason}); "
            f"give a mesh file ({' '.join(READERS)}, gzipped or not)"
        ) from error
    if len(faces) == 0:
        what, mend = "empty, without vertices and faces", "give a file of a mesh"
        if len(vertices):
            what = f"a point cloud of {len(vertices)} points, without faces"
            mend = "reconstruct a surface first"
        raise DataError(f"{path}: {what}, where triangles are needed; {mend}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise DataError(
            f"{path}: a face has the vertex {wrong}, the mesh has {len(vertices)}, counted from 0; "
            "correct the file"
        )
    bad = int((~np.isfinite(vertices[np.unique(faces)])).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{path}: {bad} of {len(vertices)} vertices are not finite (NaN or infinite); "
            "remove them and their faces"
        )
    return _merged(vertices, faces)


def _pieces(path: Path) -> Iterator[bytes]:
    """The file's bytes, unpacked if it is gzipped: never more than ``MOST_BYTES`` in all."""
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


def _read_ply(data: bytes) -> tuple[Array, Indices]:
    """Stanford PLY, ASCII and binary: faces of any number of corners, and triangle strips.

    Turk, "The PLY Polygon File Format", 1994. (trimesh reads neither binary faces that differ in
    their number of corners, nor strips, and does not say that a file was cut short.)
    """
    order, elements, position = _ply_header(data)
    body = data
    if not order:
        body, position = _numbers(data[position:]).tobytes(), 0
    vertices, faces = np.empty((0, 3)), [np.empty((0, 3), np.int64)]
    polygons: list[Any] = []
    for element in elements:
        if not element.count:
            continue
        try:
            columns, position = _ply_columns(body, position, order, element)
        except EOFError as error:
            whole, more = error.args
            ends = f"{len(data)} of {whole}{more}"
            if not order:
                ends = f"{len(data)}, after {len(body) // 8} of {whole // 8}{more} numbers"
            raise ValueError(f"damaged: ends at byte {ends}") from None
        if element.name == "vertex":
            if missing := set("xyz").difference(columns):
                raise ValueError(f"vertices have no {' and '.join(sorted(missing))}")
            vertices = np.hstack([columns[axis] for axis in "xyz"]).astype(np.float64)
        elif element.name in ("face", "tristrips"):
            corners = columns[next(name for name in (*PLY_CORNERS, *columns) if name in columns)]
            if element.name == "face":
                polygons.append(corners)
            else:
                faces += [_strip_triangles(np.asarray(strip, np.int64)) for strip in corners]
    faces += [triangulated(each, vertices) for each in polygons]
    return vertices, np.concatenate(faces)


def _numbers(text: bytes) -> Array:
    try:
        with warnings.catch_warnings():
            # of a word that is not a number
            warnings.simplefilter("error", DeprecationWarning)
            return np.fromstring(text, np.float64, sep=" ")
    except (DeprecationWarning, ValueError):
        number = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I)
        wrong = next((word for word in text.split() if not number.fullmatch(word)), b"")
        raise ValueError(f"{wrong.decode('latin-1')[:60]!r} where a number is needed") from None


@dataclass
class _PlyElement:
    name: str
    count: int
    properties: list[tuple[str, str, str]] = field(default_factory=list)
    """Name and type of each; and the type of its length, empty for what is no list."""


def _ply_header(data: bytes) -> tuple[str, list[_PlyElement], int]:
    """Byte order ("" for ASCII), elements, and where the body starts."""
    end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)", data[:PIECE])
    if not data.startswith(b"ply") or end is None:
        raise ValueError("the header does not begin with ply and end with end_header")
    order, elements = None, list[_PlyElement]()
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", name, *_] if name in PLY_ORDERS:
                order = PLY_ORDERS[name]
            case ["element", name, count]:
                elements.append(_PlyElement(name, int(count)))
            case ["property", "list", length, kind, name] if {length, kind} <= {*PLY_KINDS}:
                elements[-1].properties.append((name, PLY_KINDS[kind], PLY_KINDS[length]))
            case ["property", kind, name] if kind in PLY_KINDS:
                elements[-1].properties.append((name, PLY_KINDS[kind], ""))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"the header has the line {line[:60]!r}, which is not PLY's")
    if order is None or any(e.count < 0 or not e.properties for e in elements):
        raise ValueError("the header has no format, or an element without properties")
    return order, elements, end.end()


def _ply_columns(
    body: bytes, position: int, order: str, element: _PlyElement
) -> tuple[dict[str, Any], int]:
    """The values of each property, and where they end.

    An array (rows, n) if the lists of all rows are as long as those of the first, otherwise an
    array for each row. Raises EOFError, with the position that is needed and " or more" where rows
    differ, if the body ends before.
    """

    def stored(kind: str) -> np.dtype[Any]:
        return np.dtype(order + kind if order else "f8")

    def typed(values: np.ndarray, kind: str) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            result: np.ndarray = values.astype(kind)
        if not order and kind[0] != "f" and (wrong := values[result != values]).size:
            raise ValueError(f"the number {wrong[0]:g} where a whole one of type {kind} is needed")
        return result

    def take(kind: str, count: int) -> np.ndarray:
        nonlocal position
        start, position = position, position + count * stored(kind).itemsize
        if count < 0:
            raise ValueError(f"a list of {count} numbers")
        if position > len(body):
            raise EOFError(*(needed or (position, " or more")))
        return typed(np.frombuffer(body, stored(kind), count, start), kind)

    first, needed = position, tuple[Any, ...]()
    columns: dict[str, Any] = {name: [] for name, _, _ in element.properties}
    for number in range(element.count):
        for name, kind, length_kind in element.properties:
            length = int(take(length_kind, 1)[0]) if length_kind else 1
            columns[name].append(take(kind, length))
        if number > 0:
            continue
        lengths = {name: len(values[0]) for name, values in columns.items()}
        fields = list[Any]()
        for name, kind, length_kind in element.properties:
            fields += [("length of " + name, stored(length_kind))] if length_kind else []
            fields.append((name, stored(kind), (lengths[name],)))
        size = position - first
        present = min(element.count, (len(body) - first) // size)
        rows = np.frombuffer(body, np.dtype(fields), present, first)
        lists = [name for name, _, length_kind in element.properties if length_kind]
        if all((rows["length of " + name] == lengths[name]).all() for name in lists):
            needed = (first + element.count * size, "")
            # the last rows may be shorter
            if present < element.count and not lists:
                raise EOFError(*needed)
            if present == element.count:
                position = needed[0]
                return {
                    name: typed(rows[name], kind) for name, kind, _ in element.properties
                }, position
    return columns, position


def _strip_triangles(strip: Indices) -> Indices:
    """Triangles (F, 3) of strips of vertices, each ended by -1; every second one is turned."""
    faces = [np.empty((0, 3), np.int64)]
    for run in np.split(strip, np.flatnonzero(strip < 0)):
        corners = run[run >= 0]
        triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
        triangles[1::2] = triangles[1::2][:, [1, 0, 2]]
        faces.append(triangles)
    return np.concatenate(faces)


def _read_off(data: bytes) -> tuple[Array, Indices]:
    """Geomview's OFF; colours, normals and texture coordinates are left out."""
    lines = [words for line in data.splitlines() if (words := line.split(b"#")[0].split())]
    if not lines or not re.fullmatch(rb"(ST)?C?N?OFF|off", lines[0][0]):
        raise ValueError("it does not begin with OFF")
    if b"BINARY" in lines[0]:
        raise ValueError("it is binary; save it as text")
    counts, *lines = [row for row in (lines[0][1:], *lines[1:]) if row] or [[]]
    if len(counts) < 2:
        raise ValueError("the numbers of vertices and faces are missing")
    vertices, faces = _wholes(counts[:2])
    if len(lines) < vertices + faces:
        raise ValueError(
            f"damaged: ends at byte {len(data)}, after {len(lines)} of {vertices + faces} lines "
            "of one vertex or face"
        )
    places = _places(lines[:vertices])
    rows = lines[vertices : vertices + faces]
    lengths = _wholes([words[0] for words in rows])
    corners = [_wholes(words[1 : n + 1]) for n, words in zip(lengths, rows, strict=True)]
    if lengths != [*map(len, corners)]:
        raise ValueError(f"damaged: ends at byte {len(data)}, within a face")
    return places, triangulated(corners, places)


def _wholes(words: list[bytes]) -> list[int]:
    try:
        return [*map(int, words)]
    except ValueError as error:
        word = str(error).partition(": ")[2].removeprefix("b")
        raise ValueError(f"{word[:60]} where a whole number is needed") from None


def _places(rows: list[list[bytes]]) -> Array:
    """(V, 3) the first three numbers of each row."""
    if any(len(row) < 3 for row in rows):
        raise ValueError("a vertex without three coordinates")
    return _numbers(b" ".join(number for row in rows for number in row[:3])).reshape(-1, 3)


def _read_obj(data: bytes) -> tuple[Array, Indices]:
    """Wavefront OBJ: places and faces alone."""
    vertices, corners = list[list[bytes]](), list[list[int]]()
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        match line.split(b"#")[0].split():
            case [b"v", *numbers]:
                vertices.append(numbers)
            case [b"f" | b"fo", *words]:
                face = _wholes([word.partition(b"/")[0] for word in words])
                if 0 in face:
                    raise ValueError("a face has the vertex 0, and they are counted from 1")
                # or from the last one back
                corners.append([i - 1 if i > 0 else len(vertices) + i for i in face])
    if corners and len(corners[-1]) < 3 and not data.endswith((b"\n", b"\r")):
        raise ValueError(f"damaged: ends at byte {len(data)}, within a face")
    places = _places(vertices)
    return places, triangulated([face for face in corners if len(face) > 2], places)


def _read_stl(data: bytes) -> tuple[Array, Indices]:
    """STL, ASCII and binary, which has a zero byte in its number of triangles at least."""
    if b"\0" not in data:
        return _read_stl_text(data)
    count, whole = int.from_bytes(data[80:84], "little"), 84
    whole += 50 * count
    if len(data) < whole:
        raise ValueError(f"damaged: ends at byte {len(data)} of {whole}")
    more, rest = divmod(len(data) - whole, 50)
    if more and not rest:
        raise ValueError(f"damaged: has {count + more} triangles, and says that it has {count}")
    row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    places = np.frombuffer(data, row, count, 84)["corners"].reshape(-1, 3).astype(np.float64)
    return places, np.arange(len(places)).reshape(-1, 3)


def _read_stl_text(data: bytes) -> tuple[Array, Indices]:
    text = data.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not text.startswith(b"solid"):
        raise ValueError("it is neither text that begins with solid nor binary")
    if text.rfind(b"endsolid") < max(text.rfind(b"endloop"), 0):
        raise ValueError(f"damaged: ends at byte {len(data)}, without endsolid")
    loops = [loop.partition(b"endloop") for loop in re.split(rb"\bouter\s+loop\b", text)[1:]]
    numbers = [loop.replace(b"vertex", b" ").split() for loop, _, _ in loops]
    ended = all(end for _, end, _ in loops)
    if not ended or any(len(row) < 9 or len(row) % 3 for row in numbers):
        raise ValueError("damaged: a facet without three vertices of three coordinates")
    places = _numbers(b" ".join(map(b" ".join, numbers))).reshape(-1, 3)
    ends = np.cumsum([len(row) // 3 for row in numbers])
    if len(places) == 3 * len(ends):
        return places, np.arange(len(places)).reshape(-1, 3)
    return places, triangulated(np.split(np.arange(len(places)), ends[:-1]), places)


def _read_glb(data: bytes) -> tuple[Array, Indices]:
    """As trimesh reads it, once it is known that it does, and how much memory that takes."""
    if not data.startswith(b"glTF"):
        raise ValueError("it does not begin with glTF")
    _, _, whole, json_size = struct.unpack_from("<4sIII", data.ljust(16, b"\0"))
    whole = max(whole, 20)
    if len(data) < whole:
        raise ValueError(f"damaged: ends at byte {len(data)} of {whole}")
    scene = json.loads(data[20 : 20 + json_size])
    for extension in scene.get("extensionsRequired", []):
        if "compression" in extension:
            raise ValueError(f"compressed by {extension}; export it uncompressed")
    for buffer in scene.get("buffers", []):
        if not buffer.get("uri", "data:").startswith("data:"):
            raise ValueError(f"its data are in {buffer['uri']}; export one file with all data")
    if part := _unread(scene):
        raise ValueError(f"it has {part}, which are not read; export it without them")
    # an accessor without a buffer is all zeros: its length costs the file nothing
    sizes = [COMPONENTS[each["type"]] * abs(each["count"]) for each in scene.get("accessors", [])]
    parts = [part for mesh in scene.get("meshes", []) for part in mesh["primitives"]]
    used = [index for part in parts for index in part["attributes"].values()]
    used += [part["indices"] for part in parts if "indices" in part]
    _check_numbers(sum(sizes) + sum(sizes[index] for index in used))
    return _with_trimesh(data)


def _unread(scene: dict[str, Any]) -> str | None:
    """What of a glTF scene trimesh leaves out, or takes for something else, without a word."""
    accessors, meshes = scene.get("accessors", []), scene.get("meshes", [])
    parts = [part for mesh in meshes for part in mesh["primitives"]]
    places = {part["attributes"].get("POSITION", 0) for part in parts}
    weights = [each.get("weights", []) for each in (*meshes, *scene.get("nodes", []))]
    instances = "EXT_mesh_gpu_instancing"
    found = {
        "sparse accessors": any("sparse" in each for each in accessors),
        "normalized coordinates": any(accessors[i].get("normalized") for i in places),
        "triangle fans": any(part.get("mode") == 6 for part in parts),
        f"instances ({instances})": instances in scene.get("extensionsUsed", []),
        "morph targets": any(map(any, weights)),
    }
    return next((part for part, has in found.items() if has), None)


def _with_trimesh(data: bytes) -> tuple[Array, Indices]:
    import trimesh  # as above
    from trimesh.util import append_faces

    file, logger = io.BytesIO(data), trimesh.util.log
    quiet, logger.disabled = logger.disabled, True  # it logs tracebacks of what it catches
    try:
        scene = trimesh.load_scene(file, file_type="glb", process=False, skip_materials=True)
    finally:
        logger.disabled = quiet
    # a geometry may be placed many times
    placed = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
    _check_numbers(sum(np.size(g.vertices) + np.size(getattr(g, "faces", ())) for g in placed))
    # in their places, by the scene's transformations
    geometry = [each for each in scene.dump() if hasattr(each, "vertices")]
    parts = [each for each in geometry if isinstance(each, trimesh.Trimesh)]
    vertices = [np.asarray(each.vertices, np.float64) for each in parts or geometry]
    faces = [np.asarray(part.faces, np.int64) for part in parts]
    if any(places.size and places.shape[1:] != (3,) for places in vertices):
        raise ValueError("a vertex without three coordinates")
    if not parts:
        return np.concatenate([np.empty((0, 3)), *vertices]), np.empty((0, 3), np.int64)
    places, corners = append_faces(vertices, faces)
    return places.astype(np.float64, copy=False), corners.astype(np.int64, copy=False)


def _check_numbers(count: int) -> None:
    if count > MOST_NUMBERS:
        raise ValueError(f"{count} coordinates and indices, at most {MOST_NUMBERS} are read")


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


READERS: dict[str, Callable[[bytes], tuple[Array, Indices]]] = {
    ".ply": _read_ply,
    ".obj": _read_obj,
    ".stl": _read_stl,
    ".off": _read_off,
    ".glb": _read_glb,
}
