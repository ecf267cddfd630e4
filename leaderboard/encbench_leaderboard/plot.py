"""``encbench plot``: a metric against a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.errors import UsageError, check_writable

FORMATS = (".png", ".svg", ".pdf")


def plot_against(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `encbench run -o DIR` wrote.")
    ],
    x: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A setting, such as training.lr_factor or network.width; a parameter, such as "
            "encoding.levels, mpe.resolutions, task.side, hosc.beta or adam.beta2; or seed, "
            "learning_rate (the one used), parameters, parameters_mlp or parameters_encoding.",
        ),
    ],
    y: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A metric, such as psnr, or a recorded number: best, best_step, seconds, "
            "ntk_seconds, memory, steps, learning_rate, lr_ratio, parameters, parameters_mlp, "
            "parameters_encoding, steps_to_VALUE, seconds_to_VALUE; or a statistic of the NTK at "
            "the end of training (at the start or middle: start.NAME, middle.NAME): "
            "lambda_maximum, lambda_median, lambda_quantile_10, lambda_minimum, floor, "
            "resolved_rank, effective_rank, alignment, energy_tenth, drift.",
        ),
    ] = "psnr",
    task: Annotated[
        str | None,
        typer.Option(
            help="Only tasks whose label is or contains this; default: all, a panel per task."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="PNG, SVG or PDF, by its suffix; default: DIR/Y-against-X.png.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Also write the numbers drawn.")
    ] = None,
    log_x: Annotated[bool, typer.Option("--logx", help="Logarithmic x axis.")] = False,
    log_y: Annotated[bool, typer.Option("--logy", help="Logarithmic y axis.")] = False,
    title: Annotated[str | None, typer.Option(help="Title of the plot.")] = None,
) -> None:
    """Plot a metric against a setting.

    Each encoding is a line. A point is the mean over seeds, or over targets if tasks differ only in
    their target, with the leaderboard's 95 % interval. Cells of a line agree in all but x, seed and
    target; if other settings differ too, each combination is a line.

    \b
    Examples:
      encbench plot results/sweep --x training.lr_factor --y psnr --logx
      encbench plot results/sweep --x learning_rate --y best --task coffee -o rates.pdf
      encbench plot results/sizes --x parameters --y psnr --logx --data sizes.csv
      encbench plot results/sweep --x training.lr_factor --y seconds_to_30 --logy
      encbench plot results/sizes --x encoding.levels --y start.lambda_median --logy
    """
    out = directory / f"{y}-against-{x}.png" if output is None else output
    if out.suffix not in FORMATS:
        raise UsageError(f"{out}: expected a name that ends in {', '.join(FORMATS)}")
    # `encbench --help` imports every verb; pandas and matplotlib take seconds
    from encbench.results.palette import colours
    from encbench.results.record_places import check_results_folder
    from encbench.results.store import load_records
    from encbench.results.tabular import check_format, write_table
    from encbench_leaderboard.board.against import against
    from encbench_leaderboard.render import style
    from encbench_leaderboard.render.panels import plot
    from encbench_leaderboard.render.writing import writing
    from encbench_leaderboard.report.figures.relation import relation_figure, relation_table

    if data is not None:
        check_format(data)
    if output is None:
        check_results_folder(directory)
    check_writable(out, data)
    found = against(load_records(directory, check_files=True), x, y, task)
    figure = relation_figure(found, x, log_x=log_x, log_y=log_y)
    with style.quiet(), writing(out):
        drawn = plot(figure, colours(list(figure.legend)))
        assert drawn is not None
        if title is not None:
            drawn.suptitle(title.replace("$", r"\$"))
        style.save(drawn, [out])
    for note in found.notes:
        typer.echo(note)
    typer.echo(f"wrote {out}")
    if data is not None:
        write_table(*relation_table(found, x, y), data)
        typer.echo(f"wrote {data}")
