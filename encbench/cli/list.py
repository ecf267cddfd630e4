"""``encbench list``: what can be crossed with what."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from encbench.cli.format import literal, output_console, print_conflicts
from encbench.errors import UnknownNameError
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import Offer, Registry, default_registry

KINDS = {"encoding": "Encodings", "task": "Tasks", "metric": "Metrics", "suite": "Suites"}


def list_offers(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names to describe in full.", show_default=False)
    ] = None,
) -> None:
    """List what there is, or describe it in full.

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
        for offer in _find(registry, name):
            _describe(offer, console)


def _overview(registry: Registry, console: Console) -> None:
    for kind, title in KINDS.items():
        table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(style="dim", no_wrap=True)
        for offer in registry.offers(kind):
            foreign = "" if offer.distribution == "encbench" else offer.distribution
            table.add_row(offer.name, literal(offer.summary()), foreign)
        console.print(table)
        console.print()
    print_conflicts(registry, console)


def _find(registry: Registry, name: str) -> list[Offer]:
    found = []
    misses = []
    for kind in KINDS:
        try:
            found.append(registry.find(kind, name))
        except UnknownNameError as error:
            misses.append(error)
    if not found:
        # the most helpful miss is the one with a near name
        raise next((m for m in misses if "did you mean" in str(m)), misses[0])
    return found


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
    table = Table(box=None, pad_edge=True, show_header=True, header_style="dim")
    for column in ("parameter", "type", "default", ""):
        table.add_column(column, overflow="fold")
    for parameter in parameters:
        default = "(required)" if parameter.required else repr(parameter.default)
        table.add_row(
            parameter.name,
            literal(parameter.type),
            literal(default),
            literal(parameter.description),
        )
    console.print(table)
    console.print()
