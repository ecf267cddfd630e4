"""Plan the cells of a suite's cross product, checking every name and parameter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from encbench.contracts.encoding import Encoding
from encbench.contracts.task import LossName, Task, content_hash, loss_name
from encbench.errors import (
    DataError,
    EncbenchError,
    ParameterError,
    PluginError,
    SuiteError,
    error_line,
)
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.plugins.registry import Offer, Registry, named_failures
from encbench.plugins.selector import format_selector
from encbench.suite.budget import SHARES, Sizing, dimensions, parameter_count, sized
from encbench.suite.cell_defaults import network_settings, training_settings
from encbench.suite.config import (
    CellConfig,
    NetworkConfig,
    PluginRef,
    TrainingConfig,
    cell_key,
)
from encbench.suite.derivatives import check_derivatives
from encbench.suite.file import Suite, SuiteEntry
from encbench.suite.networks import built_encoding, without_memory
from encbench.suite.sweep import sweeps_of
from encbench.suite.versions import other_versions

logger = logging.getLogger("encbench")


def plan(suite: Suite, registry: Registry) -> list[CellConfig]:
    """The cells of ``keyed_plan``."""
    return list(keyed_plan(suite, registry).values())


def keyed_plan(suite: Suite, registry: Registry) -> dict[str, CellConfig]:
    """All cells of a suite, by key: encodings × targets of the tasks × seeds, tasks outermost,
    values of a sweep adjacent.

    Raises:
        UsageError: a name or a parameter is wrong, or an encoding does not take points of a
            task's dimension. Data that cannot be read is not an error here: its cells fail and
            the others run.
    """
    with suite.named_errors():
        suite.check_size()
        return _keyed_plan(suite, registry)


def _keyed_plan(suite: Suite, registry: Registry) -> dict[str, CellConfig]:
    cells: list[CellConfig] = []
    settings, reported, checked = suite.settings(), set[int | str](), set[tuple[str, int, bool]]()
    for task_entry in (each for asked in suite.tasks for each in asked.each()):
        offer = registry.find("task", task_entry.name)
        _check_loss(offer)
        encodings, swept = [], list[bool]()
        for asked in task_entry.encodings or suite.encodings:
            encodings += [(one, _resolve("encoding", one, registry)) for one in asked.each()]
            swept += [bool(sweeps_of(asked.parameters))] * asked.count
        for task in _targets(task_entry, offer):
            in_dim, loss, derivatives = offer.call(partial(_planned, task.parameters))
            if in_dim is not None:
                for (entry, encoding), one_of_several in zip(encodings, swept, strict=True):
                    _check_dimension(entry, encoding, registry, task_entry, in_dim, suite.note)
                    _check_parameters(entry, encoding, registry, in_dim, one_of_several, checked)
            data_hash = _data_hash(offer, task)
            ends = _Ends(offer.load(), task)
            for encoding_entry, encoding in encodings:
                entries = (task_entry, encoding_entry)
                cls = registry.find("encoding", encoding_entry.name).load()
                expected = cls.activation
                for network_asked, training_asked, ntk, budget in settings:
                    network, ignored = network_settings(
                        network_asked, offer.load(), expected, entries, registry
                    )
                    for line in ignored:
                        if line not in reported:
                            reported.add(line)
                            logger.warning(line)
                    chosen = encoding
                    if network.kind != "mlp":
                        _check_network(entries, cls, encoding, network, ends, registry)
                    if budget.parameters is not None:
                        count = budget.parameters
                        tied = _is_tied(cls, entries, network_asked)
                        sizing = sized(
                            cls, encoding, network, ends.known, count, registry, tied=tied
                        )
                        if id(sizing) not in reported:
                            reported.add(id(sizing))
                            logger.info("%s: %s", encoding.label, sizing)
                            if sizing.least:
                                logger.warning(_least(encoding, count, sizing))
                        chosen, network = _at_size(encoding_entry, encoding, network, sizing)
                    check_derivatives(
                        offer.load(),
                        task,
                        derivatives,
                        encoding_entry.text,
                        chosen,
                        network,
                        registry,
                    )
                    training = training_settings(
                        training_asked, offer.load(), loss, entries, registry
                    )
                    versions = other_versions(chosen, network, training, registry)
                    cells.extend(
                        CellConfig(
                            encoding=chosen,
                            task=task,
                            network=network,
                            training=training,
                            ntk=ntk,
                            seed=seed,
                            data_hash=data_hash,
                            other_versions=versions,
                        )
                        for seed in suite.seeds
                    )
    _warn_of_factors(cells, registry)
    return _each_once(cells)


def _warn_of_factors(cells: Iterable[CellConfig], registry: Registry) -> None:
    """Warn about each optimizer with which a ``lr_factor`` that was set has no effect, and if a
    rate was given wherever it was set."""
    factors = [c.training for c in cells if "lr_factor" in c.training.model_fields_set]
    if factors and all(t.lr != "auto" for t in factors):
        logger.warning(
            "lr_factor has no effect where lr is a number; leave one of them out, or give "
            'lr = "auto"'
        )
    for text in dict.fromkeys(t.optimizer for t in factors if t.lr == "auto"):
        if registry.build("optimizer", text).lr_from_kernel(1.0) is None:
            logger.warning(
                "lr_factor has no effect with the optimizer %s, whose rate does not come from "
                "lr_crit; give lr instead, or take sgd",
                text,
            )


def _is_tied(
    cls: type[Encoding], entries: tuple[SuiteEntry, SuiteEntry], network: NetworkConfig
) -> bool:
    """Whether a budget sizes the encoding's ``width_parameter`` with the network's width: neither
    is given, by the suite or by its entries for the task and the encoding."""
    given = [network.width if "width" in network.model_fields_set else None]
    given += [entry.network.get("width") for entry in entries]
    return not any(given) and cls.width_parameter not in entries[1].parameters


def _at_size(
    entry: SuiteEntry, reference: PluginRef, network: NetworkConfig, sizing: Sizing
) -> tuple[PluginRef, NetworkConfig]:
    """The encoding and the network with these sizes; an encoding without label shows its sizes."""
    chosen = {k: v for k, v in sizing.parameters.items() if v != reference.parameters[k]}
    label = entry.label or format_selector(entry.name, entry.parameters | chosen)
    return (
        reference.model_copy(update={"parameters": sizing.parameters, "label": label}),
        network.model_copy(update={"width": sizing.width}),
    )


def _least(encoding: PluginRef, budget: int, sizing: Sizing) -> str:
    sizes = ", ".join(f"{name}={sizing.chosen[name]}" for name in sizing.least)
    if "width" not in sizing.least and sizing.own >= budget * SHARES[-1]:
        return (
            f"{encoding.label}: {sizes} cannot be smaller at {budget:,} parameters; other sizes "
            "make up for it"
        )
    return (
        f"{encoding.label}: {sizes} cannot be smaller, so results at {budget:,} parameters say "
        "little about this encoding; raise the budget, or give the encoding or the network other "
        "sizes"
    )


class _Ends:
    """Numbers of coordinates and outputs of a target, determined when first needed."""

    def __init__(self, task: type[Task], target: PluginRef) -> None:
        self._task, self._target = task, target

    @cached_property
    def known(self) -> tuple[int, int]:
        return dimensions(self._task, self._target.parameters, str(self._target.label))


def _check_network(
    entries: tuple[SuiteEntry, ...],
    cls: type[Encoding],
    encoding: PluginRef,
    network: NetworkConfig,
    ends: _Ends,
    registry: Registry,
) -> None:
    """Refuse a network that does not fit the encoding or the task, or has nothing to learn.

    If data cannot be read, or a class cannot be built without memory, the cells will record it.
    """
    where = " × ".join(entry.text for entry in entries)
    try:
        with named_failures(lambda error: "" if isinstance(error, EncbenchError) else where):
            learned = parameter_count(cls, encoding.parameters, network, ends.known, registry)
    except ParameterError as error:
        raise SuiteError(f"network of {where}: {error}") from None
    except Exception as error:
        logger.debug("network of %s: %s", where, error_line(error))
        return
    if not learned:
        raise SuiteError(
            f"network of {where}: {network.kind} and the encoding have no parameters, so nothing "
            "can be learned; take another network or an encoding that learns"
        )


def _check_loss(offer: Offer) -> None:
    try:
        loss_name(offer.load())
    except TypeError as error:
        raise PluginError(f"{offer}: {error}") from None


def _check_dimension(
    entry: SuiteEntry,
    reference: PluginRef,
    registry: Registry,
    task_entry: SuiteEntry,
    in_dim: int,
    note: str,
) -> None:
    """Refuse an encoding that does not take points of in_dim coordinates."""
    offer = registry.find("encoding", entry.name)
    encoding: type[Encoding] = offer.load()
    low, high = encoding.min_dim, encoding.max_dim
    if not low <= in_dim <= high:
        takes = str(low) if low == high else f"{low} to {high}"
        raise SuiteError(
            f"encoding {entry.text!r} takes points of {takes} coordinates, task "
            f"{task_entry.text!r} has {in_dim}; leave one of them out, or give the task "
            f"encodings of its own{note}"
        )
    try:
        offer.call(lambda cls: cls.check_dimension(in_dim, **deepcopy(reference.parameters)))
    except ParameterError as error:
        raise SuiteError(f"task {task_entry.text!r}: {error}{note}") from None


def _check_parameters(
    entry: SuiteEntry,
    reference: PluginRef,
    registry: Registry,
    in_dim: int,
    swept: bool,
    checked: set[tuple[str, int, bool]],
) -> None:
    """Refuse parameters that contradict each other, by building the encoding without memory.

    Only encodings that come with encbench: a crash of another's constructor costs only its cells.

    Args:
        swept: whether the parameters are one combination of a sweep's, which cannot leave one out:
            a warning, and its cells fail.
        checked: encodings and dimensions that were built before; this one is added.
    """
    offer = registry.find("encoding", entry.name)
    one = reference.content, in_dim, swept
    if one in checked:
        return
    checked.add(one)
    others = other_versions(reference, NetworkConfig(), TrainingConfig(), registry)
    if offer.distribution != "encbench" or others:
        return
    try:
        with without_memory():
            offer.call(lambda cls: built_encoding(cls, in_dim, reference.parameters))
    except ParameterError as error:
        line = f"encoding {entry.text!r}: {error}"
        if not swept:
            raise SuiteError(line) from None
        logger.warning("%s; its cells will fail", line)
    except Exception as error:
        logger.debug("encoding %s: %s", entry.text, error_line(error))


def _each_once(cells: list[CellConfig]) -> dict[str, CellConfig]:
    unique: dict[str, CellConfig] = {}
    warnings: dict[str, None] = {}
    for cell in cells:
        first = unique.setdefault(cell_key(cell), cell)
        if first is cell:
            continue
        as_what = "" if cell.label == first.label else f", also as {cell.label}"
        warnings[f"{first.label} is asked for more than once{as_what}; it runs once"] = None
    for line in warnings:
        logger.warning("%s", line)
    return unique


def _resolve(kind: str, entry: SuiteEntry, registry: Registry) -> PluginRef:
    offer = registry.find(kind, entry.name)
    cls = offer.load()
    try:
        parameters = validate_parameters(kind, entry.name, cls, entry.parameters)
    except PluginError as error:
        raise PluginError(f"{offer}: {error}") from error
    return _reference(offer, parameters, entry.text)


def _reference(offer: Offer, parameters: dict[str, Any], label: str) -> PluginRef:
    return PluginRef(
        name=offer.name,
        distribution=offer.distribution,
        version=offer.plugin.version,
        parameters=parameters,
        label=label,
    )


def _targets(entry: SuiteEntry, offer: Offer) -> list[PluginRef]:
    task: type[Task] = offer.load()
    parameters = validate_parameters("task", entry.name, task, entry.parameters)
    try:
        named = offer.call(lambda cls: deepcopy(list(cls.targets(**deepcopy(parameters)))))
    except DataError as error:
        raise SuiteError(str(error)) from None
    targets = []
    for target in named:
        if any(isinstance(value, str) and not _is_unicode(value) for value in target.values()):
            text = format_selector(entry.name, target).encode(errors="backslashreplace").decode()
            logger.warning("%s is left out: its name is not UTF-8 and cannot be recorded", text)
        else:
            targets.append(target)
    if not targets:
        raise SuiteError(f"task {entry.text!r} has no target whose name can be recorded")
    if len(targets) == 1:
        return [_reference(offer, targets[0], entry.text)]
    defaults = {parameter.name: parameter.default for parameter in parameters_of(task)}
    return [
        _reference(
            offer,
            target,
            format_selector(entry.name, {k: v for k, v in target.items() if v != defaults.get(k)}),
        )
        for target in targets
    ]


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8; file names in other encodings hold surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _planned(
    parameters: Mapping[str, Any], task: type[Task]
) -> tuple[int | None, LossName | Callable[..., Tensor], int]:
    """A task's dimension, loss and number of derivatives, known before its data are read."""
    return (
        task.planned_dimension(**deepcopy(dict(parameters))),
        task.planned_loss(**deepcopy(dict(parameters))),
        task.derivatives(**deepcopy(dict(parameters))),
    )


def _data_hash(offer: Offer, reference: PluginRef) -> str | None:
    try:
        found: str = offer.call(lambda cls: content_hash(cls, reference.parameters))
        return found
    except Exception as error:
        # the cell tries again and records the error with its traceback
        logger.debug("no data hash for %s: %s", reference.label, error)
        return None
