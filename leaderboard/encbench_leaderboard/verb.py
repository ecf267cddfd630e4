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
            "Pictures lie beside it, in a folder of its name, and so does the HTML file.",
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw pictures and link to them.")
    ] = True,
    all_pictures: Annotated[
        bool,
        typer.Option("--all-pictures", help="Those of every task, also where there are many."),
    ] = False,
    html: Annotated[
        bool,
        typer.Option("--html/--no-html", help="Write the interactive HTML file too."),
    ] = True,
) -> None:
    """Tables and plots of a results folder.

    Writes a Markdown page with its pictures beside it and one HTML file that works offline, and
    prints the standings.
    """
    # `encbench --help` imports every verb; pandas and matplotlib take seconds
    from encbench_leaderboard.render.html import write_html
    from encbench_leaderboard.render.terminal import show

    loaded = show(directory, output, pictures=pictures, every=all_pictures)
    if html:
        beside = None if output is None else output.with_suffix(".html")
        typer.echo(f"wrote {write_html(directory, beside, pictures=pictures, loaded=loaded)}")
