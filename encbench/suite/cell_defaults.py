"""Network and training settings of a cell: its task's, unless the suite or its entries set them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from encbench.contracts.optimizer import Optimizer
from encbench.contracts.task import CURVATURE, LossName, Task
from encbench.errors import SuiteError
from encbench.network.activations import activation_of
from encbench.plugins.registry import Registry
from encbench.suite.config import NetworkConfig, TrainingConfig
from encbench.suite.file import LENGTHS, SuiteEntry
from encbench.suite.messages import describe_error
from encbench.suite.networks import of_kind

DEFAULT_EPOCHS = 100


def network_settings(
    base: NetworkConfig,
    task: type[Task],
    expected: Any,
    entries: tuple[SuiteEntry, ...],
    registry: Registry,
) -> tuple[NetworkConfig, list[str]]:
    """The complete network settings, and a message for each setting that has no effect.

    ``expected`` is the activation that the encoding expects, or None.
    """
    defaults = task.network
    values: dict[str, Any] = {
        "width": defaults.width,
        "depth": defaults.depth,
        "parameterization": defaults.parameterization,
    }
    values |= base.model_dump(exclude_unset=True, exclude_none=True)
    for entry in entries:
        values |= entry.network
    network = _validated(NetworkConfig, values, "network", entries)
    given = set(base.model_fields_set).union(*(entry.network for entry in entries))
    network, taken, ignored = of_kind(network, given, registry)
    if "activation" not in taken:
        return network, ignored
    asked = network.activation
    if asked == "auto" and expected is None and task.network.activation is not None:
        asked = task.network.activation
    if asked == "auto":
        return network, ignored
    activation = activation_of(asked, registry)
    if network.parameterization == "ntk":
        activation.ntk_gains()
    # normalized: "sine" and "sine:omega=30" are the same cell
    return network.model_copy(update={"activation": str(activation)}), ignored


def training_settings(
    base: TrainingConfig,
    task: type[Task],
    loss: LossName | Callable[..., Any],
    entries: tuple[SuiteEntry, ...],
    registry: Registry,
) -> TrainingConfig:
    """The task's settings, overridden by the suite's, overridden by the entries'.

    ``model_fields_set`` of the result holds only what the suite or an entry sets.
    """
    values: dict[str, Any] = {}
    asked = base.model_dump(exclude_unset=True, exclude_none=True)
    overrides = (asked, *(entry.training for entry in entries))
    for settings in (dict(task.training), *overrides):
        if LENGTHS & settings.keys():
            values = {k: v for k, v in values.items() if k not in LENGTHS}
        values |= settings
    if not LENGTHS & values.keys():
        values["epochs"] = DEFAULT_EPOCHS
    training = _validated(TrainingConfig, values, "training", entries)
    shortest: dict[str, str] = {}
    for kind in ("optimizer", "schedule"):
        shortest[kind] = registry.choose(kind, getattr(training, kind))[2]
        built = registry.build(kind, shortest[kind])
        if kind == "optimizer" and training.lr == "auto":
            name = None if callable(loss) else loss
            check_automatic_rate(built, shortest[kind], name, entries[0].text)
    return TrainingConfig.model_construct(set().union(*overrides), **dict(training) | shortest)


def check_automatic_rate(optimizer: Optimizer, text: str, loss: LossName | None, name: str) -> None:
    """Refuse lr "auto" if no learning rate is known for it.

    Args:
        loss: name of the task's loss; None if the task has a loss of its own.
        text, name: the optimizer and the task as requested.

    Raises:
        SuiteError: the optimizer has no default rate, and none can be derived from the kernel.
    """
    if optimizer.default_lr is not None:
        return
    if optimizer.lr_from_kernel(1.0) is None:
        raise SuiteError(
            f'lr = "auto": no learning rate is known for the optimizer {text!r}; give lr a number'
        )
    if loss not in CURVATURE:
        has = "a loss of its own" if loss is None else f"the loss {loss!r}"
        raise SuiteError(
            f'lr = "auto" needs lr_crit with the optimizer {text!r}, and lr_crit is known for the '
            f"losses {', '.join(CURVATURE)}; task {name!r} has {has}: give "
            "training.lr a number, or use the optimizer adam"
        )


T = TypeVar("T", NetworkConfig, TrainingConfig)


def _validated(
    model: type[T], values: dict[str, Any], section: str, entries: tuple[SuiteEntry, ...]
) -> T:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        where = " × ".join(entry.text for entry in entries)
        raise SuiteError(f"{section} of {where}: {describe_error(error, model)}") from None
