"""Versions of the plug-ins of a cell that are neither its encoding nor its task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from encbench.errors import PluginError, UsageError
from encbench.plugins.registry import Registry
from encbench.plugins.selector import parse_selector
from encbench.suite.config import NetworkConfig, PluginRef, TrainingConfig


def other_versions(
    encoding: PluginRef, network: NetworkConfig, training: TrainingConfig, registry: Registry
) -> dict[str, str]:
    """Versions, by distribution, of plug-ins that are not built in, without encoding and task.

    Encodings that the encoding's ``encoding_parameters`` name are among them.
    """
    parts = _parts(encoding.qualified, encoding.parameters, registry)
    chosen = [
        ("network", network.kind),
        ("activation", network.activation),
        ("optimizer", training.optimizer),
        ("schedule", training.schedule),
        *(("encoding", name) for name in parts),
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


def _parts(name: str, parameters: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """Names of the encodings that an encoding's parameters name, and that these name in turn."""
    if not registry.offers_any("encoding", name):
        return
    with suppress(PluginError, UsageError):  # building the encoding reports them
        for key in registry.find("encoding", name).load().encoding_parameters:
            for text in _texts(parameters.get(key)):
                with suppress(UsageError):
                    # without the coordinates that a composite's part reads
                    part, given = parse_selector(re.sub(r"@[\d\s,]*$", "", text))
                    yield part
                    yield from _parts(part, given, registry)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a parameter's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
