"""Cache on disk, of fetched scans and of results of functions of a mesh."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import pooch
from joblib import Memory

logger = logging.getLogger("encbench")
P = ParamSpec("P")
T = TypeVar("T")
MOST_BYTES = 256 << 20
MOST_SETS = 4096
"""Limits of the results on disk; beyond either, the least recently used are removed."""


def cache_folder() -> Path:
    """Return encbench's cache folder: ``$ENCBENCH_CACHE``, or one in the user's cache."""
    given = os.environ.get("ENCBENCH_CACHE")
    return Path(given).expanduser() if given else Path(pooch.os_cache("encbench"))


def kept_on_disk(function: Callable[P, T], ignore: Sequence[str] = ()) -> Callable[P, T]:
    """Return the function with results cached by its arguments, except those named in ``ignore``.

    joblib keeps the results, which any number of processes may share; the result of a damaged file
    is computed again, and a folder that cannot be written only costs time.
    """
    try:
        memory = Memory(cache_folder() / "labels", verbose=0)
        memory.reduce_size(bytes_limit=MOST_BYTES, items_limit=MOST_SETS)
        cached: Callable[P, T] = memory.cache(function, ignore=list(ignore))
    except OSError as error:
        logger.debug("results are not kept on disk: %s", error)
        return function
    return cached
