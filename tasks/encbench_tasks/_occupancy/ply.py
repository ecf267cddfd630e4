"""Stanford PLY, ASCII and binary: faces of any number of corners, and triangle strips.

Turk, "The PLY Polygon File Format", 1994. (trimesh reads neither binary faces that differ in
their number of corners, nor strips, and does not say that a file was cut short.)
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from trimesh.geometry import triangulate_quads

from encbench_tasks._occupancy.triangles import Array, Indices

__all__ = ["read_ply"]

KINDS = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")

Values = np.ndarray[Any, Any]
Fields = tuple[tuple[str, int], ...]
"""Of a row: the type of the numbers that follow one another, and how many there are."""


def read_ply(data: bytes) -> tuple[Array, Indices]:
    """Vertices (V, 3) and triangles (F, 3) of a file's bytes; larger faces are split into fans.

    Raises:
        ValueError: the header or the body is damaged; of a body that was cut short, the message
            says where it ends and where it should.
    """
    order, elements, start = _header(data)
    body = _Body(data, start, order)
    vertices, faces = np.empty((0, 3)), [np.empty((0, 3), np.int64)]
    for number, element in enumerate(elements):
        columns = _columns(body, element, elements[number + 1 :])
        if not columns:
            continue
        if element.name == "vertex":
            vertices = np.hstack([np.asarray(columns[axis]) for axis in "xyz"]).astype(np.float64)
        elif element.name in ("face", "tristrips"):
            corners = next(columns[name] for name in (*CORNERS, *columns) if name in columns)
            if element.name == "face":
                faces.append(triangulate_quads(corners).reshape(-1, 3))
            else:
                faces += [_strip_triangles(np.asarray(strip, np.int64)) for strip in corners]
    return vertices, np.concatenate(faces)


@dataclass
class _Property:
    name: str
    kind: str
    length_kind: str | None = None
    """Of a list: the type of its length."""


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    def fields(self, lengths: Sequence[int] | None = None) -> Fields:
        """What a row consists of, its properties being as long as given; lists empty if not."""
        fields: list[tuple[str, int]] = []
        for index, p in enumerate(self.properties):
            if p.length_kind:
                fields.append((p.length_kind, 1))
            fields.append((p.kind, lengths[index] if lengths else int(not p.length_kind)))
        return tuple(fields)


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
                elements[-1].properties.append(_Property(name, KINDS[kind], KINDS[length]))
            case ["property", kind, name]:
                elements[-1].properties.append(_Property(name, KINDS[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"the header has the line {line[:60]!r}")
    if order is None or any(e.count < 0 or not e.properties for e in elements):
        raise ValueError("the header has no format, or an element without properties")
    return order, elements, end.end()


class _CutShort(Exception):
    """The body ends before the numbers that were asked for."""


class _Body:
    """The numbers of a file, read from front to back; those of an ASCII file all as float64."""

    def __init__(self, data: bytes, start: int, order: str) -> None:
        self.data, self.position, self._order, self._file_bytes = data, start, order, len(data)
        if not order:
            with warnings.catch_warnings():
                # of a word that is not a number
                warnings.simplefilter("error", DeprecationWarning)
                self.data = np.fromstring(data[start:], np.float64, sep=" ").tobytes()
            self.position = 0
        self.end = len(self.data)

    def row(self, fields: Fields) -> np.dtype[Any]:
        return _row_type(self._order, fields)

    def take(self, fields: Fields, rows: int) -> list[Values]:
        """The values (rows, n) of each field of the next rows."""
        row = self.row(fields)
        stop = self.position + rows * row.itemsize
        if stop > self.end:
            raise _CutShort
        block = np.frombuffer(self.data, row, rows, self.position)
        self.position = stop
        return [block[str(i)].astype(kind, copy=False) for i, (kind, _) in enumerate(fields)]

    def ends(self, whole: int) -> str:
        """Says where the file ends, and that the numbers should end at position ``whole``."""
        if self._order:
            return f"ends at byte {self.end} of {whole}"
        return f"ends at byte {self._file_bytes}, after {self.end // 8} of {whole // 8} numbers"


@lru_cache(maxsize=64)
def _row_type(order: str, fields: Fields) -> np.dtype[Any]:
    kinds = [order + kind if order else "f8" for kind, _ in fields]
    return np.dtype([(str(i), kinds[i], (n,)) for i, (_, n) in enumerate(fields)])


def _columns(
    body: _Body, element: _Element, following: list[_Element]
) -> dict[str, Values | Sequence[Values]]:
    """The values of each property by its name: (count, n), or one array a row if lengths differ.

    Raises:
        ValueError: the file ends within the element.
    """
    if not element.count:
        return {}
    start, fields, rows = body.position, element.fields(), list[list[Values]]()
    try:
        first = _row(body, element)
        fields = element.fields([len(values) for values in first])
        body.position = start
        if table := _table(body, element, fields):
            return table
        body.position = start
        for _ in range(element.count):
            start = body.position
            rows.append(_row(body, element))
    except _CutShort:
        whole = start + (element.count - len(rows)) * body.row(fields).itemsize
        whole += sum(each.count * body.row(each.fields()).itemsize for each in following)
        raise ValueError(f"damaged: {body.ends(whole)}") from None
    return dict(zip([p.name for p in element.properties], zip(*rows, strict=True), strict=True))


def _row(body: _Body, element: _Element) -> list[Values]:
    """The values (n,) of each property of the next row."""
    values = []
    for p in element.properties:
        n = int(body.take(((p.length_kind, 1),), 1)[0][0, 0]) if p.length_kind else 1
        if n < 0:
            raise ValueError(f"a list of {n} numbers")
        if n > body.end:
            raise _CutShort
        values.append(body.take(((p.kind, n),), 1)[0][0])
    return values


def _table(
    body: _Body, element: _Element, fields: Fields
) -> dict[str, Values | Sequence[Values]] | None:
    """The values (count, n) of each property; None if lists differ in length from row to row."""
    rows = min(element.count, (body.end - body.position) // body.row(fields).itemsize)
    parts = iter(body.take(fields, rows))
    columns: dict[str, Values | Sequence[Values]] = {}
    for p in element.properties:
        lengths = next(parts) if p.length_kind else None
        values = next(parts)
        columns[p.name] = values
        if lengths is not None and (lengths != values.shape[1]).any():
            return None
    if rows < element.count:
        raise _CutShort
    return columns


def _strip_triangles(strip: Indices) -> Indices:
    """Triangles (F, 3) of strips of vertices, each ended by -1; every second one is turned."""
    faces = [np.empty((0, 3), np.int64)]
    for run in np.split(strip, np.flatnonzero(strip < 0)):
        corners = run[run >= 0]
        triangles = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
        triangles[1::2] = triangles[1::2][:, [1, 0, 2]]
        faces.append(triangles)
    return np.concatenate(faces)
