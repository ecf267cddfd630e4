"""``encbench plugins``: installed plug-ins, broken ones, and requirements for pip."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from encbench.cli.console import literal, output_console, plain_table, print_conflicts
from encbench.errors import UsageError
from encbench.plugins.registry import default_registry
from encbench.results import provenance
from encbench.results.store import load_records


def plugins(
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Results folder, for --requirements."),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the traceback of each broken plug-in.")
    ] = False,
    requirements: Annotated[
        bool,
        typer.Option("--requirements", help="Print NAME==VERSION of each distribution."),
    ] = False,
) -> None:
    """Show installed plug-ins and broken ones.

    With --requirements, prints a requirements file for pip: the distributions that the records of
    DIR need or, without DIR, those whose plug-ins are installed here.

    \b
    Examples:
      encbench plugins
      encbench plugins --trace
      encbench plugins --requirements results/quick > requirements.txt
    """
    if requirements:
        for line in requirement_lines(_installed() if directory is None else _recorded(directory)):
            typer.echo(line)
        return
    if directory is not None:
        raise UsageError(f"{directory}: a results folder is read with --requirements only")
    console, host = output_console(), default_registry().host
    table = plain_table("distribution", "version", "entry point", "offers", "state")
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
            console.print(literal(plugin.details), highlight=False)


def _installed() -> Iterable[tuple[str, str]]:
    """encbench, the distributions with plug-ins, and the numerical libraries of this process."""
    plugins = {plugin.distribution: plugin.version for plugin in default_registry().host.plugins}
    return {**plugins, **provenance.distributions(), **provenance.libraries()}.items()


def _recorded(directory: Path) -> Iterable[tuple[str, str]]:
    """Distributions and versions in the records of a results folder, newest record first."""
    records = [stored.record for stored in load_records(directory)]
    for record in sorted(records, key=lambda record: record.provenance.started, reverse=True):
        cell, provenance = record.cell, record.provenance
        yield "encbench", provenance.encbench
        yield from provenance.libraries.items()
        yield from ((ref.distribution, ref.version) for ref in (cell.encoding, cell.task))


def requirement_lines(used: Iterable[tuple[str, str]]) -> list[str]:
    """NAME==VERSION of each distribution, as pip reads it, sorted by name.

    If a distribution has several versions, the first given is listed; the others are comments,
    since no environment can hold two.
    """
    versions: dict[str, dict[str, None]] = {}
    for name, version in used:
        # no index has "2.13.0+cpu"; "==2.13.0" is satisfied by any build of that version
        versions.setdefault(name, {})[version.partition("+")[0]] = None
    lines = []
    for name in sorted(versions, key=str.lower):
        newest, *older = versions[name]
        lines.append(f"{name}=={newest}")
        lines += [f"# {name}=={version} in some records" for version in older]
    return lines
