"""Distributions that a run, or the plug-ins of this environment, depend on, as pip writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import encbench
from encbench.errors import StoreError
from encbench.plugins.registry import default_registry
from encbench.results import provenance

__all__ = ["installed", "recorded"]


def installed() -> list[str]:
    """NAME==VERSION of encbench, the distributions with plug-ins, and the numerical libraries."""
    versions = {
        plugin.distribution: {plugin.version: None} for plugin in default_registry().host.plugins
    }
    for name, version in {**provenance.distributions(), **provenance.libraries()}.items():
        versions[name] = {version: None}
    return _lines(versions)


def recorded(directory: Path) -> list[str]:
    """NAME==VERSION of what the records of a results folder name.

    Where they disagree, each version has its line, and all but the newest record's are comments:
    no environment can hold two.

    Raises:
        StoreError: there are no records.
    """
    records = [stored.record for stored in encbench.Store(directory).records()]
    if not records:
        raise StoreError(f"{directory} holds no records; `encbench run -o {directory}` makes some")
    versions: dict[str, dict[str, None]] = {}
    for record in sorted(records, key=lambda record: record.provenance.started, reverse=True):
        cell, source = record.cell, record.provenance
        used = {"encbench": source.encbench, **source.libraries}
        for name, version in (
            *used.items(),
            (cell.encoding.distribution, cell.encoding.version),
            (cell.task.distribution, cell.task.version),
        ):
            versions.setdefault(name, {})[version] = None
    return _lines(versions)


def _lines(versions: Mapping[str, Mapping[str, None]]) -> list[str]:
    lines = []
    for name in sorted(versions, key=str.lower):
        # no index has "2.13.0+cpu": "==2.13.0" takes it, and any other build of that version
        newest, *older = dict.fromkeys(version.partition("+")[0] for version in versions[name])
        lines.append(f"{name}=={newest}")
        lines += [f"# {name}=={version} in some records" for version in older]
    return lines
