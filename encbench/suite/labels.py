"""Names of cells and their settings for readers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from encbench.errors import EncbenchError
from encbench.plugins.registry import default_registry
from encbench.suite.config import PLUGGED, CellConfig, PluginRef, differing, dotted, settings_of

Key = TypeVar("Key", bound=Hashable)
ENCODING = "plug-in.encoding"


def cell_names(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """The name of each cell by key: its label, with the settings that distinguish it from others
    with that label: "image × ffe · lr_factor=2.0 seed 1"."""
    return {key: cells[key].described(settings) for key, settings in told_apart(cells).items()}


def told_apart(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """The plug-ins and settings, by key, that distinguish each cell from others with its label,
    such as " · lr_factor=2.0" or " (mpe)"; "" if there are none."""
    alike: dict[str, list[str]] = defaultdict(list)
    for key, cell in cells.items():
        alike[cell.label].append(key)
    names = dict.fromkeys(cells, "")
    for group in (group for group in alike.values() if len(group) > 1):
        plugins = {key: _plugins(cells[key]) for key in group}
        named = differing(plugins.values())
        parts: dict[str, list[str]] = defaultdict(list)
        for key, plugin in plugins.items():
            parts[_plugins_text(plugin, named)].append(key)
        for text, part in parts.items():
            settings = [_choices(cells[key]) for key in part]
            differ = differing(settings)
            for key, chosen in zip(part, settings, strict=True):
                differences = settings_text(chosen, differ)
                separator = ", " if " · " in text else " · "
                names[key] = f"{text}{separator}{differences}" if differences else text
    return names


def label(ref: PluginRef) -> str:
    """The user's own label if there is one, else the name with every parameter."""
    if ref.label:
        return ref.label
    given = [f"{key}={value}" for key, value in ref.parameters.items() if value is not None]
    return f"{ref.name}({', '.join(given)})" if given else ref.name


def unique_labels(refs: Mapping[str, PluginRef]) -> dict[str, str]:
    """A label for each identity; equal labels get the plug-ins' names, or the parameters in which
    they differ."""
    same: dict[str, dict[str, PluginRef]] = defaultdict(dict)
    for key, ref in refs.items():
        same[label(ref)][key] = ref
    found: dict[str, str] = {}
    for text, alike in same.items():
        found |= labels_with_differences(text, alike)
    return numbered({key: found[key] for key in refs})


def labels_with_differences(text: str, refs: Mapping[str, PluginRef]) -> dict[str, str]:
    """The label of plug-ins that have the same one, each with what distinguishes it from others."""
    differences = _distinguished(refs)
    return {key: f"{text} ({what})" if what else text for key, what in differences.items()}


def numbered(names: Mapping[Key, str]) -> dict[Key, str]:
    """The names, those that are equal with a number: a label can be any text."""
    taken: set[str] = set()
    found: dict[Key, str] = {}
    for key, name in names.items():
        number, unique = 1, name
        while unique in taken:
            number += 1
            unique = f"{name} #{number}"
        taken.add(unique)
        found[key] = unique
    return found


def _distinguished(refs: Mapping[str, PluginRef]) -> dict[str, str]:
    """What distinguishes plug-ins that have one label, by key: their names if these differ; and
    between those of one name the parameters, distribution and version that differ."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for key, ref in refs.items():
        by_name[ref.name].append(key)
    found: dict[str, str] = {}
    for name, keys in by_name.items():
        facts = {
            key: flatten(refs[key].parameters)
            | {"distribution": refs[key].distribution, "version": refs[key].version}
            for key in keys
        }
        differ = differing(facts.values())
        for key in keys:
            words = [name] if len(by_name) > 1 else []
            words += [f"{k}={facts[key][k]}" for k in differ if k in facts[key]]
            found[key] = ", ".join(words)
    return found


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, with keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def settings_text(settings: Mapping[str, Any], keys: Iterable[str]) -> str:
    """The given settings that are set, as shown in labels: "activation=sine, lr=0.1"."""
    # a setting that a cell leaves unset is left out: the other cells set it
    named = [key for key in keys if key in settings]
    return ", ".join(f"{key.split('.', 1)[1]}={shortened(key, settings[key])}" for key in named)


def shortened(setting: str, value: Any) -> str:
    """A setting's value as shown in labels: for an installed plug-in, without the parameters that
    have their default values, and without its distribution if the name is unique."""
    kind = PLUGGED.get(setting)
    return _shortest(kind, value) if kind and ":" in str(value) else str(value)


@lru_cache(maxsize=1024)
def _shortest(kind: str, text: str) -> str:
    registry, short = default_registry(), text
    with suppress(EncbenchError):
        offer, _, short = registry.choose(kind, text)
        if registry.find(kind, offer.name) is offer:
            short = short.removeprefix(f"{offer.distribution}:")
    return short


def _plugins(cell: CellConfig) -> dict[str, str]:
    encoding, task = cell.encoding, cell.task
    return {
        ENCODING: encoding.name,
        "plug-in.task": task.name,
        "encoding.distribution": encoding.distribution,
        "task.distribution": task.distribution,
    }


def _plugins_text(plugins: Mapping[str, str], named: Sequence[str]) -> str:
    # beside the encoding's label, its name needs no key
    name = f" ({plugins[ENCODING]})" if ENCODING in named else ""
    others = settings_text(plugins, [key for key in named if key != ENCODING])
    return f"{name} · {others}" if others else name


def _choices(cell: CellConfig) -> dict[str, Any]:
    parameters = {"encoding": cell.encoding.parameters, "task": cell.task.parameters}
    return {**dotted(parameters), **settings_of(cell.network, cell.training, cell.ntk)}
