"""Which plug-in offers an encoding, task, metric, suite or verb of a given name."""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from encbench.errors import (
    AmbiguousNameError,
    EncbenchError,
    PluginError,
    UnknownNameError,
    UsageError,
    did_you_mean,
    error_line,
)
from encbench.plugins.host import Plugin, PluginHost, default_host
from encbench.plugins.isolation import ctrl_c_noted, isolated, output_to_stderr
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.plugins.selector import format_selector, parse_selector

_BASES = {
    "encoding": "Encoding",
    "task": "Task",
    "metric": "Metric",
    "network": "Network",
    "activation": "Activation",
    "optimizer": "Optimizer",
    "schedule": "Schedule",
}
"""Kind to the base class in ``encbench``, whose import imports torch."""


@contextmanager
def named_failures(whose: Callable[[BaseException], str]) -> Iterator[None]:
    """Inside, what a plug-in raises becomes a PluginError that names it: also ``sys.exit``, a
    KeyboardInterrupt of its own and whatever else is no Exception, which would end the program.

    A lack of memory, Ctrl-C of the user and what stops a cell pass through.

    Args:
        whose: says of an exception which plug-in failed; "" lets it pass.
    """
    pressed: list[KeyboardInterrupt] = []
    try:
        with ctrl_c_noted() as pressed:
            yield
    except BaseException as error:
        if pressed:
            raise pressed[0] from error
        stops = not isinstance(error, Exception) and type(error).__module__.startswith("encbench.")
        if stops or not (failed := whose(error)):
            raise
        from encbench.device import lacks_memory  # torch

        if lacks_memory(error):
            raise
        raise PluginError(f"{failed} failed: {error_line(error)}") from error


@dataclass(frozen=True)
class Offer:
    """One name that one plug-in offers."""

    kind: str
    name: str
    target: Any
    """The class or function, or a lazy "module:name"."""
    plugin: Plugin

    @property
    def distribution(self) -> str:
        return self.plugin.distribution

    def __str__(self) -> str:
        """ "encoding 'mpe' of encbench 0.1.0"."""
        return f"{self.kind} {self.name!r} of {self.distribution} {self.plugin.version}"

    def load(self) -> Any:
        """The class or function; imports its module.

        Raises:
            PluginError: it cannot be imported, or is not a subclass of the kind's base class; names
                the distribution.
        """
        return self._loaded

    @cached_property
    def _loaded(self) -> Any:
        if not isinstance(self.target, str):
            return self._checked(self.target)
        module, _, attribute = self.target.partition(":")
        try:
            with isolated():
                loaded = getattr(import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self} cannot be loaded from {self.target!r}: {error_line(error)}"
            ) from error
        return self._checked(loaded)

    def _checked(self, loaded: Any) -> Any:
        expected = _BASES.get(self.kind)
        if expected is None:
            if self.kind == "command" and not callable(loaded):
                raise PluginError(f"{self} is {loaded!r}, expected a function")
            return loaded
        base = getattr(import_module("encbench"), expected)
        if not (isinstance(loaded, type) and issubclass(loaded, base)):
            what = f"the class {loaded.__qualname__}" if isinstance(loaded, type) else repr(loaded)
            raise PluginError(f"{self} is {what}, expected a subclass of encbench.{expected}")
        return loaded

    def call(self, function: Callable[[Any], Any]) -> Any:
        """What ``function`` makes of the class or function.

        Raises:
            PluginError: it, or loading, raised an exception; names the distribution. Errors of
                encbench and a lack of memory pass through.
        """
        with (
            output_to_stderr(),
            named_failures(lambda error: "" if isinstance(error, EncbenchError) else str(self)),
        ):
            return function(self.load())

    def summary(self) -> str:
        """The first line of the docstring, read from source where the target is lazy.

        A suite's is its ``description``.
        """
        if self.kind == "suite":
            if not Path(self.target).is_file():
                return f"(no file {str(self.target)!r})"
            try:
                suite = tomllib.loads(Path(self.target).read_text(encoding="utf-8"))
            except (OSError, ValueError, TypeError, RecursionError) as error:
                return f"({error_line(error)})"
            return str(suite.get("description", ""))
        if not isinstance(self.target, str):
            return (inspect.getdoc(self.target) or "").partition("\n")[0]
        module, _, attribute = self.target.partition(":")
        try:
            spec = find_spec(module)
            if spec is None or spec.origin is None:
                return f"(module {module} not found)"
            tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        except (ImportError, OSError, SyntaxError, ValueError) as error:
            return f"({error_line(error)})"
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
                return (ast.get_docstring(node) or "").partition("\n")[0]
        return ""


class Registry:
    """Everything that the plug-ins of a host offer, by kind and name."""

    def __init__(self, host: PluginHost) -> None:
        self.host = host
        self._offers: dict[str, dict[str, list[Offer]]] = defaultdict(lambda: defaultdict(list))
        for plugin in host.plugins:
            for kind, named in plugin.offers.items():
                for name, target in named.items():
                    self._offers[kind][name].append(Offer(kind, name, target, plugin))

    def offers(self, kind: str) -> list[Offer]:
        """All offers of a kind, in the order the plug-ins give them."""
        return [offer for named in self._offers[kind].values() for offer in named]

    def named(self, kind: str) -> dict[str, Offer]:
        """Name to the one offer that it means: a built-in, or that of the first plug-in."""
        return {
            name: min(offers, key=lambda offer: offer.distribution != "encbench")
            for name, offers in self._offers[kind].items()
        }

    def find(self, kind: str, name: str) -> Offer:
        """The one offer of that name; ``distribution:name`` picks one of several.

        A built-in's name is the built-in, whoever else takes it.

        Raises:
            UnknownNameError: no plug-in offers it; the message gives the nearest names, and the
                broken plug-ins that may have offered it.
            AmbiguousNameError: several plug-ins do; the message names their distributions.
        """
        distribution, _, short = name.rpartition(":")
        found = [
            offer
            for offer in self._offers[kind].get(short, [])
            if distribution in ("", offer.distribution)
        ]
        if len(found) > 1:
            found = [offer for offer in found if offer.distribution == "encbench"] or found
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(f"{offer.distribution}:{short}" for offer in found)
            raise AmbiguousNameError(
                f"{kind} {name!r} is offered by {len(found)} plug-ins; say {choices}"
            )
        raise UnknownNameError(self._unknown(kind, name))

    def choose(self, kind: str, text: str) -> tuple[Offer, dict[str, Any], str]:
        """What "name:key=value,…" stands for.

        Returns:
            The offer, all its parameters, and the shortest text that stands for them.

        Raises:
            UsageError: the text is malformed, or a name or a parameter in it is wrong.
        """
        name, given = parse_selector(text)
        offer = self.find(kind, name)
        cls = offer.load()
        parameters = validate_parameters(kind, name, cls, given)
        defaults = {parameter.name: parameter.default for parameter in parameters_of(cls)}
        changed = {key: value for key, value in parameters.items() if value != defaults[key]}
        builtin = offer.distribution == "encbench"
        short = offer.name if builtin else f"{offer.distribution}:{offer.name}"
        return offer, parameters, format_selector(short, changed)

    def build(self, kind: str, text: str) -> Any:
        """An instance of what "name:key=value,…" stands for.

        Raises:
            UsageError: as ``choose``.
            PluginError: its class raised something else; names its distribution.
        """
        offer, parameters, _ = self.choose(kind, text)
        return offer.call(lambda cls: cls(**parameters))

    def find_any(self, kinds: Collection[str], name: str, words: Iterable[str] = ()) -> list[Offer]:
        """What is offered under that name in any of the kinds: at least one offer.

        Args:
            words: what else the caller takes, such as the kinds themselves.

        Raises:
            UnknownNameError: no kind has it; the message gives the nearest name of all kinds, or
                word.
            AmbiguousNameError: as ``find``.
        """
        found: list[Offer] = []
        for kind in kinds:
            with suppress(UnknownNameError):
                found.append(self.find(kind, name))
        if found:
            return found
        *others, last = kinds
        known = [*words, *(known for kind in kinds for known in self._offers[kind])]
        listing = f"`encbench list` shows what is installed.{self._lost()}"
        hint = did_you_mean(name.rpartition(":")[2], known, listing)
        raise UnknownNameError(f"unknown {', '.join(others)} or {last} {name!r}{hint}")

    def conflicts(self) -> list[tuple[str, str, list[str]]]:
        """Names that several plug-ins offer: (kind, name, distributions)."""
        return [
            (kind, name, [offer.distribution for offer in offers])
            for kind, named in self._offers.items()
            for name, offers in named.items()
            if len(offers) > 1
        ]

    def conflict_notes(self) -> list[tuple[str, str]]:
        """Of each of them what it is, and how to pick another offer than the built-in."""
        return [
            (
                f"{kind} {name!r}",
                f"offered by {' and '.join(found)}; {found[-1]}:{name} picks the last",
            )
            for kind, name, found in self.conflicts()
        ]

    def _unknown(self, kind: str, name: str) -> str:
        known = sorted(self._offers[kind])
        first, _, parameter = name.partition(":")
        if first in known and parameter.isidentifier():
            parameters = [p.name for p in parameters_of(self._offers[kind][first][0].load())]
            how = (
                f"a parameter is given as {first}:KEY=VALUE, what another distribution offers as "
                "DISTRIBUTION:NAME"
            )
            return f"unknown {kind} {name!r}{did_you_mean(parameter, parameters, how)}"
        listing = f"installed: {', '.join(known) or 'none'}.{self._lost()}"
        hint = did_you_mean(name.rpartition(":")[2], known, listing, count=2)
        return f"unknown {kind} {name!r}{hint}"

    def _lost(self) -> str:
        """What broken plug-ins may have offered."""
        broken = [f"{p.distribution} ({p.problem})" for p in self.host.broken()]
        return f" A broken plug-in may have offered it: {'; '.join(broken)}." if broken else ""


def taking(offers: Iterable[Offer], given: Mapping[str, Any]) -> list[tuple[Offer, dict[str, Any]]]:
    """Those offers that take the given parameters, each with the values of all of its own.

    Raises:
        UsageError: none takes them; the first one's reason.
    """
    found, refusals = [], []
    for offer in offers:
        try:
            if offer.kind == "suite":
                raise UsageError(f"the suite {offer.name} has no parameters")
            values = validate_parameters(offer.kind, offer.name, offer.load(), dict(given))
            found.append((offer, values))
        except UsageError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found


@cache
def default_registry() -> Registry:
    """Names offered in this environment."""
    return Registry(default_host())
