"""Pictures inside the page, each once, until the space for them is used up."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from encbench_leaderboard.report.blocks import Pictures, Tile

LIMIT = 25_000_000
"""Characters of all embedded pictures together."""
PNG = b"\x89PNG\r\n\x1a\n"


class Album:
    """The pictures of a page as data: URIs.

    Every block gets its first tiles before any gets its second ones, so that all tasks show
    their best entries where there is not room for everything.
    """

    def __init__(self, blocks: Sequence[Pictures], limit: int = LIMIT) -> None:
        self.uris: list[str] = []
        self._numbers: dict[bytes, int] = {}
        self._left = limit
        self._found: dict[Path, tuple[int, tuple[int, int]] | None] = {}
        for turn in zip_longest(*(block.tiles for block in blocks)):
            for tile in turn:
                if tile is not None and tile.file not in self._found:
                    self._found[tile.file] = self._embed(tile.file)

    def of(self, tile: Tile) -> tuple[int, tuple[int, int]] | None:
        """Number in ``uris`` and (width, height) [px]; None: damaged, or no room for it."""
        return self._found[tile.file]

    def _embed(self, file: Path) -> tuple[int, tuple[int, int]] | None:
        try:
            content = file.read_bytes()
        except OSError:
            return None
        if len(content) < 24 or not content.startswith(PNG):
            return None
        number = self._numbers.get(content)
        if number is None:
            uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
            if len(uri) > self._left:
                return None
            self._left -= len(uri)
            number = self._numbers[content] = len(self.uris)
            self.uris.append(uri)
        width, height = struct.unpack(">II", content[16:24])
        return number, (int(width), int(height))
