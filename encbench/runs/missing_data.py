"""Refuse a run whose tasks name data that do not exist, before anything is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from encbench.contracts.task import content_hash
from encbench.errors import MissingDataError, SuiteError, plural
from encbench.plugins.registry import Registry
from encbench.results.store import Store
from encbench.suite.config import CellConfig, PluginRef


def refuse_missing_data(
    cells: Iterable[CellConfig], registry: Registry, directory: Path | str | None = None
) -> None:
    """Refuse tasks whose data do not exist.

    A task that has a record in the results folder is not refused: its data existed, and without
    them its cells fail while the others run.

    Raises:
        SuiteError: a task raised MissingDataError; the message is that of each such task.
    """
    unread = {_named(cell.task): cell.task for cell in cells if cell.data_hash is None}
    missing = {name: why for name, task in unread.items() if (why := _missing(task, registry))}
    if missing and directory is not None and Path(directory).is_dir():
        for stored in Store(directory).records():
            missing.pop(_named(stored.record.cell.task), None)
    if len(missing) == 1:
        raise SuiteError(next(iter(missing.values())))
    if missing:
        count = plural(len(missing), "task")
        raise SuiteError(f"{count} without data: " + "; ".join(missing.values()))


def _named(task: PluginRef) -> str:
    return task.model_dump_json(include={"name", "distribution", "parameters"})


def _missing(task: PluginRef, registry: Registry) -> str:
    """The message of a task whose data do not exist; "" for any other."""
    try:
        registry.find("task", task.qualified).call(lambda cls: content_hash(cls, task.parameters))
    except MissingDataError as error:
        return str(error)
    except Exception:
        return ""  # the cell tries again and records the error
    return ""
