"""Pictures of records inside the page, as many as fit, those of the best entries first."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.render.html.lines import turns

__all__ = ["LIMIT", "Album", "collect"]

LIMIT = 25_000_000
"""Characters of all embedded pictures together."""
PNG = b"\x89PNG\r\n\x1a\n"
COMMON = "target"
"""The picture that all records of a task share."""
FIRST = ("prediction", "error")


@dataclass
class Album:
    """Pictures of a page, and how many had no room or could not be read."""

    data: list[str] = field(default_factory=list)
    """data: URIs, each picture once however many records show it."""
    shown: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """Task to its pictures: name, entry (None: the target), number in ``data``, size [px]."""
    left_out: dict[int, int] = field(default_factory=dict)
    """Task to the number of entries whose pictures are not all here."""


def collect(
    ranked: Mapping[int, Sequence[str]],
    records_of: Callable[[int, str], Sequence[StoredRecord]],
    limit: int = LIMIT,
) -> Album:
    """Pictures of the first seed that has any, of every entry, until ``limit`` is reached.

    Args:
        ranked: task to its entries, best first.
        records_of: the records of an entry of a task, by seed.
        limit: characters of all pictures together.
    """
    album = Album()
    known: dict[bytes, int] = {}
    sizes: set[int] = set()
    spent = 0
    for task, entry in turns(ranked):
        pictured = next((r for r in records_of(task, entry) if _names(r)), None)
        if pictured is None:
            continue
        whole = True
        for name in _names(pictured):
            # Not even read where it has no room and cannot be one that is here already.
            expected = pictured.files[f"{name}.png"].size
            if spent + expected * 4 // 3 > limit and expected not in sizes:
                whole = False
                continue
            found = _read(pictured.path / f"{name}.png")
            if found is None:
                whole = False
                continue
            content, size = found
            number = known.get(content)
            if number is None:
                uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
                if spent + len(uri) > limit:
                    whole = False
                    continue
                spent += len(uri)
                sizes.add(len(content))
                number = known[content] = len(album.data)
                album.data.append(uri)
            shown = album.shown.setdefault(task, [])
            common = name == COMMON
            if common and any(p["name"] == COMMON and p["picture"] == number for p in shown):
                continue
            owner = None if common else entry
            shown.append({"name": name, "entry": owner, "picture": number, "size": size})
        if not whole:
            album.left_out[task] = album.left_out.get(task, 0) + 1
    return album


def _names(stored: StoredRecord) -> list[str]:
    """Names of a record's pictures: the target, what the network made, its error, others."""
    names = [name.removesuffix(".png") for name in stored.files if name.endswith(".png")]
    first = [name for name in (COMMON, *FIRST) if name in names]
    return [*first, *sorted(set(names) - set(first))]


def _read(file: Path) -> tuple[bytes, tuple[int, int]] | None:
    """Bytes and (width, height) [px] of a PNG, None where it is none."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if len(content) < 24 or not content.startswith(PNG):
        return None
    width, height = struct.unpack(">II", content[16:24])
    return content, (int(width), int(height))
