"""Encodings sized to a number of parameters, so that they are compared at equal cost.

The network is fixed, and the encoding's ``size_parameters`` are chosen so that the parameters of
both together come within ``TOLERANCE`` of the budget. If that is impossible, as for an encoding
without a table, the network's width is changed; an encoding that is itself a layer of the network
(``width_parameter``) has the same width. If the network is too large, or leaves the encoding
less than an eighth of the budget, an encoding of at most half of the budget keeps its sizes, and
another is sized to half of it. Models are built on torch's device "meta", which allocates nothing.

On that device torch computes expressions such as ``2 * x`` in Python, and imports torch._dynamo for
the first one, which takes two seconds. Constructors of built-in encodings avoid it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import attrgetter
from typing import Any

from encbench.contracts.encoding import Encoding
from encbench.contracts.task import Task
from encbench.errors import EncbenchError, PluginError, SuiteError, error_line
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.registry import Registry
from encbench.suite.config import CellConfig, NetworkConfig, PluginRef, sorted_json
from encbench.suite.networks import build_network, built_encoding, without_memory

TOLERANCE = 0.05
"""Maximum difference from the budget, as a share of it."""
LARGEST = 1 << 24
"""Upper limit of the sizes that are tried."""
STRIDE = 8
"""Number of neighbouring sizes tried where one cannot be built."""
NEXT = 2
"""Number of sizes below and above the target that are tried where several keep proportions."""
DISTORTION = 1.4
"""Factor by which proportions of sizes may change before the network's width is changed."""
LEAST_WIDTH = 8
"""Minimum width of a network that is narrowed to meet a budget; narrower ones hardly learn."""
SHARES = 1 / 2, 1 / 4, 1 / 8
"""Shares of the budget that an encoding may have beside a network that has to be narrowed; the
first with which the network can have the rest is taken."""
TOTAL = attrgetter("count")
MOST_SIZINGS = 4096  # in the cache
_sizings: dict[Any, Sizing] = {}


@dataclass(frozen=True)
class Sizing:
    """A choice of sizes and the number of parameters that it gives."""

    count: int
    own: int
    """Number of parameters of the encoding alone."""
    parameters: dict[str, Any]
    """All parameters of the encoding."""
    width: int | None
    """Width of the network; None if it has none."""
    chosen: dict[str, Any] = field(default_factory=dict)
    """The sizes that were chosen: parameters of the encoding, or the network's width."""
    least: tuple[str, ...] = ()
    """Names of the chosen sizes that were reduced to their minimum."""

    def __str__(self) -> str:
        sizes = ", ".join(f"{name}={value}" for name, value in self.chosen.items())
        return f"{self.count:,} parameters with {sizes or 'the sizes given'}"


def size_names(encoding: type[Encoding]) -> list[str]:
    """Names of the parameters that a budget may change."""
    return [name for names in encoding.size_parameters for name in _group(names)]


def _group(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def dimensions(task: type[Task], parameters: Mapping[str, Any], label: str) -> tuple[int, int]:
    """Number of coordinates and of output channels, from the data if the class has none.

    Raises:
        SuiteError: the data cannot be read.
    """
    known: Any = task
    if not all(isinstance(getattr(task, name, None), int) for name in ("in_dim", "out_dim")):
        try:
            known = task(**deepcopy(dict(parameters)))
        except (Exception, SystemExit) as error:
            why = error if isinstance(error, EncbenchError) else error_line(error)
            raise SuiteError(
                f"the number of parameters depends on the data of {label!r}, which cannot be "
                f"read: {why}"
            ) from None
    return known.in_dim, known.out_dim


def sized(
    encoding: type[Encoding],
    reference: PluginRef,
    network: NetworkConfig,
    ends: tuple[int, int],
    budget: int,
    registry: Registry | None = None,
    *,
    tied: bool = False,
) -> Sizing:
    """Choose sizes whose number of parameters is near the budget; cached, whatever the label.

    Args:
        encoding: its class.
        reference: the encoding as requested; only its ``size_parameters`` may change.
        network: complete; only its width may change.
        ends: dimensions of the task's points and of its values.
        budget: number of parameters of the encoding and the network together.
        registry: where the network is looked up; default: this environment.
        tied: whether the encoding's ``width_parameter`` follows the network's width.

    Raises:
        SuiteError: no size comes near enough; the message names the nearest.
    """
    layer = encoding.width_parameter if tied and network.width is not None else None
    terms = encoding, sorted_json(reference.parameters), network, ends, budget, layer
    if terms not in _sizings:
        if len(_sizings) >= MOST_SIZINGS:
            _sizings.clear()
        search = _Search(encoding, reference, network, ends, budget, registry, layer)
        _sizings[terms] = search.result()
    return _sizings[terms]


class _Search:
    """The search for sizes that come near a budget; arguments as for ``sized``.

    Args:
        layer: the parameter of the encoding that follows the network's width, if any does.
    """

    def __init__(
        self,
        encoding: type[Encoding],
        reference: PluginRef,
        network: NetworkConfig,
        ends: tuple[int, int],
        budget: int,
        registry: Registry | None,
        layer: str | None,
    ) -> None:
        self.encoding, self.reference, self.network = encoding, reference, network
        self.ends, self.budget, self.registry, self.layer = ends, budget, registry, layer
        try:
            self.given = self._sizing(reference.parameters, network.width, {})
        except EncbenchError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"encoding {reference.name!r} of {reference.distribution} cannot be built without "
                f'memory (torch\'s device "meta"), as a budget needs: {error_line(error)}'
            ) from error
        self.sizes = self.given.parameters | self._built_values(
            self.given.parameters, size_names(encoding)
        )

    def result(self) -> Sizing:
        """The best sizing.

        Raises:
            SuiteError: it is not within tolerance of the budget.
        """
        best, found = self._by_sizes(self.budget, TOTAL)
        fits = self.layer is None and _within_tolerance(best.count, self.budget)
        # the network leaves the encoding nearly nothing
        crowded = best.own < min(self.given.own, self.budget * SHARES[-1])
        if crowded or not fits:
            nearest = [] if fits else sorted(found, key=self._rank(self.budget))
            best = self._with_another_width(best, found, nearest, crowded)
        chosen = best.chosen.items()
        least = tuple(name for name, value in chosen if self._is_least(best, name, value))
        if not _within_tolerance(best.count, self.budget):
            raise SuiteError(self._refusal(best, least))
        return replace(best, least=least)

    def _with_another_width(
        self, best: Sizing, found: Sequence[Sizing], nearest: Iterable[Sizing], crowded: bool
    ) -> Sizing:
        """Change the width where the steps of the sizes are too coarse; where the budget is out of
        their reach, try the width alone first."""
        sides = {one.count < self.budget for one in found}
        first: Iterable[Sizing] = [] if len(sides) == 2 and not crowded else [self.given]
        if (crowded or sides == {False}) and self.given.own > self.budget * SHARES[0]:
            own = attrgetter("own")
            first = (self._by_sizes(round(self.budget * share), own)[0] for share in SHARES)
        for start in chain(first, nearest):
            key = _distance_to(self.budget)
            changed = min(self._by_width(start, self.layer), key=key, default=best)
            if _within_tolerance(changed.count, self.budget):
                return changed
            best = min(best, changed, key=key)
        return best

    def _by_sizes(
        self, target: int, counted: Callable[[Sizing], int]
    ) -> tuple[Sizing, list[Sizing]]:
        """Change the encoding alone: the best sizing, and all sizings around the target."""
        main, *others = self.encoding.size_parameters or ("",)
        found = self._by(main, self.given, target, counted, NEXT) if main else []
        best = min(found, key=_distance_to(target, counted), default=self.given)
        if _within_tolerance(counted(best), target):
            return best, found
        # combine a size with coarse steps, such as a power of two, with a finer one
        finer = [
            one
            for name in others
            for coarse in found or [self.given]
            for one in self._by(name, coarse, target, counted)
        ]
        near = [
            one
            for one in finer
            if _within_tolerance(counted(one), target) and not self._is_distorted(one)
        ]
        found += finer
        if not near:
            return min(found, key=self._rank(target, counted), default=self.given), found
        best = min(
            near,
            key=lambda one: (self._distortion(one), sum(map(abs, self._changes(one).values()))),
        )
        # the smallest with this count: a hash table larger than the grid changes nothing. None if
        # a parameter that is given excludes the main size
        return [best, *self._by(main, best, counted(best), counted)][-1], found

    def _by(
        self,
        names: str | tuple[str, ...],
        start: Sizing,
        target: int,
        counted: Callable[[Sizing], int] = TOTAL,
        more: int = 0,
    ) -> list[Sizing]:
        """Change one parameter of the encoding, or several in proportion: the sizings just below
        and above the target; then, of several, as many next ones on each side as asked."""
        current = {name: start.parameters.get(name) for name in _group(names)}
        if None in current.values():
            current |= self._built_values(start.parameters, current)

        def at(size: int, sizes: Mapping[str, Any] = current) -> Sizing:
            parameters = self._validated(start.parameters | _scaled(sizes, size))
            chosen = {name: parameters[name] for name in sizes}
            return self._sizing(parameters, start.width, start.chosen | chosen)

        def is_used(name: str) -> bool:
            larger = _built(
                lambda size: at(size, {name: current[name]}), 2 * _largest(current[name])
            )
            return larger is None or larger.count != start.count

        if len(current) > 1:  # a grid may have no volume in 2D
            current = {name: value for name, value in current.items() if is_used(name)}
        found = _around(lambda size: at(size, current), target, counted)
        if more and len(current) > 1 and found:
            size = max(_largest(found[0].parameters[name]) for name in current)
            nearby = range(max(1, size - more), size + more + 2)
            others = (_built(lambda size: at(size, current), near) for near in nearby)
            found += [one for one in others if one is not None]
        return found

    def _by_width(self, start: Sizing, layer: str | None) -> list[Sizing]:
        """Change the width of the network, and with it the parameter ``layer``, if any."""
        if self.network.width is None:
            return []

        def at(size: int) -> Sizing:
            own = {layer: size} if layer else {}
            parameters = self._validated(start.parameters | own)
            return self._sizing(parameters, size, start.chosen | own | {"width": size})

        least = min(LEAST_WIDTH, self.network.width or LEAST_WIDTH)
        around = _around(at, self.budget)
        found = [one for one in around if (one.width or 0) >= least] or [at(least)]
        if layer and not self._any_fits(found):
            # a step of the width is too coarse for a narrow network: make up for it in one layer
            found += [finer for one in found for finer in self._by(layer, one, self.budget)]
            if not self._any_fits(found):
                # or its limits are too narrow: make up for them in the other layers
                found += [other for one in found for other in self._by_width(one, None)]
        return found

    def _any_fits(self, found: Iterable[Sizing]) -> bool:
        return any(_within_tolerance(one.count, self.budget) for one in found)

    def _changes(self, found: Sizing) -> dict[str, float]:
        """log(size / given size) of the chosen sizes; infinite if none was given or built."""
        pairs = {k: (_largest(v), _largest(self.sizes.get(k))) for k, v in found.chosen.items()}
        return {k: math.log(new / old) if old else math.inf for k, (new, old) in pairs.items()}

    def _distortion(self, found: Sizing) -> float:
        """log of the factor by which the proportions of the main sizes changed; 0 for one."""
        names = self.encoding.size_parameters
        main = _group(names[0]) if names else ()
        changes = self._changes(found).items()
        logs = [log for name, log in changes if name in main and log < math.inf]
        return max(logs) - min(logs) if len(logs) > 1 else 0

    def _is_distorted(self, found: Sizing) -> bool:
        """Whether the proportions are so different that the width is changed instead."""
        return self._distortion(found) > math.log(DISTORTION) and self.network.width is not None

    def _rank(
        self, target: int, counted: Callable[[Sizing], int] = TOTAL
    ) -> Callable[[Sizing], Any]:
        return lambda one: (self._is_distorted(one), abs(counted(one) - target))

    def _is_least(self, best: Sizing, name: str, value: Any) -> bool:
        """Whether a chosen size was reduced to its minimum."""
        if name == "width":
            return bool(value <= LEAST_WIDTH)
        asked = self.given.parameters[name]
        if asked is None:
            asked = self._built_values(self.given.parameters, [name]).get(name)
        start = replace(best, parameters=best.parameters | {name: asked})  # for its proportions
        return value != asked and value in [
            one.parameters[name] for one in self._by(name, start, 0)
        ]

    def _refusal(self, best: Sizing, least: Sequence[str]) -> str:
        what = "change the budget, the network or the encoding"
        own = self.given.own
        if not self.encoding.size_parameters and own:
            what = f"its own {own:,} are not sized: give other parameters, or " + what
        if least and best.count > self.budget:
            what = f"{', '.join(least)} cannot be smaller; {what}"
        return (
            f"encoding {self.reference.label!r} cannot have {self.budget:,} parameters with its "
            f"network: nearest is {best}; {what}"
        )

    def _sizing(
        self, parameters: dict[str, Any], width: int | None, chosen: dict[str, Any]
    ) -> Sizing:
        config = self.network.model_copy(update={"width": width})
        counts = _parameter_counts(self.encoding, parameters, config, self.ends, self.registry)
        return Sizing(sum(counts.values()), counts["encoding"], parameters, width, chosen)

    def _validated(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return validate_parameters("encoding", self.reference.name, self.encoding, parameters)

    def _built_values(self, parameters: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """The sizes that an encoding stores under the names of parameters, where these are None."""
        with without_memory():
            built = built_encoding(self.encoding, self.ends[0], parameters)
        found = {name: getattr(built, name, None) for name in names if parameters.get(name) is None}
        return {
            name: value
            for name, value in found.items()
            if isinstance(value, int)
            or (isinstance(value, list) and all(isinstance(item, int) for item in value))
        }


def _distance_to(target: int, counted: Callable[[Sizing], int] = TOTAL) -> Callable[[Sizing], int]:
    return lambda found: abs(counted(found) - target)


def _within_tolerance(count: int, budget: int) -> bool:
    return abs(count - budget) <= TOLERANCE * budget


def _largest(size: Any) -> int:
    return max(size) if isinstance(size, list) else size or 0


def _around(
    at: Callable[[int], Sizing], target: int, counted: Callable[[Sizing], int] = TOTAL
) -> list[Sizing]:
    """The last sizing below the target and the first not below, for counts that grow with size."""
    below, above, smallest = None, None, LARGEST
    low, high, size = 0, LARGEST, 1
    while high - low > 1:
        found = _built(at, size)
        if found is None:
            # a failing size is too small until one has worked, and too large afterwards
            too_large = size > smallest
        else:
            smallest = min(size, smallest)
            too_large = counted(found) >= target
            above, below = (found, below) if too_large else (above, found)
        low, high = (low, size) if too_large else (size, high)
        size = min(2 * low, LARGEST - 1) if high == LARGEST else (low + high) // 2
    return [found for found in (below, above) if found is not None]


def _built(at: Callable[[int], Sizing], size: int) -> Sizing | None:
    """The sizing at the first of ``STRIDE`` sizes from this one on that can be built, if any: a
    size may have to be a multiple of something, such as the number of outputs."""
    for near in range(size, size + STRIDE):
        with suppress(EncbenchError, ArithmeticError, MemoryError, RuntimeError, ValueError):
            return at(near)
    return None


def _scaled(sizes: Mapping[str, Any], largest: int) -> dict[str, Any]:
    """Scale sizes proportionally, so that the maximum is ``largest``; what is None becomes it."""
    most = max(map(_largest, sizes.values()))

    def scaled(value: int | None) -> int:
        return max(1, round(value * largest / most)) if value else largest

    return {
        name: [scaled(one) for one in value] if isinstance(value, list) else scaled(value)
        for name, value in sizes.items()
    }


def parameter_count(
    encoding: type[Encoding],
    parameters: Mapping[str, Any],
    network: NetworkConfig,
    ends: tuple[int, int],
    registry: Registry | None = None,
) -> int:
    """Number of trained parameters, without allocating them; ``ends`` are in_dim and out_dim."""
    return sum(_parameter_counts(encoding, parameters, network, ends, registry).values())


def _parameter_counts(
    encoding: type[Encoding],
    parameters: Mapping[str, Any],
    network: NetworkConfig,
    ends: tuple[int, int],
    registry: Registry | None,
) -> dict[str, int]:
    """The same by part; "encoding" is the encoding's own."""
    with without_memory():
        model = build_network(
            network, built_encoding(encoding, ends[0], parameters), ends[1], registry
        )
    return model.parameter_counts()


def parameters_of_cell(
    cell: CellConfig, registry: Registry, known: dict[str, tuple[int, int]] | None = None
) -> int:
    """Number of trained parameters of a cell's network, the encoding's included.

    Args:
        known: dimensions of the tasks of earlier cells, by content; this task's are added.

    Raises:
        EncbenchError: the task's data cannot be read, or encoding or network cannot be built.
    """
    encoding, task = cell.encoding, cell.task
    known = {} if known is None else known
    if task.content not in known:  # two tasks can have one label
        cls = registry.find("task", task.qualified).load()
        known[task.content] = dimensions(cls, task.parameters, task.shown)
    count: int = registry.find("encoding", encoding.qualified).call(
        lambda cls: parameter_count(
            cls, encoding.parameters, cell.network, known[task.content], registry
        )
    )
    return count
