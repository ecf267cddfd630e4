"""``encbench new-plugin``, ``new-encoding`` and ``new-task``: begin a plug-in from a template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.plugins.registry import default_registry
from encbench.plugins.templates import CHECKED, Kind, write_plugin

Directory = Annotated[
    Path, typer.Option("-d", "--directory", help="Where to put the folder encbench-NAME.")
]


def new_encoding(
    name: Annotated[str, typer.Argument(help="Name of the encoding: lower case, as in -e NAME.")],
    directory: Directory = Path(),
) -> None:
    """Write a new plug-in with an encoding.

    Writes an installable distribution, encbench-NAME, that passes its own tests: an example
    encoding, its registration, tests and a README. Nothing is overwritten.

    \b
    Examples:
      encbench new-encoding ripple
      encbench new-encoding ripple --directory ~/plugins
    """
    _begin("encoding", name, directory)


def new_task(
    name: Annotated[str, typer.Argument(help="Name of the task: lower case, as in -t NAME.")],
    directory: Directory = Path(),
) -> None:
    """Write a new plug-in with a task.

    Writes an installable distribution, encbench-NAME, that passes its own tests: an example
    task, its registration, tests and a README. Nothing is overwritten.

    \b
    Examples:
      encbench new-task waves
      encbench new-task waves --directory ~/plugins
    """
    _begin("task", name, directory)


def new_plugin(
    kind: Annotated[Kind, typer.Argument(help="Kind of plug-in.")],
    name: Annotated[str, typer.Argument(help="Name to register, in lower case.")],
    directory: Directory = Path(),
) -> None:
    """Begin a plug-in of any kind.

    Writes an installable distribution, encbench-NAME, that passes its own tests: an example of the
    kind, its registration, tests and a README. Nothing is overwritten. docs/plugins.md shows how to
    add a suite or a verb to any plug-in.

    \b
    Examples:
      encbench new-plugin activation bump
      encbench new-plugin metric worst_pixel --directory ~/plugins
    """
    _begin(kind, name, directory)


def _begin(kind: Kind, name: str, directory: Path) -> None:
    root = write_plugin(kind, name, directory)
    others = [o.distribution for o in default_registry().offers(kind) if o.name == name]
    if others:
        typer.echo(
            f"warning: {kind} {name!r} is offered by {' and '.join(others)}, too; "
            f"{root.name}:{name} picks yours",
            err=True,
        )
    typer.echo(f"wrote {root}\n\nNext:")
    chosen = f"{root.name}:{name}" if others else name
    last = f"encbench {'check' if kind in CHECKED else 'list'} {chosen}"
    for line in (f"cd {root}", "pip install -e '.[test]'", "pytest", last):
        typer.echo(f"  {line}")
