"""What cells and their settings are called where people read of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from encbench.errors import EncbenchError
from encbench.plugins.registry import default_registry
from encbench.suite.config import PLUGGED, CellConfig, differing, dotted, settings_of


def cell_names(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """What to call each of the cells by key: its label, and what tells it from others of that
    label: "image × ffe · lr_factor=2.0 seed 1"."""
    return {key: cells[key].described(settings) for key, settings in told_apart(cells).items()}


def told_apart(cells: Mapping[str, CellConfig]) -> dict[str, str]:
    """What tells each of the cells by key from others of its label: " · lr_factor=2.0", "" if
    nothing."""
    alike: dict[str, list[str]] = defaultdict(list)
    for key, cell in cells.items():
        alike[cell.label].append(key)
    names = dict.fromkeys(cells, "")
    for group in (group for group in alike.values() if len(group) > 1):
        settings = [_choices(cells[key]) for key in group]
        differ = differing(settings)
        for key, chosen in zip(group, settings, strict=True):
            if named := settings_text(chosen, differ):
                names[key] = f" · {named}"
    return names


def settings_text(settings: Mapping[str, Any], keys: Iterable[str]) -> str:
    """ "activation=sine, lr=0.1": those of the keys that are set, as labels have them."""
    # a setting that a cell leaves unset is left out: the other cells set it
    named = [key for key in keys if key in settings]
    return ", ".join(f"{key.split('.', 1)[1]}={shortened(key, settings[key])}" for key in named)


def shortened(setting: str, value: Any) -> str:
    """A setting's value as a label has it: a plug-in without the parameters that have their default
    values, where it is installed."""
    kind = PLUGGED.get(setting)
    return _shortest(kind, value) if kind and ":" in str(value) else str(value)


@lru_cache(maxsize=1024)
def _shortest(kind: str, text: str) -> str:
    try:
        return default_registry().choose(kind, text)[2]
    except EncbenchError:
        return text


def _choices(cell: CellConfig) -> dict[str, Any]:
    parameters = {"encoding": cell.encoding.parameters, "task": cell.task.parameters}
    return {**dotted(parameters), **settings_of(cell.network, cell.training, cell.ntk)}
