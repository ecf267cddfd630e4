"""``encbench figures``: the figures of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encbench.errors import StoreError

if TYPE_CHECKING:
    from encbench_leaderboard.paper_figures.drawing import PaperFigure


def figures(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `encbench run -o DIR` wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder to write to; default: DIR/figures."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N,…",
            help="Numbers in the paper, 2 to 14, or levels. Repeatable. A figure that cannot be "
            "drawn is then an error.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT,…", help="png, svg or pdf; repeatable; default: png."
        ),
    ] = None,
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Pixels per inch.")] = 200,
    task: Annotated[
        str, typer.Option(help="Only tasks with this in their label; default: the first four.")
    ] = "",
    side: Annotated[
        int,
        typer.Option(min=8, max=4096, help="Pixels per side of figure 13."),
    ] = 1024,
) -> None:
    """Draw the figures of the paper.

    They are drawn from the records of a results folder; if it lacks data for a figure, a line says
    what to run. Captions are written to captions.md beside the files.

    \b
    2         spectrum with and without the grid's term, and without an encoding
    3, 7, 9   regressed images side by side
    4, 11     spectra in the middle and at the end, and at the start
    5         mean spectra over images and over meshes
    6, 8, 10  loss and quality over epochs
    12        learned values of grids       (encbench run --save-weights)
    13        activation regions            (encbench run --save-weights)
    14        depth of the 0.5 level set of occupancy
    levels    shares of an encoding's levels in the eigenvalues
                                            (encbench run --set ntk.split=level)

    \b
    Examples:
      encbench figures results/quick
      encbench figures results/quick --only 2,4 --format pdf -o paper/
      encbench figures results/quick --only 13 --side 512 --task chelsea
    """
    # `encbench --help` imports every verb; pandas and matplotlib take seconds
    from encbench_leaderboard.paper_figures.drawing import CAPTIONS, draw_figures

    kinds = [kind.strip() for text in formats or ["png"] for kind in text.split(",")]
    found = draw_figures(
        directory,
        only or (),
        output,
        formats=kinds,
        dpi=dpi,
        task=task,
        side=side,
        watch=_show,
    )
    folder = directory / "figures" if output is None else output
    drawn = {figure.number for figure in found if figure.files}
    if drawn:
        typer.echo(f"captions: {folder / CAPTIONS}")
    lacking = {f"figure {f.number}: {f.missing}": f.number for f in found if not f.files}
    if only and (asked := [why for why, number in lacking.items() if number not in drawn]):
        raise StoreError(f"cannot draw {asked[0]}")
    for why in lacking:
        typer.echo(f"not drawn: {why}")
    if not drawn:
        raise StoreError(f"{directory} has no data to draw a figure from, see above")


def _show(figure: PaperFigure) -> None:
    for file in figure.files:
        typer.echo(f"{figure.heading}: {file}")
    if figure.files and figure.missing:
        typer.echo(f"  {figure.missing}")
