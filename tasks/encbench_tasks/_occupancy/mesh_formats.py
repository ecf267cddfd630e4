"""Formats of meshes: from the bytes of a file to vertices and faces."""

from __future__ import annotations

import codecs
import io
import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from encbench_tasks._occupancy.ply import numbers_in, read_ply
from encbench_tasks._occupancy.triangles import Array, Indices, triangulated

MOST_NUMBERS = 1 << 28
"""Maximum number of coordinates and indices of a scene; a geometry counts once per placement."""
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
"""Number of components of an element of a glTF accessor."""


def _read_off(data: bytes) -> tuple[Array, Indices]:
    """Read Geomview's OFF; colours, normals and texture coordinates are ignored."""
    text = data.rstrip(b"\0").splitlines()
    lines = [words for line in text if (words := line.split(b"#")[0].split())]
    if lines and re.fullmatch(rb"(ST)?C?N?(4n?|n)OFF", lines[0][0]):
        raise ValueError("its vertices are not in three dimensions; export it as OFF")
    if not lines or not re.fullmatch(rb"(ST)?C?N?OFF|off", lines[0][0]):
        raise ValueError("it does not begin with OFF")
    if b"BINARY" in lines[0]:
        raise ValueError("it is binary; save it as text")
    is_plain = lines[0][0].upper() == b"OFF"
    counts, *lines = [row for row in (lines[0][1:], *lines[1:]) if row] or [[]]
    if is_plain and len(counts) < 2:
        words = [word for row in (counts, *lines) for word in row]
        counts, lines = words[:3], [words[3:]]
    if len(counts) < 2:
        raise ValueError("the numbers of vertices and faces are missing")
    vertices, faces = _wholes(counts[:2])
    if min(vertices, faces) < 0:
        raise ValueError(f"it says {vertices} vertices and {faces} faces")
    short = any(len(row) < 3 for row in lines[:vertices])
    if is_plain and (short or len(lines) != vertices + faces):
        lines = [row for row in (counts[3:], *lines) if row]  # a vertex may follow the counts
        lines = _by_words(lines, vertices, faces) or lines
    if len(lines) > vertices + faces:
        raise ValueError(
            f"damaged: says {vertices} vertices and {faces} faces, and has {len(lines)} lines"
        )
    if len(lines) < vertices + faces:
        raise ValueError(
            f"damaged: ends at byte {len(data)}, after {len(lines)} of {vertices + faces} lines "
            "of one vertex or face"
        )
    places = _places(lines[:vertices])
    rows = lines[vertices : vertices + faces]
    lengths = _wholes([words[0] for words in rows])
    if min(lengths, default=0) < 0:
        raise ValueError(f"face {lengths.index(min(lengths))} says {min(lengths)} corners")
    corners = [_wholes(words[1 : n + 1]) for n, words in zip(lengths, rows, strict=True)]
    for number, (length, face) in enumerate(zip(lengths, corners, strict=True)):
        if len(face) != length and number == len(lines) - vertices - 1:
            raise ValueError(f"damaged: ends at byte {len(data)}, within a face")
        if len(face) != length:
            raise ValueError(f"face {number} says {length} corners and has {len(face)}")
    return places, triangulated(corners, places)


def _by_words(lines: list[list[bytes]], vertices: int, faces: int) -> list[list[bytes]] | None:
    """Return the rows of an OFF file whose lines end elsewhere, or None if the words do not fit."""
    words = [word for line in lines for word in line]
    if 3 * vertices + faces > len(words):  # a few bytes may declare millions of rows
        return None
    rows, at = [words[3 * row : 3 * row + 3] for row in range(vertices)], 3 * vertices
    for _ in range(faces):
        if at >= len(words) or not words[at].isdigit():
            return None
        end = at + 1 + int(words[at])
        rows.append(words[at:end])
        at = end
    return rows if at == len(words) else None


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
    return numbers_in(b" ".join(number for row in rows for number in row[:3])).reshape(-1, 3)


def _read_obj(data: bytes) -> tuple[Array, Indices]:
    """Read positions and faces of Wavefront OBJ."""
    vertices, corners = list[list[bytes]](), list[list[int]]()
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        match line.split(b"#")[0].split():
            case [b"v", *numbers]:
                vertices.append(numbers)
            case [b"f" | b"fo", *words]:
                face = _wholes([word.partition(b"/")[0] for word in words])
                if 0 in face:
                    raise ValueError("a face has the vertex 0, but vertices are counted from 1")
                if min(face, default=0) < -len(vertices):
                    before = f"but {len(vertices)} vertices come before it"
                    raise ValueError(f"a face has the vertex {min(face)}, {before}")
                # negative numbers count back from the last vertex
                corners.append([i - 1 if i > 0 else len(vertices) + i for i in face])
    if corners and len(corners[-1]) < 3 and not data.endswith((b"\n", b"\r")):
        raise ValueError(f"damaged: ends at byte {len(data)}, within a face")
    places = _places(vertices)
    return places, triangulated(corners, places)


def _read_stl(data: bytes) -> tuple[Array, Indices]:
    """Read STL, ASCII or binary; only binary files contain zero bytes."""
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
    places = numbers_in(b" ".join(map(b" ".join, numbers))).reshape(-1, 3)
    ends = np.cumsum([len(row) // 3 for row in numbers])
    if len(places) == 3 * len(ends):
        return places, np.arange(len(places)).reshape(-1, 3)
    return places, triangulated(np.split(np.arange(len(places)), ends[:-1]), places)


def _read_glb(data: bytes) -> tuple[Array, Indices]:
    """Read GLB by trimesh, after checking that it can read all of it, in limited memory."""
    if not data.startswith(b"glTF"):
        raise ValueError("it does not begin with glTF")
    _, _, whole, json_size = struct.unpack_from("<4sIII", data.ljust(16, b"\0"))
    whole = max(whole, 20)
    if len(data) < whole:
        raise ValueError(f"damaged: ends at byte {len(data)} of {whole}")
    if data[4:8] != b"\2\0\0\0":
        raise ValueError(f"of version {int.from_bytes(data[4:8], 'little')}; export glTF 2")
    scene = json.loads(data[20 : 20 + json_size])
    for extension in scene.get("extensionsRequired", []):
        if "compression" in extension:
            raise ValueError(f"compressed by {extension}; export it uncompressed")
    for buffer in scene.get("buffers", []):
        if not buffer.get("uri", "data:").startswith("data:"):
            raise ValueError(f"its data are in {buffer['uri']}; export one file with all data")
    if part := _unread(scene):
        raise ValueError(f"it has {part}, which are not read; export it without them")
    if scene.get("meshes") and not any(each.get("nodes") for each in scene.get("scenes", [])):
        raise ValueError("its meshes are in no scene; export a scene that places them")
    _check_sizes(scene, len(data) - 28 - json_size)
    # an accessor without a buffer is all zeros, so a small file can declare a huge one
    sizes = [COMPONENTS[each["type"]] * each["count"] for each in scene.get("accessors", [])]
    parts = [part for mesh in scene.get("meshes", []) for part in mesh["primitives"]]
    used = [index for part in parts for index in part["attributes"].values()]
    used += [part["indices"] for part in parts if "indices" in part]
    _check_numbers(sum(sizes) + sum(sizes[index] for index in used))
    return _with_trimesh(data)


def _check_sizes(scene: dict[str, Any], stored: int) -> None:
    """Refuse a scene whose views or accessors reach beyond the ``stored`` bytes or their view."""
    views, buffers = scene.get("bufferViews", []), scene.get("buffers", [])
    for index, view in enumerate(views):
        end = view.get("byteOffset", 0) + view["byteLength"]
        if "uri" not in buffers[view["buffer"]] and end > stored:
            raise ValueError(f"damaged: ends at byte {max(stored, 0)} of {end} of view {index}")
    for index, each in enumerate(scene.get("accessors", [])):
        if each["count"] < 0:
            raise ValueError(f"damaged: accessor {index} has {each['count']} elements")
        if "bufferView" not in each:
            continue
        view, size = views[each["bufferView"]], COMPONENTS[each["type"]] * _bytes_of(each)
        stride = view.get("byteStride", size)
        end = each.get("byteOffset", 0) + (each["count"] - 1) * stride + size
        if end > view["byteLength"]:
            raise ValueError(
                f"damaged: accessor {index} ends at byte {end} of {view['byteLength']} in its view"
            )


def _bytes_of(accessor: dict[str, Any]) -> int:
    """Bytes of a component: 5120 and 5121 are 8-bit integers, then 16 bits, then 32."""
    return {5120: 1, 5121: 1, 5122: 2, 5123: 2}.get(accessor["componentType"], 4)


def _unread(scene: dict[str, Any]) -> str | None:
    """Return a part of a glTF scene that trimesh silently ignores or misreads; None without one."""
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
    import trimesh  # a second, not needed for planning
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
    # placed by the scene's transformations
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


READERS: dict[str, Callable[[bytes], tuple[Array, Indices]]] = {
    ".ply": read_ply,
    ".obj": _read_obj,
    ".stl": _read_stl,
    ".off": _read_off,
    ".glb": _read_glb,
}
"""Functions, by suffix, from a file's bytes to vertices (V, 3) and faces (F, 3), counted from 0.
For damaged files they raise ValueError, or anything from IndexError to struct.error."""
