"""Labels of points: from the cache on disk, or from the ground truth."""

from __future__ import annotations

import hashlib

import numpy as np

from encbench_tasks._occupancy.cache import LabelCache, cache_folder
from encbench_tasks._occupancy.solid import Array, Flags, Solid

__all__ = ["Labels"]

VERSION = 1
"""Of everything between a file's bytes and a label: scaling, orientation, truth."""


class Labels:
    """Whether points are inside a solid, each set of points computed once.

    Cells of one suite see the same points, so only the first one pays.
    """

    def __init__(self, solid: Solid, identity: str) -> None:
        self._solid = solid
        self._identity = f"{VERSION} {identity}"
        self._cache = LabelCache(cache_folder() / "labels")

    def __call__(self, x: Array) -> Flags:  # (N, 3) -> (N,)
        # by the points themselves: a seed gives others under another version of numpy
        points = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
        key = f"{self._identity} {points}"
        labels = self._cache.get(key, len(x))
        if labels is None:
            labels = self._solid.occupied(x)
            self._cache.put(key, labels)
        return labels
