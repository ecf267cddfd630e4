"""What is kept on disk because it can be made again: scans, and results of functions of a mesh."""

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
"""Results kept on disk; beyond either limit, those that were not used for longest go."""


def cache_folder() -> Path:
    """Where encbench keeps what can be made again: ``$ENCBENCH_CACHE``, or the user's cache."""
    given = os.environ.get("ENCBENCH_CACHE")
    return Path(given).expanduser() if given else Path(pooch.os_cache("encbench"))


def kept_on_disk(function: Callable[P, T], ignore: Sequence[str] = ()) -> Callable[P, T]:
    """The function, computed once for equal arguments, those named in ``ignore`` left aside.

    The results are kept by joblib, which any number of processes may share; a damaged file is
    computed again, and a folder that cannot be written only costs time.
    """
    try:
        memory = Memory(cache_folder() / "labels", verbose=0)
        memory.reduce_size(bytes_limit=MOST_BYTES, items_limit=MOST_SETS)
        cached: Callable[P, T] = memory.cache(function, ignore=list(ignore))
    except OSError as error:
        logger.debug("results are not kept on disk: %s", error)
        return function
    return cached
