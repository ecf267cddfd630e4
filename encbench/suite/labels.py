"""Names of cells and their settings for readers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from encbench.errors import EncbenchError
from encbench.plugins.registry import default_registry
from encbench.suite.config import PLUGGED, CellConfig, PluginRef, differing, dotted, settings_of


def cell_names(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """The name of each cell by key: its label, with the settings that distinguish it from others
    with that label: "image × ffe · lr_factor=2.0 seed 1"."""
    return {key: cells[key].described(settings) for key, settings in told_apart(cells).items()}


def told_apart(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """The plug-ins and settings, by key, that distinguish each cell from others with its label,
    such as " · lr_factor=2.0" or " · encoding=mpe"; "" if there are none."""
    alike: dict[str, list[str]] = defaultdict(list)
    for key, cell in cells.items():
        alike[cell.label].append(key)
    names = dict.fromkeys(cells, "")
    for group in (group for group in alike.values() if len(group) > 1):
        plugins = {key: _plugins(cells[key]) for key in group}
        named = differing(plugins.values())
        parts: dict[str, list[str]] = defaultdict(list)
        for key, plugin in plugins.items():
            parts[settings_text(plugin, named)].append(key)
        for text, part in parts.items():
            settings = [_choices(cells[key]) for key in part]
            differ = differing(settings)
            for key, chosen in zip(part, settings, strict=True):
                words = ", ".join(filter(None, [text, settings_text(chosen, differ)]))
                if words:
                    names[key] = f" · {words}"
    return names


def distinguished(refs: Mapping[str, PluginRef]) -> dict[str, str]:
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
    have their default values."""
    kind = PLUGGED.get(setting)
    return _shortest(kind, value) if kind and ":" in str(value) else str(value)


@lru_cache(maxsize=1024)
def _shortest(kind: str, text: str) -> str:
    try:
        return default_registry().choose(kind, text)[2]
    except EncbenchError:
        return text


def _plugins(cell: CellConfig) -> dict[str, str]:
    refs = {"encoding": cell.encoding, "task": cell.task}
    names = {f"plug-in.{kind}": ref.name for kind, ref in refs.items()}
    return names | {f"{kind}.distribution": ref.distribution for kind, ref in refs.items()}


def _choices(cell: CellConfig) -> dict[str, Any]:
    parameters = {"encoding": cell.encoding.parameters, "task": cell.task.parameters}
    return {**dotted(parameters), **settings_of(cell.network, cell.training, cell.ntk)}
