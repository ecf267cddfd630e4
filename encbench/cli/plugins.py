"""``encbench plugins``: who offers what, and what is broken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from encbench.cli.format import literal, output_console, print_conflicts
from encbench.cli.requirements import installed, recorded
from encbench.errors import UsageError
from encbench.plugins.registry import default_registry


def plugins(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="Results folder, for --requirements.", show_default=False
        ),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the traceback of each broken plug-in.")
    ] = False,
    requirements: Annotated[
        bool,
        typer.Option(
            "--requirements", help="Print NAME==VERSION of what DIR's run, or all of this, needs."
        ),
    ] = False,
) -> None:
    """Show plug-ins: offers, and what is broken.

    With --requirements, a list that pip reads: the distributions that the records of a results
    folder name, or those whose plug-ins are installed here.

    \b
    Examples:
      encbench plugins
      encbench plugins --trace
      encbench plugins --requirements results/quick > requirements.txt
    """
    if requirements:
        for line in installed() if directory is None else recorded(directory):
            typer.echo(line)
        return
    if directory is not None:
        raise UsageError(f"what to do with {directory}? --requirements lists what its run needed")
    console, host = output_console(), default_registry().host
    table = Table(box=None, header_style="dim")
    for column in ("distribution", "version", "entry point", "offers", "state"):
        table.add_column(column, overflow="fold")
    for plugin in host.plugins:
        offers = "\n".join(
            f"{kind}s: {', '.join(named)}" for kind, named in plugin.offers.items() if named
        )
        state = literal(plugin.problem or "ok")
        state.stylize("red" if plugin.problem else "green")
        table.add_row(plugin.distribution, plugin.version, plugin.name, offers, state)
    console.print(table)
    print_conflicts(default_registry(), console)
    if trace:
        for plugin in host.broken():
            console.rule(plugin.identity)
            console.print(plugin.details, markup=False, highlight=False)
