"""What ``new-encoding`` and ``new-task`` have in common."""

from __future__ import annotations

from pathlib import Path

import typer

from encbench.plugins.registry import default_registry
from encbench.plugins.templates import Kind, write_plugin

__all__ = ["begin"]


def begin(kind: Kind, name: str, directory: Path) -> None:
    """Write the distribution, and say what to do with it.

    Raises:
        UsageError: the name will not do, or the folder is there already.
        StoreError: it cannot be written.
    """
    root = write_plugin(kind, name, directory)
    takers = [o.distribution for o in default_registry().offers(kind) if o.name == name]
    if takers:
        typer.echo(
            f"warning: {kind} {name!r} is offered by {' and '.join(takers)}, too; "
            f"{root.name}:{name} will tell yours apart",
            err=True,
        )
    typer.echo(f"wrote {root}\n\nNext:")
    for line in (f"cd {root}", "pip install -e '.[test]'", "pytest", f"encbench check {name}"):
        typer.echo(f"  {line}")
