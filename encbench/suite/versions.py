"""Versions of the plug-ins of a cell that are neither its encoding nor its task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from encbench.errors import UsageError
from encbench.plugins.registry import Registry
from encbench.plugins.selector import parse_selector
from encbench.suite.config import NetworkConfig, PluginRef, TrainingConfig


def other_versions(
    encoding: PluginRef, network: NetworkConfig, training: TrainingConfig, registry: Registry
) -> dict[str, str]:
    """Versions, by distribution, of plug-ins that are not built in, without encoding and task.

    Encodings that the encoding's parameters name, such as a composite's parts, are among them.
    """
    chosen = [
        ("network", network.kind),
        ("activation", network.activation),
        ("optimizer", training.optimizer),
        ("schedule", training.schedule),
        *(("encoding", name) for name in _names(encoding.parameters)),
    ]
    found = {}
    for kind, text in chosen:
        if text in ("mlp", "auto"):
            continue
        with suppress(UsageError):
            name = parse_selector(text)[0]
            if not registry.offers_any(kind, name):
                continue  # for the error, similar names would be looked up
            offer = registry.find(kind, name)
            named = kind == "encoding" and offer.distribution == encoding.distribution
            if offer.distribution != "encbench" and not named:
                found[offer.distribution] = offer.plugin.version
    return found


def _names(value: Any) -> Iterator[str]:
    """Names in the selectors in a parameter's value, and in the parameters that these give."""
    if isinstance(value, str):
        with suppress(UsageError):
            # without the coordinates that a composite's part reads
            name, parameters = parse_selector(re.sub(r"@[\d\s,]*$", "", value))
            yield name
            yield from _names(parameters)
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _names(item)
