"""What ``--space`` asks for: settings of an encoding and its network, and where to search them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from encbench.contracts.encoding import Encoding
from encbench.contracts.search import Search
from encbench.errors import UsageError, did_you_mean
from encbench.plugins.parameters import parameters_of
from encbench.plugins.selector import parse_value
from encbench.suite.config import NetworkConfig, TrainingConfig
from encbench.suite.file import SuiteEntry
from encbench.suite.messages import describe_error

SEARCHABLE = {
    "training": ("lr", "lr_factor", "encoding_lr_factor", "batch_size", "schedule"),
    "network": ("width", "depth"),
}
"""Settings that are not an encoding's own. Others decide what is compared, such as the length of
training, or what a learning rate means, such as the optimizer."""
NAMED = {"network.kind": "network", "network.activation": "activation"}
"""Settings of the network that name a plug-in, whose parameters are searched too."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")


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
            entry = entry.model_copy(update={section: with_auto(section, changed, option.key)})
    return entry


def with_auto(section: str, table: dict[str, Any], key: str) -> dict[str, Any]:
    """The table of an entry; a factor of lr_crit has an effect at lr = "auto" only."""
    return {**table, "lr": "auto"} if (section, key) == ("training", "lr_factor") else table
