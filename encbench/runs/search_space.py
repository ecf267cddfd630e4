"""Where the settings of an encoding and its network are searched, and those that are tried."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import ValidationError
from scipy.stats import qmc

from encbench.contracts.encoding import Encoding
from encbench.contracts.optimizer import Optimizer
from encbench.contracts.search import Search
from encbench.errors import ParameterError, UsageError, did_you_mean
from encbench.network.activations import activation_of
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import format_selector, parse_selector, parse_value
from encbench.suite.budget import without_memory
from encbench.suite.config import CellConfig, NetworkConfig, PluginRef, TrainingConfig
from encbench.suite.file import SuiteEntry
from encbench.suite.messages import describe_error
from encbench.suite.networks import build_network, network_class, taken_by
from encbench.training.optimizers import usual_rate

Built = TypeVar("Built")
SEARCHABLE = {
    "training": ("lr", "lr_factor", "encoding_lr_factor", "batch_size", "schedule"),
    "network": ("width", "depth"),
}
"""Settings that are not an encoding's own. Others decide what is compared, such as the length of
training, or what a learning rate means, such as the optimizer."""
NAMED = {"network.kind": "network", "network.activation": "activation"}
"""Settings of the network that name a plug-in, whose parameters are searched too."""
KERNEL_RATES = Search(0.5, 6, log=True)
"""lr_factor of optimizers whose rate comes from lr_crit; the best of sgd's were 1.5 to 3."""
USUAL_RATES = Search(0.1, 3, log=True)
"""lr of the others, in rates of ``usual_rate``.
Adam's best rates on photographs lay in these ranges for every encoding that was tried."""
ENCODING_RATES = Search(0.1, 10, log=True)
BATCHES = (0.5, 1, 2)
WIDTHS = Search(choices=(16, 32, 64, 128))
"""Of the network under a budget: what it does not take is the encoding's."""
MOST_TRIES = 64
"""Points looked at for each trial, at most: of those that repeat a setting or give an encoding
that cannot be built, the next one takes the place."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched."""

    section: Literal["parameters", "training", "network"]
    """The table of a suite's entry that it belongs to."""
    key: str
    """ "activation.omega" is the parameter omega of the network's activation."""
    search: Search
    whole: bool
    """Whether its numbers are whole ones."""

    @property
    def name(self) -> str:
        """ "levels" of an encoding, "training.lr" of the rest."""
        return self.key if self.section == "parameters" else f"{self.section}.{self.key}"


@dataclass(frozen=True)
class SpaceOption:
    """What ``--space OWNER.KEY=…`` asks for."""

    owner: str
    """ "training", "network", one of ``NAMED``, or an encoding."""
    key: str
    search: Search | None
    fixed: Any = None
    """The one value, where nothing is to be searched."""

    @property
    def name(self) -> str:
        return f"{self.owner}.{self.key}"


def parse_space(text: str) -> SpaceOption:
    """ "ffe.levels=4..12", "training.lr=1e-4..1e-2:log", "training.batch_size=64|256" or "=64".

    Raises:
        UsageError: it is none of these, or the range is empty.
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
    """Refuse a name or a value that cannot be meant.

    Args:
        option: what the user asks for.
        encodings: those that are tuned, by name.

    Raises:
        UsageError: says which.
    """
    where = f"--space {option.name}"
    if option.owner in NAMED:
        if option.search is None:
            raise UsageError(
                f"{where}: one value is not searched; give it with the name, such as "
                f"--set {option.owner}=NAME:{option.key}={option.fixed}"
            )
        return  # which parameters there are depends on the cells
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
    try:
        for value in [option.fixed] if option.search is None else option.search.ends:
            if cls is not None:
                parameters[option.key].validate(value)
            else:
                model.model_validate({option.key: value})
    except ValidationError as error:
        raise UsageError(f"{where}: {describe_error(error, model)}") from None
    except ValueError as error:
        expected = parameters[option.key].type
        raise UsageError(f"{where}={value!r}: {error}; expected {expected}") from None


def fixed_by(entry: SuiteEntry, name: str, options: Sequence[SpaceOption]) -> SuiteEntry:
    """The entry of the encoding ``name`` with what ``--space`` gives one value."""
    for option in options:
        if option.search is None and option.owner in ("training", "network", name):
            section = option.owner if option.owner in SEARCHABLE else "parameters"
            changed = {**getattr(entry, section), option.key: option.fixed}
            entry = entry.model_copy(update={section: _with_auto(section, changed, option.key)})
    return entry


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
        if option is not None or not all(_refusal(partial(cls, d, **given)) for d in dimensions):
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
        encoding = _on_meta(partial(cls, min(dimensions), **default.encoding.parameters))
    except ParameterError:
        return False
    return encoding is None or any(True for _ in encoding.parameters())


def _refusal(build: Callable[[], object]) -> str:
    """Why an encoding or a network cannot be built; "" where it can."""
    try:
        _on_meta(build)
    except ParameterError as error:
        return str(error)
    return ""


def _names(
    space: Sequence[Dimension], values: Sequence[Any], network: NetworkConfig
) -> dict[str, str]:
    """The settings of ``NAMED`` with these values of their parameters: "sine:omega=17.0"."""
    found: dict[str, str] = {}
    for dimension, value in zip(space, values, strict=True):
        setting, dot, parameter = dimension.key.partition(".")
        if dot:
            name, given = parse_selector(found.get(setting, getattr(network, setting)))
            found[setting] = format_selector(name, given | {parameter: value})
    return found


def searched_value(dimension: Dimension, cell: CellConfig) -> Any:
    """What a cell has of a dimension."""
    if dimension.section != "network" or "." not in dimension.key:
        tables = {"parameters": cell.encoding.parameters}
        tables |= {"training": dict(cell.training), "network": dict(cell.network)}
        return tables[dimension.section][dimension.key]
    setting, _, key = dimension.key.partition(".")
    chosen = getattr(cell.network, setting)
    return default_registry().choose(NAMED[f"network.{setting}"], chosen)[1][key]


def _on_meta(build: Callable[[], Built]) -> Built | None:
    """What is built, without memory for its values; None where it cannot be built like that."""
    try:
        with without_memory():
            return build()
    except ParameterError:
        raise
    except Exception:
        # another cause may lie in the device; a cell that runs records its error
        return None


def drawing_seed(seed: int, encoding: PluginRef, given: Mapping[str, Any]) -> int:
    """The seed of an encoding's drawing: of the tuning's, its name and what is given of it."""
    identity = [seed, encoding.distribution, encoding.name, given]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def draw_settings(
    space: Sequence[Dimension],
    count: int,
    seed: int,
    *,
    default: Sequence[Any] = (),
    possible: Callable[[Sequence[Any]], bool] = lambda values: True,
) -> list[list[Any]]:
    """Settings that differ, from a scrambled Sobol sequence.

    Its points cover a space more evenly than independent ones. The k-th setting does not depend on
    how many are drawn.

    Args:
        space: what is searched.
        count: how many to draw.
        seed: of the scrambling (Matoušek, 1998: a linear matrix scramble and a digital shift).
        default: the values that are tried anyway.
        possible: which settings can be tried.

    Returns:
        The values in the order of ``space``; fewer than ``count`` where there are no more.
    """
    if not space or count < 1:
        return []
    sequence = qmc.Sobol(len(space), scramble=True, seed=np.random.default_rng(seed))
    block = max(1, math.ceil(math.log2(count)))
    found: list[list[Any]] = []
    seen = {json.dumps(list(default))}
    # blocks of powers of 2: scipy warns of any other number of points
    while len(found) < count and sequence.num_generated < MOST_TRIES * (1 << block):
        size = max(block, int(sequence.num_generated).bit_length() - 1)
        for point in sequence.random_base2(size):
            values = [
                dimension.search.value(share, whole=dimension.whole)
                for dimension, share in zip(space, point.tolist(), strict=True)
            ]
            text = json.dumps(values)
            if text not in seen and possible(values):
                found.append(values)
            seen.add(text)
    return found[:count]


def _with_auto(section: str, table: dict[str, Any], key: str) -> dict[str, Any]:
    """The table of an entry; a factor of lr_crit has an effect at lr = "auto" only."""
    return {**table, "lr": "auto"} if (section, key) == ("training", "lr_factor") else table


def with_values(
    entry: SuiteEntry,
    space: Sequence[Dimension],
    values: Sequence[Any],
    default: CellConfig,
    label: str,
) -> SuiteEntry:
    """The entry with one setting of its space; ``default`` is a cell of it."""
    changed: dict[str, dict[str, Any]] = {}
    named = _names(space, values, default.network)
    for dimension, value in zip(space, values, strict=True):
        section = changed.setdefault(dimension.section, dict(getattr(entry, dimension.section)))
        if "." not in dimension.key:
            section[dimension.key] = value
        changed[dimension.section] = _with_auto(dimension.section, section, dimension.key)
    if named:
        changed["network"] |= named
    return entry.model_copy(update={**changed, "label": label})


def refusals(
    cls: type[Encoding],
    default: CellConfig,
    space: Sequence[Dimension],
    dimensions: Collection[int],
) -> Callable[[Sequence[Any]], str]:
    """Of values of the space, why encoding or network cannot be built with them; "" where they
    can."""

    def refusal(values: Sequence[Any]) -> str:
        own = {
            dimension.key: value
            for dimension, value in zip(space, values, strict=True)
            if dimension.section == "parameters"
        }
        parameters = default.encoding.parameters | own
        named = _names(space, values, default.network)
        network = default.network.model_copy(update=named)

        def build(in_dim: int) -> object:
            encoding = cls(in_dim, **parameters)
            return build_network(network, encoding, out_dim=1) if named else encoding

        return next(filter(None, (_refusal(partial(build, d)) for d in dimensions)), "")

    return refusal
