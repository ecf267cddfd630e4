"""A hash in each PNG, by which a picture is known to show what it would show if drawn again."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from encbench.results import palette
from encbench.results.palette import Look
from encbench_leaderboard.report.blocks import Figure, Pictures, PictureTable

DRAWN_BY = ("contact_sheet", "heat", "panels", "picture_grid", "picture_table", "style")
KEY = b"encbench\0"
END = 12
"""Bytes of the chunk that ends a PNG."""
CHUNK = 12 + len(KEY) + 64


def shown_by(block: Figure | Pictures | PictureTable, looks: Mapping[str, Look]) -> bytes:
    """All that a picture depends on: data, looks, pictures of records, and the drawing code."""
    code = [version("encbench"), version("matplotlib")]
    files = [Path(palette.__file__), *(Path(__file__).with_name(f"{name}.py") for name in DRAWN_BY)]
    code += [_hash(file.read_bytes()) for file in files]
    if isinstance(block, Figure):
        panels = [asdict(panel) for panel in block.panels]
        named = {entry: [text, looks[entry]] for entry, text in block.legend.items()}
        return _json([code, panels, named, block.styles])
    if isinstance(block, PictureTable):
        rows = [
            [
                entry,
                [
                    one
                    and [
                        _json([one.text, one.line, one.standing]).decode(),
                        one.file and _hash(one.file.read_bytes()),
                    ]
                    for one in row
                ],
            ]
            for entry, row in block.rows
        ]
        return _json([code, block.columns, rows])
    drawn = {"prediction"} if block.differences else {"prediction", "error"}
    tiles = [tile for tile in block.tiles if tile.entry is None or tile.name in drawn]
    return _json([code, [[t.entry, t.caption, _hash(t.file.read_bytes())] for t in tiles]])


def stamped(png: bytes, shown: bytes) -> bytes:
    """A PNG with the hash of its bytes and of what it shows, in a text chunk before its end."""
    chunk = b"tEXt" + KEY + _hash(shown + png).encode()
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return png[:-END] + length + chunk + check + png[-END:]


def is_current(file: Path, shown: bytes) -> bool:
    """Whether a file is the stamped picture of that, not edited, cut or drawn otherwise."""
    if not file.is_file():
        return False
    png = file.read_bytes()
    return png == stamped(png[: -END - CHUNK] + png[-END:], shown)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, default=lambda array: array.tolist()).encode()
