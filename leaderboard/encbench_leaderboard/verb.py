"""``encbench leaderboard``: the page of a results folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.errors import UsageError, check_choice, check_writable
from encbench.results.record_places import check_results_folder


def leaderboard(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR…",
            help="Folder that `encbench run -o DIR` wrote. If there are several, OUT.md shows the "
            "standings of each, with a link to its page.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.md",
            help="Markdown file to write; default: DIR/leaderboard.md. The HTML file goes beside "
            "it, pictures to a folder OUT; with several folders, their pages also go to OUT.",
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw pictures and link to them.")
    ] = True,
    all_pictures: Annotated[
        bool,
        typer.Option("--all-pictures", help="Draw pictures of every task, however many."),
    ] = False,
    small_pictures: Annotated[
        bool,
        typer.Option(
            "--small-pictures",
            help="Write a tenth of the bytes, for a repository: WebP instead of PNG, and no "
            "pictures for the single targets of a category.",
        ),
    ] = False,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Draw pictures as svg or pdf too, for a paper; repeatable.",
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables",
            metavar="FORMAT",
            help="Write the tables as csv or tex too, beside the pictures; repeatable.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Print at most N rows of a table.")
    ] = 20,
    html: Annotated[
        bool,
        typer.Option("--html/--no-html", help="Write the interactive HTML file too."),
    ] = True,
) -> None:
    """Tables and plots of a results folder.

    Writes a Markdown page, a folder beside it with its pictures and a page per task, and one HTML
    file that works offline; prints verdicts and standings.

    \b
    Examples:
      encbench leaderboard results/quick
      encbench leaderboard results/quick -o report/quick.md --format pdf --tables tex
      encbench leaderboard results/fit results/held-out -o report/both.md
    """
    # `encbench --help` imports every verb; pandas and matplotlib take seconds
    from rich.console import Console

    from encbench_leaderboard.render.html import write_html
    from encbench_leaderboard.render.markdown import write_index, write_markdown
    from encbench_leaderboard.render.pictures import FORMATS
    from encbench_leaderboard.render.table_files import WRITERS, write_tables
    from encbench_leaderboard.render.terminal import print_standings
    from encbench_leaderboard.report.build import describe, load_board

    for given, option, known in (formats, "--format", FORMATS), (tables, "--tables", WRITERS):
        for name in given or ():
            check_choice(option, name, list(known))
    if not pictures and (formats or all_pictures or small_pictures):
        raise UsageError("--no-pictures excludes the options for pictures; drop it or them")
    if output is None and len(directories) > 1:
        raise UsageError(
            f"{len(directories)} results folders need a file for their page; give one with -o"
        )
    if output is None:  # the page is written into the folder
        check_results_folder(directories[0])
    front = directories[0] / "leaderboard.md" if output is None else output
    outs = [front]
    if len(directories) > 1:
        names = [directory.resolve().name for directory in directories]
        if len(set(names)) < len(names):
            raise UsageError(
                f"two of the results folders have the same name: {', '.join(names)}; so would "
                "their pages"
            )
        outs = [front.with_suffix("") / f"{name}.md" for name in names]
    for out in (front, *outs):
        if out.suffix == "":
            raise UsageError(f"{out} has no suffix, expected a Markdown file, for example {out}.md")
        check_writable(out, out.with_suffix(".html"))
    pages = {}
    for directory, out in zip(directories, outs, strict=True):
        page = pages[out] = describe(*load_board(directory))
        written = write_markdown(
            page,
            out,
            pictures=pictures,
            all_pictures=all_pictures,
            small_pictures=small_pictures,
            formats=formats or (),
        )
        print_standings(page, Console(), rows)
        typer.echo(f"wrote {written}")
        if files := write_tables(page, out.with_suffix(""), tables or ()):
            typer.echo(f"wrote {len(files)} tables to {out.with_suffix('')}")
        if html:
            typer.echo(f"wrote {write_html(page, out.with_suffix('.html'), pictures=pictures)}")
    if len(directories) > 1:
        typer.echo(f"wrote {write_index(pages, front)}")
