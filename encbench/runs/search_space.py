"""Search spaces for an encoding and its network, by default and as given by ``--space``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import ValidationError

from encbench.contracts.encoding import Encoding
from encbench.contracts.optimizer import Optimizer
from encbench.contracts.search import Search
from encbench.errors import ParameterError, UsageError, did_you_mean
from encbench.network.activations import activation_of
from encbench.plugins.parameters import Parameter, parameters_of
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_selector, parse_value
from encbench.runs.candidates import NAMED, Dimension, on_meta, refusal_of, refusals, with_auto
from encbench.suite.budget import size_names
from encbench.suite.config import CellConfig, NetworkConfig, TrainingConfig
from encbench.suite.file import SuiteEntry
from encbench.suite.messages import describe_error
from encbench.suite.networks import built_encoding, network_class, taken_by
from encbench.training.optimizers import usual_rate

SEARCHABLE = {
    "training": ("lr", "lr_factor", "encoding_lr_factor", "batch_size", "schedule"),
    "network": ("width", "depth"),
}
"""Searchable settings other than an encoding's parameters. The rest decide what is compared, such
as the length of training, or what a learning rate means, such as the optimizer."""
KERNEL_RATES = Search(0.5, 6, log=True)
"""lr_factor for optimizers whose rate is derived from lr_crit; the best for sgd were 1.5 to 3."""
USUAL_RATES = Search(0.1, 3, log=True)
"""lr for the other optimizers, in multiples of ``usual_rate``.
Adam's best rates on photographs were in these ranges for every encoding tested."""
ENCODING_RATES = Search(0.1, 10, log=True)
BATCHES = (0.5, 1, 2)
WIDTHS = Search(choices=(16, 32, 64, 128))
"""Widths of the network under a budget of parameters; the encoding gets the rest of the budget."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


@dataclass(frozen=True)
class SpaceOption:
    """One option ``--space OWNER.KEY=…``."""

    owner: str
    """ "training", "network", one of ``NAMED``, or an encoding."""
    key: str
    search: Search | None
    fixed: Any = None
    """The value if the setting is fixed and not searched."""

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.key}"

    @property
    def values(self) -> Sequence[Any]:
        """Values to check: the ends of a range, the choices, or the fixed value."""
        return [self.fixed] if self.search is None else self.search.ends


def parse_space(text: str) -> SpaceOption:
    """Parse "ffe.levels=4..12", "training.lr=1e-4..1e-2:log", "network.width=64|256" or "…=64".

    Raises:
        UsageError: the text has another form, or the range is empty.
    """
    left, equals, right = text.partition("=")
    owner, dot, key = left.strip().rpartition(".")
    right = right.strip()
    if not (equals and dot and owner and key and right):
        raise UsageError(
            f"--space {text!r}: expected NAME.KEY=LOW..HIGH, LOW..HIGH:log, A|B|C or one value, "
            "such as ffe.levels=4..12 or training.lr=1e-4..1e-2:log"
        )
    try:
        if found := _RANGE.fullmatch(right):
            low, high = (int(end) if end.isdigit() else float(end) for end in found.groups()[:2])
            return SpaceOption(owner, key, Search(low, high, log=found[3] is not None))
        if "|" in right:
            choices = tuple(parse_value(part.strip()) for part in right.split("|"))
            return SpaceOption(owner, key, Search(choices=choices))
    except ValueError as error:
        raise UsageError(f"--space {text!r}: {error}") from None
    return SpaceOption(owner, key, None, parse_value(right))


def check_option(option: SpaceOption, encodings: Mapping[str, type[Encoding]]) -> None:
    """Refuse an option whose name or value is invalid.

    Args:
        option: the option.
        encodings: classes of the encodings that are tuned, by name.

    Raises:
        UsageError: the name or a value is invalid.
    """
    where = f"--space {option.name}"
    if option.owner in NAMED:
        if option.search is None:
            raise UsageError(
                f"{where}: one value is not searched; give it with the name, such as "
                f"--set {option.owner}=NAME:{option.key}={option.fixed}"
            )
        return  # the available parameters depend on the cells
    cls = encodings.get(option.owner)
    model = NetworkConfig if option.owner == "network" else TrainingConfig
    if cls is not None:
        parameters = {parameter.name: parameter for parameter in parameters_of(cls)}
        known: Collection[str] = parameters
    elif option.owner in SEARCHABLE:
        known = SEARCHABLE[option.owner]
        if option.key in model.model_fields.keys() - known:
            raise UsageError(
                f"{where}: {option.key} is the same for all and not searched; "
                f"set it with --set {option.name}=…, or search {', '.join(known)}"
            )
    else:
        owners = [*encodings, *SEARCHABLE, *NAMED]
        raise UsageError(
            f"{where}: no encoding {option.owner!r} is tuned here"
            + did_you_mean(option.owner, owners, f"there are: {', '.join(owners)}")
        )
    if option.key not in known:
        raise UsageError(
            f"{where}: {option.owner} has no {option.key!r}"
            + did_you_mean(option.key, known, f"it has: {', '.join(known) or 'none'}")
        )
    if cls is not None:
        _check_values(option, parameters[option.key])
        return
    try:
        for value in option.values:
            model.model_validate({option.key: value})
    except ValidationError as error:
        raise UsageError(f"{where}: {describe_error(error, model)}") from None


def _check_values(option: SpaceOption, parameter: Parameter) -> None:
    for value in option.values:
        try:
            parameter.validate(value)
        except ValueError as error:
            raise UsageError(
                f"--space {option.name}={value!r}: {error}; expected {parameter.type}"
            ) from None


def fixed_by(entry: SuiteEntry, name: str, options: Sequence[SpaceOption]) -> SuiteEntry:
    """The entry of the encoding ``name`` with the settings that ``--space`` fixes to one value."""
    for option in options:
        if option.search is None and option.owner in ("training", "network", name):
            section = option.owner if option.owner in SEARCHABLE else "parameters"
            changed = {**getattr(entry, section), option.key: option.fixed}
            entry = entry.model_copy(update={section: with_auto(section, changed, option.key)})
    return entry


def space_of(
    entry: SuiteEntry,
    cls: type[Encoding],
    default: CellConfig,
    options: Sequence[SpaceOption],
    *,
    dimensions: Collection[int],
    points: int | None,
    budgeted: bool = False,
    network: NetworkConfig | None = None,
) -> list[Dimension]:
    """Search space of an encoding: those of its parameters that are not given, likewise those of
    its network and activation if they were chosen by name, and settings of its training.

    Args:
        entry: the encoding in the suite.
        cls: class of the encoding.
        default: a cell of the entry.
        options: the user's options; those with a fixed value are in ``entry`` already.
        dimensions: values of d of the tasks.
        points: number of points of the smallest epoch, which limits batches; None if not known.
        budgeted: whether the number of parameters is given: the encoding's sizes follow from it,
            and the width of the network is searched instead.
        network: the suite's network settings, for parameters that are given there.

    Raises:
        UsageError: no range of the learning rate is known for the optimizer, ``lr_factor`` has no
            effect with it, or a batch is larger than the epoch.
    """
    asked = {option.name: option for option in options}
    given = {*entry.parameters, *(size_names(cls) if budgeted else ())}
    if budgeted and cls.width_parameter:
        given.add(cls.width_parameter)

    def impossible(dimension: Dimension) -> bool:
        """Whether the range begins and continues with values that no dimension allows: in 4D the
        upper half of a grid's resolutions may be too fine, and draws leave it out."""
        return all(
            refusal_of(
                partial(
                    built_encoding, cls, d, default.encoding.parameters | {dimension.key: value}
                )
            )
            for d in dimensions
            for value in (dimension.lowest, dimension.middle)
        )

    def refused(dimension: Dimension) -> bool:
        return bool(refusals(cls, default, [dimension], dimensions)([dimension.middle]))

    name = default.encoding.name
    space = list(_declared("parameters", cls, name, "", given, asked, impossible))
    for owner, kind in NAMED.items():
        setting = owner.partition(".")[2]
        chosen = getattr(default.network, setting)
        if chosen not in ("mlp", "auto"):
            text = entry.network.get(setting, getattr(network or NetworkConfig(), setting))
            declaring = default_registry().choose(kind, chosen)[0].load()
            given = {*parse_selector(text)[1]}
            space += _declared("network", declaring, owner, f"{setting}.", given, asked, refused)
    ours = {"encoding_lr_factor": ENCODING_RATES} if _learns(cls, dimensions, default) else {}
    ours |= _rates(default, cls, asked) | _batches(default, points)
    batch = asked.get("training.batch_size")
    if batch is not None and batch.search is not None and points is not None:
        largest = max(end for end in batch.search.ends if isinstance(end, int | float))
        if largest > points:
            raise UsageError(
                f"--space {batch.name}: a batch of {largest:g} points is more than there are, "
                f"{points}; give smaller ones"
            )
    if budgeted and cls.size_parameters and default.network.width is not None:
        ours["width"] = WIDTHS
    for section, keys in SEARCHABLE.items():
        for key in keys:
            option = asked.get(f"{section}.{key}")
            found = ours.get(key) if option is None else option.search
            if found is not None:
                whole = key in ("batch_size", "width", "depth")
                space.append(Dimension(section, key, found, whole))  # type: ignore[arg-type] # a key of SEARCHABLE
    return space


def _declared(
    section: Literal["parameters", "network"],
    cls: type,
    owner: str,
    prefix: str,
    given: Collection[str],
    asked: Mapping[str, SpaceOption],
    refused: Callable[[Dimension], bool],
) -> Iterator[Dimension]:
    """Yield parameters of a class with the requested range, or, unless they are given, with the
    range that they declare."""
    for parameter in parameters_of(cls):
        option = asked.get(f"{owner}.{parameter.name}")
        search = parameter.search if option is None else option.search
        if search is None or (option is None and parameter.name in given):
            continue
        dimension = Dimension(section, f"{prefix}{parameter.name}", search, parameter.whole)
        if option is not None:
            _check_values(option, parameter)
        # it has no effect here, such as the frequency of sines in NTK parameterization, or another
        # parameter that is given replaces it: max_resolution if resolutions is given
        elif refused(dimension):
            continue
        yield dimension


def _rates(
    default: CellConfig,
    cls: type[Encoding],
    asked: Mapping[str, SpaceOption],
) -> dict[str, Search]:
    """Range of the learning rate, or of its factor if it is derived from the kernel."""
    name = default.training.optimizer
    optimizer: Optimizer = default_registry().build("optimizer", name)
    by_kernel = optimizer.lr_from_kernel(1.0) is not None
    if "training.lr_factor" in asked and not by_kernel:
        raise UsageError(
            f"--space training.lr_factor: the rate of {name} does not come from lr_crit; "
            "give --space training.lr=LOW..HIGH:log"
        )
    if {"training.lr", "training.lr_factor"} & asked.keys():
        return {}
    if by_kernel:
        return {"lr_factor": KERNEL_RATES}
    if optimizer.default_lr is None:
        raise UsageError(
            f"no range of learning rates is known for the optimizer {name!r}; "
            "give --space training.lr=LOW..HIGH:log"
        )
    network, registry = default.network, default_registry()
    kind, _, _ = network_class(network.kind, registry)
    activation = None
    if "activation" in taken_by(kind):
        expected = network.activation if network.activation != "auto" else cls.activation
        activation = activation_of(expected or "relu", registry)
    usual = usual_rate(optimizer, network, activation, kind.usual_rate)
    return {"lr": USUAL_RATES.times(usual)}


def _batches(default: CellConfig, points: int | None) -> dict[str, Search]:
    usual = default.training.batch_size
    if usual == "all":
        return {}
    most = usual if points is None else points
    sizes = {int(min(usual, most) * factor) for factor in BATCHES}
    choices = sorted(size for size in sizes if 1 <= size <= (points or math.inf))
    return {"batch_size": Search(choices=choices)} if len(choices) > 1 else {}


def _learns(cls: type[Encoding], dimensions: Collection[int], default: CellConfig) -> bool:
    """Whether the encoding has parameters that are trained; True if that is not known."""
    try:
        encoding = on_meta(
            partial(built_encoding, cls, min(dimensions), default.encoding.parameters)
        )
    except ParameterError:
        return False
    return encoding is None or any(True for _ in encoding.parameters())
