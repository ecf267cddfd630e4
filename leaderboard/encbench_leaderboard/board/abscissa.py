"""A cell's value on the x axis of ``encbench plot``, and the cell without that setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from encbench.errors import EncbenchError, UsageError
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import format_selector, parse_selector
from encbench.results.records import Record, StoredRecord
from encbench.suite.config import PLUGGED, PluginRef, sorted_json
from encbench.suite.labels import shortened
from encbench_leaderboard.board.facts import cell_settings, identity

PARTS = ("encoding", "task")
COUNTS = {"parameters": "", "parameters_mlp": "mlp", "parameters_encoding": "encoding"}
"""Names of x that are a number of parameters, and the part that is counted; "": all parts."""
FOLLOWS = {
    "learning_rate": ("training.lr", "training.lr_factor"),
    **dict.fromkeys(COUNTS, ("network.width", "network.depth")),
}
"""Names of x that follow from other settings; these settings then do not separate lines."""


def x_value(record: Record, x: str) -> Any:
    """Value of x of a cell, or None; a list of one item counts as that item.

    Args:
        x: a setting ("training.lr"), a parameter of the encoding or the task, by part or by name
            ("encoding.levels", "mpe.resolutions", "image.side"), one of the network, activation,
            optimizer or schedule, by name ("hosc.beta", "adam.beta2"), "seed", or a name in
            ``FOLLOWS``.
    """
    if x == "seed":
        return record.cell.seed
    if x == "learning_rate":
        return record.learning_rate.value if record.learning_rate else None
    if x in COUNTS:
        parts = [COUNTS[x]] if COUNTS[x] else list(record.parameters)
        return sum(record.parameters[part] for part in parts) if record.parameters else None
    holder, key = _holder(record, x)
    if holder in PARTS:
        value = _reference(record, holder).parameters.get(key)
    elif holder in PLUGGED:
        value = _plugged(record, holder)[1].get(key)
    else:
        value = cell_settings(record).get(x)
        value = shortened(x, value) if x in PLUGGED and value else value
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def names_of_x(records: Sequence[StoredRecord]) -> list[str]:
    """Names that can be used for x with at least one of the records."""
    names = dict.fromkeys(["seed", *FOLLOWS])
    for stored in records:
        names |= dict.fromkeys(cell_settings(stored.record))
        for part in PARTS:
            parameters = _reference(stored.record, part).parameters
            names |= dict.fromkeys(f"{part}.{key}" for key in parameters)
        for setting in PLUGGED:
            name, parameters = _plugged(stored.record, setting)
            names |= dict.fromkeys(f"{name}.{key}" for key in parameters)
    return list(names)


def varies(records: Sequence[StoredRecord], name: str) -> bool:
    """Whether the records have different values for an x."""
    return len({sorted_json(x_value(stored.record, name)) for stored in records} - {"null"}) > 1


def settings_without(record: Record, x: str) -> dict[str, Any]:
    """Settings of a cell that x does not determine."""
    found = {k: v for k, v in cell_settings(record).items() if k not in (x, *FOLLOWS.get(x, ()))}
    setting, key = _holder(record, x)
    if setting in PLUGGED:
        name, parameters = _plugged(record, setting)
        parameters.pop(key, None)
        found[setting] = format_selector(name, parameters)
    return found


def without(stored: StoredRecord, x: str) -> StoredRecord:
    """The record without the parameters of its encoding or task that x names."""
    part, key = ("encoding", "") if x in COUNTS else _holder(stored.record, x)
    if part not in PARTS:
        return stored.unread()
    cell = stored.record.cell
    reference = _reference(stored.record, part)
    kept = {} if x in COUNTS else {k: v for k, v in reference.parameters.items() if k != key}
    label = None if x in COUNTS else _label_without(reference.label, key)
    changed = reference.model_copy(update={"parameters": kept, "label": label})
    update: dict[str, Any] = {part: changed}
    if part == "task":
        # data may differ between values of x, and must not separate them
        update["data_hash"] = identity(changed)
    record = stored.record.model_copy(update={"cell": cell.model_copy(update=update)})
    return stored.unread(record)


def _holder(record: Record, x: str) -> tuple[str, str]:
    """The part or setting whose plug-in has the parameter that x names, and the parameter; ("", "")
    if x names none."""
    name, _, key = x.rpartition(".")
    for part in PARTS:
        reference = _reference(record, part)
        if name == part or (name == reference.name and key in reference.parameters):
            return part, key
    for setting in PLUGGED:
        if name and name == parse_selector(cell_settings(record).get(setting, ""))[0]:
            return setting, key
    return "", ""


def _reference(record: Record, part: str) -> PluginRef:
    reference: PluginRef = getattr(record.cell, part)
    return reference


def _plugged(record: Record, setting: str) -> tuple[str, dict[str, Any]]:
    """Name of the plug-in that a setting selects, and its known parameters."""
    text = cell_settings(record).get(setting, "")
    name, given = parse_selector(text)
    try:
        return name, default_registry().choose(PLUGGED[setting], text)[1]
    except EncbenchError:
        # "auto", or a plug-in that is not installed: only given parameters are known
        return name, given


def _label_without(label: str | None, key: str) -> str | None:
    try:
        name, asked = parse_selector(label or "")
    except UsageError:
        return label
    asked.pop(key, None)
    return format_selector(name, asked) if label else None
