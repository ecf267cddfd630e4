"""The pluggy hooks that a plug-in can implement.

A plug-in is a module named by an entry point of the group ``encbench``; it marks functions of
these names with ``@encbench.hookimpl``. Hooks that offer something return a mapping from names to
classes or functions, or to lazy targets ``"module:name"``. Lazy targets let ``encbench list`` run
without importing torch: it reads one-line descriptions from their source code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from encbench.contracts.activation import Activation
    from encbench.contracts.encoding import Encoding
    from encbench.contracts.metric import Metric
    from encbench.contracts.network import Network
    from encbench.contracts.optimizer import Optimizer, Schedule
    from encbench.contracts.task import Task
    from encbench.results.records import StoredRecord

hookspec = pluggy.HookspecMarker("encbench")
hookimpl = pluggy.HookimplMarker("encbench")


@hookspec
def encbench_encodings() -> Mapping[str, type[Encoding] | str]:
    """Encodings: name to subclass of ``encbench.Encoding``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_tasks() -> Mapping[str, type[Task] | str]:
    """Tasks: name to subclass of ``encbench.Task``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_metrics() -> Mapping[str, type[Metric] | str]:
    """Metrics: name to subclass of ``encbench.Metric``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_activations() -> Mapping[str, type[Activation] | str]:
    """Activations of the network: name to subclass of ``encbench.Activation``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_networks() -> Mapping[str, type[Network] | str]:
    """Networks: name to subclass of ``encbench.Network``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_optimizers() -> Mapping[str, type[Optimizer] | str]:
    """Optimizers: name to subclass of ``encbench.Optimizer``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_schedules() -> Mapping[str, type[Schedule] | str]:
    """Schedules of the learning rate: name to subclass of ``encbench.Schedule``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_suites() -> Mapping[str, Path | str]:
    """Suites: name to path of a TOML file."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_commands() -> Mapping[str, Callable[..., Any] | str]:
    """Commands of the command line: name to a function that typer turns into a command."""
    raise AssertionError("a hook specification is never called")


@hookspec
def encbench_cell_finished(record: StoredRecord) -> None:
    """Called after the record of a cell of any status has been written."""


@hookspec
def encbench_run_finished(directory: Path, records: Sequence[StoredRecord]) -> None:
    """Called at the end of a run, with the records of its cells."""
