"""``encbench list``: encodings, tasks, metrics and suites, with their parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding

from encbench.cli.console import facts_table, literal, output_console, plain_table, print_conflicts
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import Offer, Registry, default_registry, taking
from encbench.plugins.selector import parse_selector

KINDS = {
    "encoding": "Encodings",
    "task": "Tasks",
    "metric": "Metrics",
    "network": "Networks",
    "activation": "Activations",
    "optimizer": "Optimizers",
    "schedule": "Schedules",
    "suite": "Suites",
}
HEADED = KINDS | {"encoding": "Encodings of d coordinates as d_e features"}
ABOUT = ("equation", "source")
METRIC = ("kind", "unit", "range", "direction", "source")
"""Attributes of a metric class that are shown; of other classes, those in ABOUT are."""


def list_offers(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names to describe in full, NAME or NAME:KEY=VALUE,…, or a kind to list, such as "
            "encoding or encodings."
        ),
    ] = None,
) -> None:
    """List or describe what is installed.

    \b
    Examples:
      encbench list
      encbench list mpe hashgrid image sine:omega=10
      encbench list suites activations
    """
    registry, console = default_registry(), output_console()
    if not names:
        for kind in KINDS:
            _overview(kind, registry, console)
        print_conflicts(registry, console)
    titles = {word: kind for kind, title in KINDS.items() for word in (kind, title.lower())}
    for text in names or ():
        if text in titles:
            _overview(titles[text], registry, console)
            continue
        name, given = parse_selector(text)
        offers = registry.find_any(KINDS, name, titles)
        for offer, values in taking(offers, given) if given else ((o, {}) for o in offers):
            _describe(offer, values, console)


def _overview(kind: str, registry: Registry, console: Console) -> None:
    table = facts_table("bold")
    table.title, table.title_justify = HEADED[kind], "left"
    table.add_column(style="dim", no_wrap=True)
    for offer in registry.offers(kind):
        third_party = "" if offer.distribution == "encbench" else offer.distribution
        table.add_row(offer.name, literal(offer.summary()), third_party)
    console.print(table)
    console.print()


def _describe(offer: Offer, values: Mapping[str, Any], console: Console) -> None:
    console.print(
        f"[bold]{offer.name}[/]  {offer.kind} of {offer.distribution} {offer.plugin.version}"
    )
    if offer.kind == "suite":
        _describe_suite(offer, console)
    else:
        about = METRIC if offer.kind == "metric" else ABOUT
        _describe_class(offer.load(), values, console, about)


def _describe_suite(offer: Offer, console: Console) -> None:
    from encbench.suite.config import SECTIONS
    from encbench.suite.file import load_suite  # pydantic models: takes 0.1 s

    suite = load_suite(offer.target)
    asked = suite.as_asked()
    lines = {
        "encodings": [entry.text for entry in suite.encodings],
        "tasks": [entry.text for entry in suite.tasks],
        "seeds": [str(seed) for seed in suite.seeds],
        **{name: [f"{k} = {v}" for k, v in asked.get(name, {}).items()] for name in SECTIONS},
        "file": [str(offer.target)],
    }
    table = facts_table()
    table.padding = (0, 1, 0, 2)
    for name, values in lines.items():
        if values:
            table.add_row(f"{name}:", literal("\n".join(values)))
    console.print(f"  {offer.summary()}", highlight=False, markup=False)
    console.print(table)
    console.print()


def _describe_class(
    cls: type, values: Mapping[str, Any], console: Console, about: Sequence[str]
) -> None:
    for paragraph in (inspect.getdoc(cls) or "").split("\n\n"):
        # the table below describes parameters
        if not paragraph.startswith(("Args:", "Raises:")):
            # indented lines are formulas, or continue the bullet above
            inside = r"\n +" if paragraph.startswith("- ") else r"\n(?! |- )"
            text = re.sub(inside, " ", paragraph)
            console.print(Padding(literal(text), (0, 0, 1, 2)))
    named = facts_table()
    named.padding = (0, 1, 0, 2)
    for title in about:
        if text := getattr(cls, title, ""):
            named.add_row(f"{title}:", literal(str(text)))
    if named.rows:
        console.print(named)
        console.print()
    parameters = parameters_of(cls)
    if not parameters:
        if about is not METRIC:
            console.print("  no parameters\n")
        return
    searched = any(parameter.search for parameter in parameters)
    more = [*["value"] * bool(values), *["tuned in"] * searched]
    table = plain_table("parameter", "type", "default", *more, "description")
    table.columns[0].no_wrap = True
    for parameter in parameters:
        given = parameter.default
        given = given.value if isinstance(given, Enum) else given  # as one writes it
        default = "(required)" if parameter.required else repr(given)
        value = [repr(values.get(parameter.name))] * bool(values)
        where = [str(parameter.search or "")] * searched
        texts = (parameter.type, default, *value, *where, parameter.description)
        table.add_row(parameter.name, *map(literal, texts))
    console.print(table)
    console.print()
