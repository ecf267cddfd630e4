"""Discovery of plug-ins: loads every distribution's entry points of the group ``encbench``.

Each entry point is loaded and registered in its own ``try``. One that fails to import, or whose
hook raises, causes a warning and a row in ``encbench plugins``; the others are unaffected.
"""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from encbench.errors import EncbenchError, PluginError, bounded, error_line
from encbench.plugins import hookspecs
from encbench.plugins.isolation import ctrl_c_noted, isolated, process_state_kept

GROUP = "encbench"
OFFERS = {
    "encoding": "encbench_encodings",
    "task": "encbench_tasks",
    "metric": "encbench_metrics",
    "network": "encbench_networks",
    "activation": "encbench_activations",
    "optimizer": "encbench_optimizers",
    "schedule": "encbench_schedules",
    "suite": "encbench_suites",
    "command": "encbench_commands",
}
"""Kind of offer to the name of its hook."""

logger = logging.getLogger("encbench")


@dataclass
class Plugin:
    """One entry point: its distribution, its offers, and its problem, if any."""

    name: str
    distribution: str
    version: str
    module: str
    problem: str | None = None
    """Why it is broken, in one line; None if it works."""
    details: str = ""
    """The traceback of the problem."""
    offers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Maps kind to name to target."""

    def __str__(self) -> str:
        """Such as "encbench-ripple 1.0 (ripple)"."""
        return f"{self.distribution} {self.version} ({self.name})"

    @property
    def identity(self) -> str:
        return f"{self.distribution}:{self.name}"


class PluginHost:
    """All plug-ins of this environment and the hooks they implement."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("encbench")
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []

    def discover(self) -> None:
        """Load every entry point of the group ``encbench``, independently of the others."""
        seen: set[tuple[str, str]] = set()
        for distribution in metadata.distributions():
            try:
                entry_points = distribution.entry_points.select(group=GROUP)
                if not entry_points:
                    continue
                found = distribution.metadata
                # not with [], which raises after any library has imported importlib_metadata
                name, version = (found.get_all(key, [""])[0] for key in ("Name", "Version"))
                if not (name and version):
                    raise ValueError("it has no Name or no Version")
            except Exception as error:
                unread = Plugin("metadata", _name_of(distribution), "", "")
                self._note(unread, f"its metadata cannot be read: {error_line(error)}")
                self.plugins.append(unread)
                continue
            for entry_point in entry_points:
                # an editable install can appear twice on sys.path
                if (name, entry_point.name) in seen:
                    continue
                seen.add((name, entry_point.name))
                plugin = Plugin(entry_point.name, name, version, entry_point.value)
                self.plugins.append(plugin)
                self._load(plugin, entry_point)
        self.plugins.sort(key=lambda plugin: (plugin.distribution != "encbench", plugin.identity))

    def register(self, plugin: Plugin, module: ModuleType | object) -> None:
        """Register an imported module; a problem is stored in ``plugin.problem``, not raised."""
        try:
            self._refuse_unknown_hooks(module)
            self._manager.register(module, name=plugin.identity)
        except Exception as error:
            self._note(plugin, f"cannot be registered: {_sentence(error)}")
            return
        for kind, hook in OFFERS.items():
            implementation = self._implementation(plugin, hook)
            if implementation is None:
                continue
            try:
                with isolated():
                    offered = implementation()
                    plugin.offers[kind] = _checked_offers(kind, offered)
            except Exception as error:
                self._note(plugin, f"{hook}() failed: {_sentence(error)}")

    def notify(self, hook: str, **arguments: Any) -> bool:
        """Call a reporting hook, one implementation at a time; failures are logged.

        Returns:
            Whether all implementations succeeded.
        """
        succeeded = True
        for plugin in self.plugins:
            implementation = self._implementation(plugin, hook)
            if implementation is None:
                continue
            accepted = inspect.signature(implementation).parameters
            try:
                with process_state_kept(), ctrl_c_noted() as pressed:
                    implementation(**{k: v for k, v in arguments.items() if k in accepted})
            except BaseException as error:
                if pressed:
                    raise KeyboardInterrupt from error
                succeeded = False
                if not isinstance(error, EncbenchError):
                    logger.warning("plug-in %s: %s() failed: %s", plugin, hook, error_line(error))
                elif plugin.distribution != "encbench":
                    logger.warning("plug-in %s: %s", plugin, _sentence(error))
                else:
                    logger.warning("%s", _sentence(error))
                logger.debug("%s", traceback.format_exc())
        return succeeded

    def broken(self) -> Iterator[Plugin]:
        """Plug-ins with a problem."""
        return (plugin for plugin in self.plugins if plugin.problem)

    def _load(self, plugin: Plugin, entry_point: metadata.EntryPoint) -> None:
        try:
            with isolated():
                if not entry_point.pattern.match(entry_point.value):
                    raise ValueError(f"{entry_point.value!r} is not MODULE or MODULE:NAME")
                module = entry_point.load()
        except Exception as error:
            self._note(plugin, f"cannot be imported: {error_line(error)}")
            return
        self.register(plugin, module)

    def _refuse_unknown_hooks(self, module: ModuleType | object) -> None:
        known = {name for name in dir(hookspecs) if name.startswith("encbench_")}
        for name in dir(module):
            marked = hasattr(getattr(module, name, None), "encbench_impl")
            if marked and name not in known:
                raise PluginError(
                    f"{name} is not a hook of encbench; hooks are {', '.join(sorted(known))}"
                )

    def _implementation(self, plugin: Plugin, hook: str) -> Any:
        caller = getattr(self._manager.hook, hook)
        for implementation in caller.get_hookimpls():
            if implementation.plugin_name == plugin.identity:
                return implementation.function
        return None

    @staticmethod
    def _note(plugin: Plugin, problem: str) -> None:
        plugin.problem = problem
        plugin.details = bounded(traceback.format_exc(), 20_000)


def _sentence(error: BaseException) -> str:
    """The message of an error of encbench; another exception with the name of its class."""
    line = error_line(error)
    own = isinstance(error, EncbenchError)
    return line.removeprefix(f"{type(error).__name__}: ") if own else line


def _name_of(distribution: metadata.Distribution) -> str:
    with suppress(Exception):
        if name := distribution.metadata["Name"]:
            return str(name)
    return f"a distribution in {distribution.locate_file('')}"


def _checked_offers(kind: str, offered: object) -> dict[str, Any]:
    if not isinstance(offered, Mapping):
        raise PluginError(f"must return a mapping from name to class, got {type(offered).__name__}")
    # keys and texts of a subclass of str could raise wherever they are printed or compared
    plain = {_plain(name): _plain(target) for name, target in offered.items()}
    for name, target in plain.items():
        # -e and -t could not parse other names
        if not (isinstance(name, str) and name.isprintable() and re.fullmatch(r"[^\s:=,]+", name)):
            raise PluginError(f"offers {name!r}; a name is a text without spaces, ':', '=' and ','")
        if kind == "suite" and not isinstance(target, str | Path):
            raise PluginError(f"offers {name!r} as {target!r}; a suite is the path of a TOML file")
    return plain


def _plain(value: Any) -> Any:
    return str.__str__(value) if isinstance(value, str) else value


@cache
def default_host() -> PluginHost:
    """The plug-ins of this environment, discovered once per process."""
    host = PluginHost()
    host.discover()
    return host
