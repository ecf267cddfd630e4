"""``encbench list``: encodings, tasks, metrics and suites, with their parameters."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from encbench.cli.console import literal, output_console, plain_table, print_conflicts
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import Offer, Registry, default_registry

KINDS = {"encoding": "Encodings", "task": "Tasks", "metric": "Metrics", "suite": "Suites"}


def list_offers(
    names: Annotated[list[str] | None, typer.Argument(help="Names to describe in full.")] = None,
) -> None:
    """List what is installed, or describe it in full.

    \b
    Examples:
      encbench list
      encbench list mpe hashgrid image
    """
    registry, console = default_registry(), output_console()
    if not names:
        _overview(registry, console)
        return
    for name in names:
        for offer in registry.find_any(KINDS, name):
            _describe(offer, console)


def _overview(registry: Registry, console: Console) -> None:
    for kind, title in KINDS.items():
        table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(style="dim", no_wrap=True)
        for offer in registry.offers(kind):
            third_party = "" if offer.distribution == "encbench" else offer.distribution
            table.add_row(offer.name, literal(offer.summary()), third_party)
        console.print(table)
        console.print()
    print_conflicts(registry, console)


def _describe(offer: Offer, console: Console) -> None:
    console.print(
        f"[bold]{offer.name}[/]  {offer.kind} of {offer.distribution} {offer.plugin.version}"
    )
    if offer.kind == "suite":
        console.print(f"  {offer.summary()}\n  {offer.target}\n", highlight=False, markup=False)
        return
    cls = offer.load()
    for line in (inspect.getdoc(cls) or "").splitlines():
        console.print(f"  {line}".rstrip(), markup=False, highlight=False)
    console.print()
    for title in ("equation", "source"):
        if text := getattr(cls, title, ""):
            console.print(f"  {title + ':':<11}{text}", markup=False, highlight=False)
    parameters = parameters_of(cls)
    if not parameters:
        console.print("  no parameters\n")
        return
    table = plain_table("parameter", "type", "default", "")
    for parameter in parameters:
        default = "(required)" if parameter.required else repr(parameter.default)
        texts = (parameter.type, default, parameter.description)
        table.add_row(parameter.name, *map(literal, texts))
    console.print(table)
    console.print()
