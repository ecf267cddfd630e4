"""Stanford PLY, ASCII and binary: faces of any number of corners, and triangle strips.

Turk, "The PLY Polygon File Format", 1994. (trimesh reads neither binary faces that differ in
their number of corners, nor strips, and does not say that a file was cut short.)
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from trimesh.geometry import triangulate_quads

from encbench_tasks._occupancy.triangles import Array, Indices

KINDS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")
LENGTH = "length of "

Rows = np.ndarray[Any, Any]
"""(n,) structured: a field (1,) or (length,) for each property, and LENGTH + the name of a list."""
Properties = tuple[tuple[str, str, str], ...]
"""Name and type of each; and the type of its length, empty for what is no list."""


def read_ply(data: bytes) -> tuple[Array, Indices]:
    """Vertices (V, 3) and triangles (F, 3) of a file's bytes; larger faces are split into fans.

    Raises:
        ValueError: the header or the body is damaged; of a body that was cut short, the message
            says where it ends and where it should.
    """
    order, elements, position = _header(data)
    body = data
    if not order:
        body, position = _numbers(data[position:]), 0
    vertices, faces = np.empty((0, 3)), [np.empty((0, 3), np.int64)]
    for number, element in enumerate(elements):
        runs, position, missing = _runs(body, position, order, element)
        if missing:
            whole = position + missing
            for each in elements[number + 1 :]:
                whole += each.count * _row_type(order, each.properties).itemsize
            ends = f"{len(data)} of {whole}"
            if not order:
                ends = f"{len(data)}, after {len(body) // 8} of {whole // 8} numbers"
            raise ValueError(f"damaged: ends at byte {ends}")
        if not runs:
            continue
        kinds = {name: kind for name, kind, _ in element.properties}
        if element.name == "vertex":
            columns = [
                np.concatenate([r[axis].astype(kinds[axis]) for r in runs]) for axis in "xyz"
            ]
            vertices = np.hstack(columns).astype(np.float64)
        elif element.name in ("face", "tristrips"):
            name = next(name for name in (*CORNERS, *kinds) if name in kinds)
            corners = [run[name].astype(kinds[name]) for run in runs]
            rows = corners[0] if len(corners) == 1 else [row for run in corners for row in run]
            if element.name == "face":
                faces.append(triangulate_quads(rows).reshape(-1, 3))
            else:
                faces += [_strip_triangles(np.asarray(strip, np.int64)) for strip in rows]
    return vertices, np.concatenate(faces)


@dataclass
class _Element:
    name: str
    count: int
    properties: Properties = ()


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for ASCII), elements, and where the body starts."""
    end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)", data[: 1 << 20])
    if not data.startswith(b"ply") or end is None:
        raise ValueError("the header does not begin with ply and end with end_header")
    order, elements = None, list[_Element]()
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", name, *_]:
                order = ORDERS[name]
            case ["element", name, count]:
                elements.append(_Element(name, int(count)))
            case ["property", "list", length, kind, name]:
                elements[-1].properties += ((name, KINDS[kind], KINDS[length]),)
            case ["property", kind, name]:
                elements[-1].properties += ((name, KINDS[kind], ""),)
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"the header has the line {line[:60]!r}")
    if order is None or any(e.count < 0 or not e.properties for e in elements):
        raise ValueError("the header has no format, or an element without properties")
    return order, elements, end.end()


def _numbers(text: bytes) -> bytes:
    """The numbers of an ASCII body, all as float64."""
    with warnings.catch_warnings():
        # of a word that is not a number
        warnings.simplefilter("error", DeprecationWarning)
        return np.fromstring(text, np.float64, sep=" ").tobytes()


@lru_cache(maxsize=256)
def _row_type(order: str, properties: Properties, lengths: tuple[int, ...] = ()) -> np.dtype[Any]:
    """Of rows whose lists have these lengths, in order; lists beyond them are taken for empty."""
    fields, following = list[tuple[str, str, tuple[int, ...]]](), iter(lengths)
    for name, kind, length_kind in properties:
        if length_kind:
            fields.append((LENGTH + name, order + length_kind if order else "f8", ()))
        count = next(following, 0) if length_kind else 1
        fields.append((name, order + kind if order else "f8", (count,)))
    return np.dtype(fields)


def _runs(body: bytes, position: int, order: str, element: _Element) -> tuple[list[Rows], int, int]:
    """Runs of rows whose lists are equally long, where they end, and how many bytes are missing."""
    runs, left, ahead = list[Rows](), element.count, element.count
    lists = [name for name, _, length_kind in element.properties if length_kind]
    row = _row_type(order, element.properties)
    while left and (lengths := _lengths(body, position, order, element.properties)) is not None:
        row = _row_type(order, element.properties, lengths)
        rows = min(left, ahead, (len(body) - position) // row.itemsize)
        if not rows:
            break
        run = np.frombuffer(body, row, rows, position)
        alike = np.ones(rows, np.bool_)
        for name, length in zip(lists, lengths, strict=True):
            alike[1:] &= run[LENGTH + name][1:] == length
        if not alike.all():
            rows = int(alike.argmin())
        # no further than is worth comparing: every row may differ from the last
        ahead = 2 * rows
        runs.append(run[:rows])
        position += rows * row.itemsize
        left -= rows
    return runs, position, left * row.itemsize


def _lengths(
    body: bytes, position: int, order: str, properties: Properties
) -> tuple[int, ...] | None:
    """Of the lists of the row at that position; None if the body ends within it."""
    lengths: tuple[int, ...] = ()
    for index, (name, _, length_kind) in enumerate(properties):
        if length_kind:
            start = _row_type(order, properties[: index + 1], lengths)
            if position + start.itemsize > len(body):
                return None
            n = int(np.frombuffer(body, start, 1, position)[LENGTH + name][0])
            if n < 0:
                raise ValueError(f"a list of {n} numbers")
            if n > len(body):
                return None
            lengths += (n,)
    return lengths


def _strip_triangles(strip: Indices) -> Indices:
    """Triangles (F, 3) of strips of vertices, each ended by -1; every second one is turned."""
    faces = [np.empty((0, 3), np.int64)]
    for run in np.split(strip, np.flatnonzero(strip < 0)):
        corners = run[run >= 0]
        triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
        triangles[1::2] = triangles[1::2][:, [1, 0, 2]]
        faces.append(triangles)
    return np.concatenate(faces)
