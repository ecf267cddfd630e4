"""Records of older versions of encbench, made readable; files on disk stay as they are.

Version 1: the first.
Version 2: workers that died, who ran the cell, and under which limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SCHEMA_VERSION", "upgrade"]

SCHEMA_VERSION = 2


def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record, as JSON gives it, in the words of this version.

    Args:
        data: of any version up to SCHEMA_VERSION; left as it is.

    Raises:
        ValueError: a version that never was, or parts of that version are missing.
    """
    version = data.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, expected 1 to {SCHEMA_VERSION}")
    upgraded = dict(data)
    for step in range(version, SCHEMA_VERSION):
        upgraded = _STEPS[step](upgraded) | {"schema_version": step + 1}
    return upgraded


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    provenance = data.get("provenance")
    if not isinstance(provenance, Mapping):
        raise ValueError("provenance is missing")
    # version 1 had a pool of processes, and did not say which cells it ran
    unknown = {
        "worker": None,
        "executor": "not recorded",
        "timeout_s": None,
        "memory_limit_bytes": None,
    }
    return data | {"lost_workers": [], "provenance": unknown | dict(provenance)}


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
"""From that version to the next."""
