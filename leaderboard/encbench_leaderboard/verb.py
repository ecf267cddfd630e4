"""``encbench leaderboard``: the page of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `encbench run -o DIR` wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.md",
            help="Markdown file to write; DIR/leaderboard.md unless given. "
            "Pictures lie beside it, in a folder of its name.",
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw pictures and link to them.")
    ] = True,
) -> None:
    """Tables and plots of a results folder.

    Writes a Markdown page with its pictures beside it, and prints the standings.
    """
    # `encbench --help` imports every verb; pandas and matplotlib take seconds
    from encbench_leaderboard.console import show

    show(directory, output, pictures=pictures)
