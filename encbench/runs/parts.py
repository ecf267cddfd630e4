"""Build the parts of a cell (task, model, training, metrics) from its configuration.

An exception from a plug-in becomes an error that names its distribution.
"""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal, Protocol

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from encbench.contracts.activation import Activation
from encbench.contracts.encoding import IN_ENCODING, IN_NETWORK, Encoding
from encbench.contracts.metric import Metric, MetricValue
from encbench.contracts.network import Network
from encbench.contracts.optimizer import Optimizer, Schedule
from encbench.contracts.task import IN_TASK, Task, checked_task, content_hash
from encbench.device import lacks_memory
from encbench.errors import DataError, EncbenchError, PluginError, bounded, error_line, plural
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import Offer, Registry, named_failures
from encbench.plugins.selector import parse_selector
from encbench.runs.limits import CellStopped, by_a_person
from encbench.suite.config import CellConfig, NetworkConfig, PluginRef
from encbench.suite.messages import describe_error
from encbench.suite.networks import build_network, built_encoding, without_memory
from encbench.suite.seeding import Streams, seeded
from encbench.suite.versions import other_versions
from encbench.training.losses import IN_LOSS

LONGEST_METRIC = 40_000
"""Maximum length of a metric's value as JSON in a record [characters]."""
logger = logging.getLogger("encbench")
FAILED_METRIC = "failed_metric"
"""Attribute of warnings about a metric that raised: the reason."""
_generator = threading.Lock()
"""Held while weights are drawn from torch's global generator, which threads share."""


def cell_streams(cell: CellConfig) -> Streams:
    """The cell's random streams.

    They depend on the task's name and data, not on its parameters: a photograph has the same
    streams whatever its path. They do not depend on versions of plug-ins, so that two releases are
    compared on equal weights.
    """
    encoding = cell.encoding.model_dump(mode="json", exclude={"label", "version"})
    if cell.weights_version is not None:
        encoding["version"] = cell.weights_version
    return Streams(
        task={"name": cell.task.name, "data": cell.data_hash},
        encoding=[encoding, cell.network.model_dump(mode="json")],
        seed=cell.seed,
    )


def build_task(cell: CellConfig, registry: Registry) -> Task:
    """Build the cell's task and load its data.

    Raises:
        DataError: the data cannot be used, or differ from those the cell was planned with.
        PluginError: the task's class raised something else; names its distribution.
    """
    reference = cell.task
    offer = _offer("task", reference, registry)
    # even if no hash was planned: if the data cannot be read, this raises the reason
    found = offer.call(lambda cls: content_hash(cls, reference.parameters))
    if cell.data_hash is not None:
        _check_data(cell.data_hash, found)
    parameters = deepcopy(reference.parameters)  # the constructor may change them
    task: Task = offer.call(lambda cls: checked_task(cls(**parameters)))
    return task


class Dimensions(Protocol):
    """The properties of a task that the network depends on."""

    in_dim: int
    out_dim: int


def build_model(
    cell: CellConfig, task: Dimensions, registry: Registry, streams: Streams
) -> Network:
    """Build the cell's network on the CPU, with weights drawn from the stream "weights".

    Raises:
        MemoryError: there is not enough; names the setting that needs most.
        ParameterError: encoding, task and network do not fit together.
        PluginError: a class raised something else; names its distribution.
    """
    reference = cell.encoding
    offer = _offer("encoding", reference, registry)
    here = other_versions(reference, cell.network, cell.training, registry)
    for name, version in cell.other_versions.items():
        _check_version("cell", name, version, here.get(name, version))
    with _generator, seeded(streams.seed("weights")):
        try:
            encoding: Encoding = offer.call(
                lambda cls: built_encoding(cls, task.in_dim, reference.parameters)
            )
            return build_network(cell.network, encoding, task.out_dim, registry)
        except Exception as error:
            reason = _needed_memory(cell, task, offer, registry) if lacks_memory(error) else ""
            if not reason:
                raise
            raise MemoryError(reason) from error


def _needed_memory(cell: CellConfig, task: Dimensions, offer: Offer, registry: Registry) -> str:
    """How much memory a model needs, and the setting whose default, or 1 in the network, reduces it
    most, if to half; "" if the model cannot be built without memory."""
    given, network = cell.encoding.parameters, cell.network

    def needed(parameters: Mapping[str, Any], network: NetworkConfig) -> float:
        try:
            with without_memory():
                encoding = built_encoding(offer.load(), task.in_dim, parameters)
                model = build_network(network, encoding, task.out_dim, registry)
        except Exception:
            return math.inf
        return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) / 2**30

    total = needed(given, network)
    if not 0.05 <= total < math.inf:  # something else needs it
        return ""
    without = {
        f"{one.name}={given[one.name]}": needed({**given, one.name: one.default}, network)
        for one in parameters_of(offer.load())
        if one.name in given and given[one.name] != one.default
    }
    for name in ("width", "depth"):
        if getattr(network, name) is not None:
            smallest = network.model_copy(update={name: 1})
            without[f"network.{name}={getattr(network, name)}"] = needed(given, smallest)
    largest = min(without, key=lambda name: without[name], default="")
    if not largest or without[largest] > total / 2:
        largest = "its defaults"
    return f"the model needs {total:,.1f} GiB, most of it by {largest}; give less"


def build_training(cell: CellConfig, registry: Registry) -> tuple[Optimizer, Schedule]:
    """Build the cell's optimizer and its schedule.

    Raises:
        UsageError: one of them is not installed here, or has other parameters.
        PluginError: one of them raised something else; names its distribution.
    """
    training = cell.training
    return (
        registry.build("optimizer", training.optimizer),
        registry.build("schedule", training.schedule),
    )


def _offer(kind: str, reference: PluginRef, registry: Registry) -> Offer:
    """The plug-in that a cell was planned with.

    Raises:
        PluginError: another version is installed where the cell runs.
    """
    offer = registry.find(kind, reference.qualified)
    what = f"{kind} {reference.name!r}"
    _check_version(what, reference.distribution, reference.version, offer.plugin.version)
    return offer


def _check_version(what: str, distribution: str, planned: str, here: str) -> None:
    if here != planned:
        raise PluginError(
            f"{what} was planned with {distribution} {planned}, but where it runs {here} is "
            "installed; install the same version there"
        )


def _check_data(planned: str, found: str) -> None:
    if found != planned:
        raise DataError(
            f"the data is not what the run was planned with (SHA-256 {found[:12]}…, expected "
            f"{planned[:12]}…): it has changed since, or lies under this path on another machine; "
            "give the command again, or bring the same data there"
        )


def failed_plugin(error: BaseException, cell: CellConfig, task: Task | None) -> str:
    """ "encoding 'x' of dist 1.0" if an exception came from a plug-in, otherwise "".

    ``Network`` adds a note to exceptions of an encoding or a network, training to those of a loss,
    and the contract to those about values that a task returned. For others, the innermost method
    of a part in the traceback decides, since a plug-in may have all its parts in one module.
    """
    notes = getattr(error, "__notes__", ())
    if IN_LOSS in notes and IN_ENCODING not in notes:
        kind, reference = "task", cell.task
    elif IN_ENCODING in notes:
        kind, reference = "encoding", cell.encoding
    elif IN_NETWORK in notes and cell.network.kind != "mlp":
        return _other_plugin("network", cell.network.kind, cell)
    elif isinstance(error, EncbenchError):
        return ""
    elif IN_TASK in notes:
        kind, reference = "task", cell.task
    else:
        part = _innermost_part(error)
        if isinstance(part, Activation):
            # the setting does not name its distribution
            ours = type(part).__module__.startswith("encbench.")
            return "" if ours else f"activation {part.name!r}"
        if isinstance(part, Schedule):
            return _other_plugin("schedule", cell.training.schedule, cell)
        if part is not None and not isinstance(part, Task):
            return _other_plugin("optimizer", cell.training.optimizer, cell)
        if part is None or part is not task:
            return ""
        kind, reference = "task", cell.task
    return f"{kind} {reference.name!r} of {reference.distribution} {reference.version}"


@contextmanager
def plugin_named(cell: CellConfig, task: Task) -> Iterator[None]:
    """Convert exceptions of plug-ins in the block to a PluginError that names the distribution."""
    with named_failures(lambda error: failed_plugin(error, cell, task)):
        yield


def _innermost_part(error: BaseException) -> object:
    """The task, optimizer, schedule or activation whose method is the innermost in the traceback;
    None if there is none."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        if isinstance(first, Task | Optimizer | Schedule | Activation | torch.optim.Optimizer):
            found = first
    return found


def _other_plugin(kind: str, text: str, cell: CellConfig) -> str:
    """Description of the network, optimizer or schedule in a setting; "" if it is encbench's."""
    distribution, _, name = parse_selector(text)[0].rpartition(":")
    version = cell.other_versions.get(distribution)
    return "" if version is None else f"{kind} {name!r} of {distribution} {version}"


def direction_of(metric: str, registry: Registry) -> Literal["higher", "lower"]:
    """Whether higher or lower values of a metric are better; "higher" if no plug-in offers it."""
    offer = registry.named("metric").get(metric)
    direction: Literal["higher", "lower"] = "higher" if offer is None else offer.load().direction
    return direction


def metric_results(
    comparisons: Mapping[str, tuple[Any, Any]],
    registry: Registry,
    cell: CellConfig,
    said: set[str] | None = None,
) -> dict[str, MetricValue]:
    """The values of all metrics; for a metric that raises, the reason instead of a value.

    Args:
        said: reasons that have been logged as warnings; new ones are logged and added.
    """
    values = {}
    said = set() if said is None else said
    for offer in registry.named("metric").values():
        try:
            metric: Metric = offer.call(lambda cls: cls())
            compared = comparisons.get(offer.name, comparisons.get(metric.kind))
            if compared is None:
                continue
            found = metric(*compared)
            details = recordable(found.details)
            value = None if found.value is None else float(found.value)
            text = found.model_copy(update={"value": value, "details": details}).model_dump_json()
            if len(text) > LONGEST_METRIC:
                raise ValueError(f"{len(text):,} characters to record")
            values[offer.name] = MetricValue.model_validate_json(text)
        except BaseException as error:
            if isinstance(error, CellStopped) or by_a_person(error):
                raise
            if isinstance(error, PluginError):
                reason = str(error)
            elif isinstance(error, ValidationError):
                reason = f"{offer} failed: {describe_error(error, MetricValue)}"
            else:
                reason = f"{offer} failed: {error_line(error)}"
            if reason not in said:
                said.add(reason)
                logger.warning("%s: %s", cell.label, reason, extra={FAILED_METRIC: reason})
            details = {"reason": reason}
            values[offer.name] = MetricValue(value=None, title=offer.name, details=details)
    return values


@contextmanager
def failed_metrics_counted() -> Iterator[None]:
    """Warn of each failure of a metric once, at the end, with the number of cells.

    For cells that are run only to be timed or checked; the outermost of several contexts counts.
    """
    cells: dict[str, set[str]] = {}

    def kept(record: logging.LogRecord) -> bool:
        reason = getattr(record, FAILED_METRIC, None)
        if reason is not None:
            cells.setdefault(reason, set()).add(record.getMessage())
        return reason is None

    logger.addFilter(kept)
    try:
        yield
    finally:
        logger.removeFilter(kept)
        for reason, messages in cells.items():
            logger.warning("%s (in %s)", reason, plural(len(messages), "rehearsed cell"))


def recordable(value: Any) -> Any:
    """Convert a plug-in's value to what JSON can represent; non-finite numbers become strings."""
    if isinstance(value, Mapping):
        return {bounded(str(key), 100): recordable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [recordable(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return recordable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int) else bounded(str(value), 1000)
