"""A suite with what the command line says in place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from encbench.errors import SuiteError, did_you_mean
from encbench.plugins.selector import format_selector, parse_selector
from encbench.suite.config import PLUGGED, SECTIONS
from encbench.suite.file import LENGTHS, Suite, entries
from encbench.suite.messages import describe_error
from encbench.suite.sweep import SWEEP, each_choice


def override(
    suite: Suite,
    changes: dict[str, dict[str, Any]],
    *,
    encodings: list[Any] | None = None,
    tasks: list[Any] | None = None,
    seeds: list[int] | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Suite:
    """The suite with what the command line says in its place.

    Args:
        suite: what to change.
        changes: by section, settings.
        encodings: instead of the suite's own; each as in a suite file.
        tasks: instead of the suite's own; each as in a suite file.
        seeds: instead of the suite's own.
        parameters: by name of an encoding or task, parameters of each entry of that name; by name
            of a network, activation, optimizer or schedule, those of each setting that names it.

    Raises:
        UsageError: a value does not fit; says which.
    """
    data = suite.model_dump(exclude_unset=True)
    inner = [item for entry in data["tasks"] for item in entry.get("encodings") or []]
    for section, values in changes.items():
        if not values:
            continue
        # what the command line says holds for all; epochs and steps replace each other
        replaced = values.keys() | (LENGTHS if LENGTHS & values.keys() else set())
        for entry in (*data["encodings"], *data["tasks"], *inner):
            for key in replaced & entry.get(section, {}).keys():
                del entry[section][key]
        current = data.get(section, {})
        data[section] = {k: v for k, v in current.items() if k not in replaced} | values
    if encodings:
        # asked for outright, they are for every task
        for entry in data["tasks"]:
            entry.pop("encodings", None)
        data["encodings"] = entries(encodings)
    if tasks:
        data["tasks"] = entries(tasks)
    for name, given in (parameters or {}).items():
        _set_parameters(data, name, given)
    if seeds and seeds != suite.seeds:
        data["seeds"] = list(dict.fromkeys(seeds))
    try:
        changed = Suite.model_validate(data)
    except ValidationError as error:
        raise SuiteError(describe_error(error, Suite)) from None
    # a setting that equals its default counts: it takes precedence over the task's own
    if changed.as_asked() == suite.as_asked():
        return suite
    # the description was of the suite without the changes
    return changed.model_copy(update={"description": ""})


def _set_parameters(data: dict[str, Any], name: str, values: Mapping[str, Any]) -> None:
    """Give every entry of a name these parameters, or every setting that names it; entries that
    become equal are one."""
    lists = [(data, "encodings"), (data, "tasks")]
    lists += [(entry, "encodings") for entry in data["tasks"] if entry.get("encodings")]
    known = dict.fromkeys(entry["name"] for holder, key in lists for entry in holder[key])
    if name not in known:
        tables = (data, *(entry for holder, key in lists for entry in holder[key]))
        settings = [
            (table[section], key)
            for table in tables
            for section, key in (setting.split(".") for setting in PLUGGED)
            if isinstance(text := table.get(section, {}).get(key), str)
            and parse_selector(text)[0] == name
        ]
        try:
            chosen = list(each_choice(values))
        except ValueError as error:
            raise SuiteError(f"--sweep {name}.{error}") from None
        for table, key in settings:
            given = parse_selector(table[key])[1]
            table[key] = {SWEEP: [format_selector(name, {**given, **one}) for one in chosen]}
        if settings:
            return
        names = (*SECTIONS, *known)
        hint = did_you_mean(name, names, f"known here: {', '.join(names)}")
        raise SuiteError(
            f"--sweep {name}.{next(iter(values))}: {name!r} is not a section, encoding or task of "
            "this suite, nor a network, activation, optimizer or schedule that it sets" + hint
        )
    for holder, key in lists:
        changed: list[dict[str, Any]] = []
        for entry in holder[key]:
            if entry["name"] == name:
                entry = entry | {"parameters": {**entry.get("parameters", {}), **values}}
            if entry["name"] != name or entry not in changed:
                changed.append(entry)
        holder[key] = changed
