"""Where the settings of an encoding and its network are searched."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from encbench.contracts.encoding import Encoding
from encbench.contracts.optimizer import Optimizer
from encbench.contracts.search import Search
from encbench.errors import ParameterError, UsageError
from encbench.network.activations import activation_of
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_selector
from encbench.runs.candidates import Dimension, on_meta, refusal_of, refusals
from encbench.runs.space_options import NAMED, SEARCHABLE, SpaceOption
from encbench.suite.config import CellConfig, NetworkConfig
from encbench.suite.file import SuiteEntry
from encbench.suite.networks import network_class, taken_by
from encbench.training.optimizers import usual_rate

KERNEL_RATES = Search(0.5, 6, log=True)
"""lr_factor of optimizers whose rate comes from lr_crit; the best of sgd's were 1.5 to 3."""
USUAL_RATES = Search(0.1, 3, log=True)
"""lr of the others, in rates of ``usual_rate``.
Adam's best rates on photographs lay in these ranges for every encoding that was tried."""
ENCODING_RATES = Search(0.1, 10, log=True)
BATCHES = (0.5, 1, 2)
WIDTHS = Search(choices=(16, 32, 64, 128))
"""Of the network under a budget: what it does not take is the encoding's."""


def space_of(
    entry: SuiteEntry,
    cls: type[Encoding],
    default: CellConfig,
    optimizer: Optimizer,
    options: Sequence[SpaceOption],
    *,
    dimensions: Collection[int],
    points: int | None,
    budgeted: bool = False,
    network: NetworkConfig | None = None,
) -> list[Dimension]:
    """What is searched of an encoding: its own parameters that are not given, those of its network
    and activation likewise where they were chosen by name, and its training.

    Args:
        entry: the encoding in the suite.
        default: a cell of it.
        optimizer: of that cell.
        options: what the user asks for; those with one value are in ``entry`` already.
        dimensions: d of the tasks.
        points: of the smallest epoch, which is the largest batch; None where it is not known.
        budgeted: whether the number of parameters is given: sizes of the encoding follow from it,
            and how many of them are the network's is searched instead.
        network: the suite's settings, for parameters that are given there.

    Raises:
        UsageError: no range of the learning rate is known for the optimizer, or ``lr_factor``
            has no effect with it.
    """
    asked = {
        (option.owner, option.key): option
        for option in options
        if option.owner in ("training", "network", default.encoding.name)
    }
    space = []
    for parameter in parameters_of(cls):
        option = asked.get((default.encoding.name, parameter.name))
        search = parameter.search if option is None else option.search
        if search is None or (option is None and parameter.name in entry.parameters):
            continue
        if budgeted and option is None and parameter.name in cls.size_parameters:
            continue
        dimension = Dimension("parameters", parameter.name, search, parameter.whole)
        middle = search.value(0.5, whole=parameter.whole)
        given = default.encoding.parameters | {parameter.name: middle}
        # what another parameter that is given replaces: max_resolution beside resolutions
        if option is not None or not all(refusal_of(partial(cls, d, **given)) for d in dimensions):
            space.append(dimension)
    space += _of_network(entry, cls, default, options, network or NetworkConfig(), dimensions)
    ours = {"encoding_lr_factor": ENCODING_RATES} if _learns(cls, dimensions, default) else {}
    ours |= _rates(default, cls, optimizer, asked) | _batches(default, points)
    batch = asked.get(("training", "batch_size"))
    if batch is not None and batch.search is not None and points is not None:
        largest = max(end for end in batch.search.ends if isinstance(end, int | float))
        if largest > points:
            raise UsageError(
                f"--space {batch.name}: a batch of {largest:g} points is more than there are, "
                f"{points}; give smaller ones"
            )
    if budgeted and cls.size_parameters:
        ours["width"] = WIDTHS
    for section, keys in SEARCHABLE.items():
        for key in keys:
            option = asked.get((section, key))
            found = ours.get(key) if option is None else option.search
            if found is not None:
                whole = key in ("batch_size", "width", "depth")
                space.append(Dimension(section, key, found, whole))  # type: ignore[arg-type] # a key of SEARCHABLE
    return space


def _of_network(
    entry: SuiteEntry,
    cls: type[Encoding],
    default: CellConfig,
    options: Sequence[SpaceOption],
    network: NetworkConfig,
    dimensions: Collection[int],
) -> list[Dimension]:
    """Parameters of the network's class and of its activation that are not given."""
    asked = {option.name: option for option in options if option.owner in NAMED}
    found = []
    for owner, kind in NAMED.items():
        setting = owner.partition(".")[2]
        chosen = getattr(default.network, setting)
        if chosen in ("mlp", "auto"):
            continue
        given = parse_selector(entry.network.get(setting, getattr(network, setting)))[1]
        offer, _, _ = default_registry().choose(kind, chosen)
        for parameter in parameters_of(offer.load()):
            key = f"{setting}.{parameter.name}"
            option = asked.get(f"network.{key}")
            search = parameter.search if option is None else option.search
            if search is None or (option is None and parameter.name in given):
                continue
            for value in search.ends:
                try:
                    parameter.validate(value)
                except ValueError as error:
                    raise UsageError(
                        f"--space network.{key}={value!r}: {error}; expected {parameter.type}"
                    ) from None
            dimension = Dimension("network", key, search, parameter.whole)
            middle = [search.value(0.5, whole=parameter.whole)]
            # what has no effect here, such as the frequency of sines in NTK parameterization
            if option is not None or not refusals(cls, default, [dimension], dimensions)(middle):
                found.append(dimension)
    return found


def _rates(
    default: CellConfig,
    cls: type[Encoding],
    optimizer: Optimizer,
    asked: Mapping[tuple[str, str], SpaceOption],
) -> dict[str, Search]:
    """Range of the learning rate, or of its factor where it comes from the kernel."""
    by_kernel = optimizer.lr_from_kernel(1.0) is not None
    name = default.training.optimizer
    if ("training", "lr_factor") in asked and not by_kernel:
        raise UsageError(
            f"--space training.lr_factor: the rate of {name} does not come from lr_crit; "
            "give --space training.lr=LOW..HIGH:log"
        )
    if ("training", "lr") in asked or ("training", "lr_factor") in asked:
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
    """Whether the encoding has parameters that are trained; True where that cannot be told."""
    try:
        encoding = on_meta(partial(cls, min(dimensions), **default.encoding.parameters))
    except ParameterError:
        return False
    return encoding is None or any(True for _ in encoding.parameters())
