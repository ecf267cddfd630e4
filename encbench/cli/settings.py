"""The suite and the settings that verbs, and ``encbench.run``, take alike."""

from __future__ import annotations

from typing import Any

from encbench.errors import UsageError
from encbench.plugins.registry import Registry
from encbench.plugins.selector import parse_value
from encbench.suite.config import SECTIONS, TrainingConfig
from encbench.suite.file import Suite, load_suite

DEFAULT_SUITE = "quick"


def asked_suite(name: str | None, registry: Registry, *, encodings: bool, tasks: bool) -> Suite:
    """The suite of that name or file; without one the default, whose own name, description and
    training settings do not hold for other encodings and tasks.

    Args:
        name: as ``load_suite`` takes it.
        registry: plug-ins that may offer it.
        encodings: whether others replace the suite's; likewise ``tasks``.

    Raises:
        SuiteError: as ``load_suite``.
    """
    suite = load_suite(name or DEFAULT_SUITE, registry)
    if name is None and (encodings or tasks):
        suite = suite.model_copy(update={"name": "custom", "description": ""})
    if name is None and tasks:
        # quick's training settings suit its own tasks; others have their own
        suite = suite.model_copy(update={"training": TrainingConfig()})
    return suite


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Section, key and value of a ``--set`` option."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not key or section not in SECTIONS:
        raise UsageError(
            f"--set {text!r} is not SECTION.KEY=VALUE; sections are {', '.join(SECTIONS)}"
        )
    return section, key, parse_value(value.strip())
