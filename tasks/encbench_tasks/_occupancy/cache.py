"""Ground truth kept on disk between runs: bounded, and safe for parallel ones."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pooch

from encbench_tasks._occupancy.solid import Flags

__all__ = ["LIMIT_BYTES", "LabelCache", "cache_folder"]

logger = logging.getLogger("encbench")
LIMIT_BYTES = 256 << 20
"""Over this, the labels that were not used for longest are deleted."""
BLOCK = 4096
"""What a small file takes on disk."""
SWEEP_EVERY = 64
DIGEST = 16


def cache_folder() -> Path:
    """Where encbench keeps what can be made again: ``$ENCBENCH_CACHE``, or the user's cache."""
    given = os.environ.get("ENCBENCH_CACHE")
    return Path(given).expanduser() if given else Path(pooch.os_cache("encbench"))


class LabelCache:
    """Labels of point sets by key: files of bits, each with a checksum.

    A file appears by one rename, so that readers in other processes see all of it or none;
    two that write the same key write the same bytes. A damaged file counts as absent. A disk
    that is full or read-only only costs time: labels are computed again.
    """

    def __init__(self, folder: Path, limit: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit = limit
        self._writes = 0

    def get(self, key: str, count: int) -> Flags | None:
        """The ``count`` labels stored under a key, or None."""
        file = self._file(key)
        try:
            data = file.read_bytes()
        except OSError:
            return None
        bits = data[DIGEST:]
        if len(bits) != -(-count // 8) or _digest(key, bits) != data[:DIGEST]:
            return None
        try:
            os.utime(file)
        except OSError as error:
            logger.debug("%s: %s", file, error)
        flags: Flags = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(np.bool_)
        return flags

    def put(self, key: str, labels: Flags) -> None:
        """Store labels (N,); deletes old ones every now and then."""
        bits = np.packbits(labels).tobytes()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".new", delete=False) as file:
                file.write(_digest(key, bits) + bits)
            Path(file.name).replace(self._file(key))
        except OSError as error:
            logger.debug("ground truth is not cached in %s: %s", self.folder, error)
            return
        if self._writes % SWEEP_EVERY == 0:
            self.sweep()
        self._writes += 1

    def sweep(self) -> None:
        """Delete what was not used for longest, until nine tenths of the limit are kept."""
        found = []
        for file in self.folder.glob("*"):
            try:
                status = file.stat()
            except OSError:
                continue  # another process was quicker
            found.append((status.st_mtime, max(status.st_size, BLOCK), file))
        total = sum(size for _, size, _ in found)
        if total <= self.limit:
            return
        for _, size, file in sorted(found):
            if total <= 0.9 * self.limit:
                return
            file.unlink(missing_ok=True)
            total -= size

    def _file(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.bits"


def _digest(key: str, bits: bytes) -> bytes:
    # the key too: a file under another's name is not taken for it
    return hashlib.sha256(key.encode() + b"\0" + bits).digest()[:DIGEST]
