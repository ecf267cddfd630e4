"""Lookup of encodings, tasks, metrics, suites and commands that plug-ins offer, by name."""

from __future__ import annotations

import ast
import difflib
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
"""Kind to the name of its base class in ``encbench``; importing the class imports torch."""


@contextmanager
def named_failures(whose: Callable[[BaseException], str]) -> Iterator[None]:
    """Context that turns exceptions of a plug-in into a PluginError that names it, including
    ``sys.exit``, its own KeyboardInterrupt and other BaseExceptions, which would end the program.

    Out-of-memory errors, the user's Ctrl-C and encbench's exceptions that stop a cell pass through.

    Args:
        whose: maps an exception to the plug-in that failed; "" lets the exception pass.
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
        from encbench.device import lacks_memory  # imports torch

        if lacks_memory(error):
            raise
        raise PluginError(f"{failed} failed: {error_line(error)}") from error


@dataclass(frozen=True)
class Offer:
    """One class or function that a plug-in offers under a name."""

    kind: str
    name: str
    target: Any
    """The class or function, or a lazy "module:name"."""
    plugin: Plugin

    @property
    def distribution(self) -> str:
        return self.plugin.distribution

    def __str__(self) -> str:
        """Such as "encoding 'mpe' of encbench 0.1.0"."""
        return f"{self.kind} {self.name!r} of {self.distribution} {self.plugin.version}"

    def load(self) -> Any:
        """The class or function; imports its module.

        Raises:
            PluginError: it cannot be imported, or is not a subclass of the kind's base class; the
                message names the distribution.
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
        """The result of ``function`` applied to the loaded class or function.

        Raises:
            PluginError: ``function`` or loading raised an exception; the message names the
                distribution. Errors of encbench and out-of-memory errors pass through.
        """
        with (
            output_to_stderr(),
            named_failures(lambda error: "" if isinstance(error, EncbenchError) else str(self)),
        ):
            return function(self.load())

    def summary(self) -> str:
        """The first line of the docstring, or a suite's ``description``.

        For a lazy target the docstring is read from the source code.
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
        """All offers of a kind, in the order of the plug-ins."""
        return [offer for named in self._offers[kind].values() for offer in named]

    def offers_any(self, kind: str, name: str) -> bool:
        """Whether a plug-in offers that name, whatever the distribution that it may begin with."""
        return name.rpartition(":")[2] in self._offers[kind]

    def named(self, kind: str) -> dict[str, Offer]:
        """Each name with one offer: the built-in, else that of the first plug-in."""
        return {
            name: min(offers, key=lambda offer: offer.distribution != "encbench")
            for name, offers in self._offers[kind].items()
        }

    def find(self, kind: str, name: str) -> Offer:
        """The offer of that name; ``distribution:name`` selects one of several.

        A built-in has precedence over other plug-ins' offers of the same name.

        Raises:
            UnknownNameError: no plug-in offers it; the message lists similar names, and broken
                plug-ins that may have offered it.
            AmbiguousNameError: several plug-ins offer it; the message names their distributions.
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

    def choose(
        self, kind: str, text: str, more: Mapping[str, Any] | None = None
    ) -> tuple[Offer, dict[str, Any], str]:
        """Resolve "name:key=value,…".

        Args:
            more: further parameters.

        Returns:
            The offer, the values of all its parameters, and the shortest equivalent text.

        Raises:
            UsageError: the text is malformed, a name or a parameter is wrong, or a parameter is
                given in the text and in ``more``.
        """
        name, given = parse_selector(text)
        if twice := given.keys() & (more or {}):
            raise UsageError(f"{', '.join(sorted(twice))} given in {text!r} and as a keyword")
        offer = self.find(kind, name)
        cls = offer.load()
        parameters = validate_parameters(kind, name, cls, given | dict(more or {}))
        defaults = {parameter.name: parameter.default for parameter in parameters_of(cls)}
        changed = {key: _sorted(v) for key, v in parameters.items() if v != defaults[key]}
        builtin = offer.distribution == "encbench"
        short = offer.name if builtin else f"{offer.distribution}:{offer.name}"
        return offer, parameters, format_selector(short, changed)

    def build(self, kind: str, text: str) -> Any:
        """An instance of the class that "name:key=value,…" selects.

        Raises:
            UsageError: as ``choose``.
            PluginError: the class raised another exception; the message names its distribution.
        """
        offer, parameters, _ = self.choose(kind, text)
        return offer.call(lambda cls: cls(**parameters))

    def find_any(self, kinds: Collection[str], name: str, words: Iterable[str] = ()) -> list[Offer]:
        """All offers of that name among the kinds, at least one.

        Args:
            words: other words that the caller accepts, such as the kinds themselves.

        Raises:
            UnknownNameError: no kind has it; the message suggests the most similar name or word.
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
        listing = f"`encbench list` shows what is installed.{self._broken_note()}"
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
        """For each conflict, the name, and how to select the last of its offers."""
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
            near = difflib.get_close_matches(parameter, parameters, n=1, cutoff=0.55)
            shown = f"; did you mean {f'{first}:{near[0]}=VALUE'!r}? Write" if near else "; write"
            return (
                f"unknown {kind} {name!r}{shown} a parameter as {first}:KEY=VALUE, and an offer of "
                "another distribution as DISTRIBUTION:NAME"
            )
        listing = f"installed: {', '.join(known) or 'none'}.{self._broken_note()}"
        hint = did_you_mean(name.rpartition(":")[2], known, listing, count=2)
        return f"unknown {kind} {name!r}{hint}"

    def _broken_note(self) -> str:
        """A sentence that lists broken plug-ins, which may have offered an unknown name."""
        broken = [f"{p.distribution} ({p.problem})" for p in self.host.broken()]
        return f" A broken plug-in may have offered it: {'; '.join(broken)}." if broken else ""


def taking(offers: Iterable[Offer], given: Mapping[str, Any]) -> list[tuple[Offer, dict[str, Any]]]:
    """The offers that accept the given parameters, each with the values of all its parameters.

    Raises:
        UsageError: no offer accepts them; the message is that of the first offer.
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
    """The registry of all plug-ins of this environment."""
    return Registry(default_host())


def _sorted(value: Any) -> Any:
    """The value with the keys of all its tables in order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
