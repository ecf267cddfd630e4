"""What encodings, tasks and differing settings are called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from encbench.suite.config import PluginRef


def canonical(value: Any) -> str:
    """Text that is equal for equal plain data, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def label(ref: PluginRef) -> str:
    """The user's own text where there is one, else the name with every parameter."""
    if ref.label:
        return ref.label
    given = {key: value for key, value in ref.parameters.items() if value is not None}
    if not given:
        return ref.name
    return f"{ref.name}({', '.join(f'{key}={value}' for key, value in given.items())})"


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keys, in order of appearance, whose values are not the same in all the mappings."""
    rows = list(settings)
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if len({canonical(row.get(key)) for row in rows}) > 1]


def unique_labels(refs: Mapping[str, PluginRef]) -> dict[str, str]:
    """A label for each identity, with parameters that differ where two would read the same.

    Args:
        refs: identity (any key) to plug-in reference.
    """
    labels = {key: label(ref) for key, ref in refs.items()}
    for text in {text for text in labels.values() if list(labels.values()).count(text) > 1}:
        same = [key for key, other in labels.items() if other == text]
        facts = {
            key: {
                **flatten(refs[key].parameters),
                "distribution": refs[key].distribution,
                "version": refs[key].version,
            }
            for key in same
        }
        keys = differing(facts.values())
        for key in same:
            named = ", ".join(f"{k}={facts[key][k]}" for k in keys if k in facts[key])
            labels[key] = f"{text} ({named})" if named else text
    return labels
