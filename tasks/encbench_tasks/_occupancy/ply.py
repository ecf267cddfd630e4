"""Stanford's PLY, text or binary, and parsing of the numbers in a text file."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from encbench_tasks._occupancy.triangles import Array, Indices, triangulated

MOST_HEADER = 1 << 20
"""Maximum length of a header [bytes]."""
PLY_KINDS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "int64": "i8", "uint64": "u8"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
PLY_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
PLY_CORNERS = ("vertex_indices", "vertex_index")


def read_ply(data: bytes) -> tuple[Array, Indices]:
    """Read PLY, ASCII or binary: faces of any number of corners, and triangle strips.

    Turk, "The PLY Polygon File Format", 1994. (trimesh reads neither binary faces that differ in
    their number of corners, nor strips, and does not say that a file was cut short.)
    """
    order, elements, position = _ply_header(data)
    body = data
    if not order:
        body, position = numbers_in(data[position:]).tobytes(), 0
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


def numbers_in(text: bytes) -> Array:
    """Parse all numbers (n,) of a text; a ValueError names the first word that is not a number."""
    try:
        with warnings.catch_warnings():
            # numpy's warning about a word that is not a number
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
    """Name and type of each; and the type of its length, "" unless it is a list."""


def _ply_header(data: bytes) -> tuple[str, list[_PlyElement], int]:
    """Byte order ("" for ASCII), elements, and where the body starts."""
    end = re.search(rb"[\r\n]end_header[ \t]*(\r\n|\n|\r)", data[:MOST_HEADER])
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
    array per row. If the body ends too early, raises EOFError with the position that is needed, and
    " or more" if the lengths of rows may differ.
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
    """Triangles (F, 3) of vertex strips, each ended by -1; every second triangle is reversed."""
    faces = [np.empty((0, 3), np.int64)]
    for run in np.split(strip, np.flatnonzero(strip < 0)):
        corners = run[run >= 0]
        triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
        triangles[1::2] = triangles[1::2][:, [1, 0, 2]]
        faces.append(triangles)
    return np.concatenate(faces)
