"""Find data that tasks name and that do not exist, before anything is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from encbench.contracts.task import content_hash
from encbench.errors import MissingDataError, SuiteError, plural
from encbench.plugins.registry import Registry
from encbench.results.store import Store
from encbench.suite.config import CellConfig, PluginRef


def refuse_missing_data(
    cells: Iterable[CellConfig], registry: Registry, directory: Path | str | None = None
) -> None:
    """Refuse cells whose data do not exist; ``missing_data`` says which these are.

    Raises:
        SuiteError: data do not exist; the message says which.
    """
    if missing := missing_data(cells, registry, directory):
        raise SuiteError(missing_in_words(missing))


def missing_in_words(missing: Sequence[str]) -> str:
    """One message of those that ``missing_data`` found."""
    if len(missing) == 1:
        return missing[0]
    return f"{plural(len(missing), 'task')} without data: {'; '.join(missing)}"


def missing_data(
    cells: Iterable[CellConfig], registry: Registry, directory: Path | str | None = None
) -> list[str]:
    """The message of each task that raises MissingDataError.

    A task that has a record in the results folder is left out: its data existed, and without them
    its cells fail while the others run.
    """
    unread = {_named(cell.task): cell.task for cell in cells if cell.data_hash is None}
    missing = {name: why for name, task in unread.items() if (why := _missing(task, registry))}
    if missing and directory is not None and Path(directory).is_dir():
        for stored in Store(directory).records():
            missing.pop(_named(stored.record.cell.task), None)
    return list(missing.values())


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
