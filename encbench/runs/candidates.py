"""Candidate settings from a search space: drawn, checked and put into a suite's entry."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from scipy.stats import qmc

from encbench.contracts.encoding import Encoding
from encbench.contracts.search import Search
from encbench.errors import EncbenchError, ParameterError
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.registry import Registry, default_registry
from encbench.plugins.selector import format_selector, parse_selector
from encbench.suite.budget import dimensions, sized
from encbench.suite.config import CellConfig, NetworkConfig, PluginRef
from encbench.suite.file import SuiteEntry
from encbench.suite.networks import build_network, built_encoding, without_memory

Built = TypeVar("Built")
NAMED = {"network.kind": "network", "network.activation": "activation"}
"""Settings of the network that name a plug-in, whose parameters can be searched, too."""
MOST_TRIES = 64
"""Maximum number of Sobol points per trial: a point that repeats a setting, or whose encoding
cannot be built, or that a budget changes, is replaced by the next."""


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched."""

    section: Literal["parameters", "training", "network"]
    """Table of a suite's entry that contains the setting."""
    key: str
    """ "activation.omega" is the parameter omega of the network's activation."""
    search: Search
    whole: bool
    """Whether its values are integers."""

    @property
    def name(self) -> str:
        """ "levels" for an encoding's parameter; with the table, "training.lr", for others."""
        return self.key if self.section == "parameters" else f"{self.section}.{self.key}"

    @property
    def lowest(self) -> Any:
        return self.search.value(0.0, whole=self.whole)

    @property
    def middle(self) -> Any:
        return self.search.value(0.5, whole=self.whole)


def drawing_seed(seed: int, encoding: PluginRef, given: Mapping[str, Any]) -> int:
    """Seed for drawing an encoding's settings, from the tuning's seed, its name and ``given``."""
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
    """Draw distinct settings from a scrambled Sobol sequence.

    Its points cover a space more evenly than independent ones. The k-th setting does not depend on
    how many are drawn.

    Args:
        space: dimensions of the search space.
        count: number of settings to draw.
        seed: seed of the scrambling (Matoušek, 1998: linear matrix scramble and digital shift).
        default: values that are tried in any case, and therefore not drawn.
        possible: returns whether a setting can be tried.

    Returns:
        Lists of values in the order of ``space``; fewer than ``count`` if no more are found.
    """
    if not space or count < 1:
        return []
    sequence = qmc.Sobol(len(space), scramble=True, seed=np.random.default_rng(seed))
    block = max(1, math.ceil(math.log2(count)))
    found: list[list[Any]] = []
    seen = {json.dumps(list(default))}
    # blocks of powers of 2: scipy warns about other numbers of points
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


def with_values(
    entry: SuiteEntry,
    space: Sequence[Dimension],
    values: Sequence[Any],
    default: CellConfig,
    label: str,
) -> SuiteEntry:
    """The entry with the given values of its search space; ``default`` is a cell of the entry."""
    changed: dict[str, dict[str, Any]] = {}
    named = _names(space, values, default.network)
    for dimension, value in zip(space, values, strict=True):
        section = changed.setdefault(dimension.section, dict(getattr(entry, dimension.section)))
        if "." not in dimension.key:
            section[dimension.key] = value
        changed[dimension.section] = with_auto(dimension.section, section, dimension.key)
    if named:
        changed["network"] |= named
    return entry.model_copy(update={**changed, "label": label})


def with_auto(section: str, table: dict[str, Any], key: str) -> dict[str, Any]:
    """The table, with lr = "auto" if ``key`` is lr_factor, which has no effect otherwise."""
    return {**table, "lr": "auto"} if (section, key) == ("training", "lr_factor") else table


def refusals(
    cls: type[Encoding],
    default: CellConfig,
    space: Sequence[Dimension],
    dimensions: Collection[int],
) -> Callable[[Sequence[Any]], str]:
    """Return a function that says why encoding or network cannot be built with given values of the
    space; "" if they can."""

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
            encoding = built_encoding(cls, in_dim, parameters)
            return build_network(network, encoding, out_dim=1) if named else encoding

        return next(filter(None, (refusal_of(partial(build, d)) for d in dimensions)), "")

    return refusal


def budget_refusals(
    cls: type[Encoding],
    entry: SuiteEntry,
    cells: Sequence[CellConfig],
    space: Sequence[Dimension],
    budget: int,
    registry: Registry,
) -> Callable[[Sequence[Any]], str]:
    """Return a function that says which of given values of the space cannot be kept with a number
    of parameters, or that it cannot be met; "" if all are trained as they are.

    Args:
        cells: cells of the entry's default setting, on every target.
        budget: number of parameters of the encoding and the network together.
    """
    searched = {dimension.name for dimension in space}
    targets = {(cell.task.content, cell.network): cell for cell in cells}
    ends = [
        (
            cell,
            dimensions(
                registry.find("task", cell.task.qualified).load(),
                cell.task.parameters,
                cell.task.shown,
            ),
        )
        for cell in targets.values()
    ]

    def refusal(values: Sequence[Any]) -> str:
        trial = with_values(entry, space, values, cells[0], entry.text)
        if "width" not in trial.network:
            return ""  # neither the width nor a size of the encoding is searched
        asked = validate_parameters("encoding", entry.name, cls, trial.parameters)
        reference = cells[0].encoding.model_copy(update={"parameters": asked})
        shape = {key: trial.network[key] for key in ("width", "depth") if key in trial.network}
        for cell, in_and_out in ends:
            network = cell.network.model_copy(update=shape | _names(space, values, cell.network))
            try:
                found = sized(cls, reference, network, in_and_out, budget, registry)
            except EncbenchError as error:
                return str(error)
            sizes = {**found.parameters, "network.width": found.width}
            for name, value in {**asked, "network.width": network.width}.items():
                if name in searched and sizes[name] != value:
                    return f"{budget:,} parameters need {name}={sizes[name]} instead of {value}"
        return ""

    return refusal


def searched_value(dimension: Dimension, cell: CellConfig) -> Any:
    """Value of a dimension in a cell."""
    if dimension.section != "network" or "." not in dimension.key:
        tables = {"parameters": cell.encoding.parameters}
        tables |= {"training": dict(cell.training), "network": dict(cell.network)}
        return tables[dimension.section][dimension.key]
    setting, _, key = dimension.key.partition(".")
    chosen = getattr(cell.network, setting)
    return default_registry().choose(NAMED[f"network.{setting}"], chosen)[1][key]


def _names(
    space: Sequence[Dimension], values: Sequence[Any], network: NetworkConfig
) -> dict[str, str]:
    """Selectors for ``NAMED`` settings, with values of their parameters: "sine:omega=17.0"."""
    found: dict[str, str] = {}
    for dimension, value in zip(space, values, strict=True):
        setting, dot, parameter = dimension.key.partition(".")
        if dot:
            name, given = parse_selector(found.get(setting, getattr(network, setting)))
            found[setting] = format_selector(name, given | {parameter: value})
    return found


def refusal_of(build: Callable[[], object]) -> str:
    """Why an encoding or a network cannot be built; "" if it can."""
    try:
        on_meta(build)
    except ParameterError as error:
        return str(error)
    return ""


def on_meta(build: Callable[[], Built]) -> Built | None:
    """Build without memory for values, on torch's meta device; None if that is not possible."""
    try:
        with without_memory():
            return build()
    except ParameterError:
        raise
    except Exception:
        # the meta device may be the cause; otherwise the cell fails and records the error
        return None
