"""``encbench dynamics``: compare the measured loss curve with the kernel's prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

import encbench
from encbench.cli.console import output_console, plain_table, write_json
from encbench.cli.options import HiddenDepth, asked_changes
from encbench.errors import UsageError, check_writable
from encbench.plugins.registry import default_registry
from encbench.suite.file import override


def dynamics(
    encoding: Annotated[
        str, typer.Option("-e", "--encoding", help="NAME or NAME:KEY=VALUE,…")
    ] = "ffe:levels=4",
    task: Annotated[
        str, typer.Option("-t", "--task", help="One target; all of its points are used.")
    ] = "image:image=chelsea,side=24",
    factor: Annotated[
        list[float] | None,
        typer.Option(
            "--factor",
            help="Learning rate as a multiple of lr_crit; repeatable.",
            show_default="0.05 and 1.5",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of full-batch gradient descent.")] = 2000,
    width: Annotated[int, typer.Option(help="Units per hidden layer.")] = 2048,
    depth: HiddenDepth = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights.")] = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for dynamics.png and dynamics.json.")
    ] = Path("results/dynamics"),
) -> None:
    """Compare loss with the NTK's prediction.

    Trains by full-batch gradient descent and compares the loss with what the kernel at
    initialization predicts. A wide network at a small learning rate follows the prediction; at
    usual learning rates the two differ, and the plot shows where. For a task with a split, the loss
    at held-out points is shown, too. For tasks with the mean squared error only.

    \b
    Examples:
      encbench dynamics
      encbench dynamics -t image:image=chelsea,side=24,split=checker
      encbench dynamics -e 'mpe:resolutions=[16]' --factor 0.01 --factor 2 --width 4096
    """
    # these import torch (seconds), which `encbench dynamics --help` does not need
    from encbench.cli.spectra_pictures import plot_dynamics
    from encbench.runs.analysis import check_rates, compare_dynamics
    from encbench.runs.missing_data import refuse_missing_data
    from encbench.runs.parts import build_model, build_task, cell_streams, plugin_named

    files = output / "dynamics.png", output / "dynamics.json"
    check_writable(*files)
    factors = factor or [0.05, 1.5]
    check_rates(factors, steps)
    registry, console = default_registry(), output_console()
    suite = override(
        None,
        # the rates are multiples of lr_crit at these points
        asked_changes(network={"width": width, "depth": depth}, training={"lr": 1.0}),
        registry,
        encodings=[encoding],
        tasks=[task],
        seeds=[seed],
    )
    cells = encbench.plan(suite, registry)
    if len(cells) != 1:
        raise UsageError(f"{task!r} names {len(cells)} targets; give one")
    refuse_missing_data(cells, registry)
    streams = cell_streams(cells[0])
    target = build_task(cells[0], registry)
    model = build_model(cells[0], target, registry, streams)
    with Progress(console=Console(stderr=True)) as bars, plugin_named(cells[0], target):
        bar = bars.add_task("gradient descent", total=len(factors) * (steps + 1))
        found = compare_dynamics(
            model, target, factors, steps, streams.generator("data"), lambda step: bars.advance(bar)
        )
    held_out = found[0].held_out is not None
    columns = ["lr / lr_crit", "lr", "loss at 0", "measured", "predicted", "10 % apart at"]
    columns += ["held out: measured", "held out: predicted"] * held_out
    table = plain_table(*columns, numbers=columns)
    for item in found:
        table.add_row(
            f"{item.factor:g}",
            f"{item.lr:.4g}",
            f"{item.measured[0]:.3e}",
            f"{item.measured[-1]:.3e}",
            f"{item.predicted[-1]:.3e}",
            "never" if item.parted is None else f"step {item.parted}",
            *(
                f"{curve[-1]:.3e}"
                for curve in (item.held_out, item.held_out_predicted)
                if curve is not None
            ),
        )
    console.print(table)
    title = f"{task} × {encoding}, width {width}"
    plot_dynamics(files[0], found, title)
    data = {"title": title, "seed": seed, "curves": [item.data() for item in found]}
    write_json(files[1], data)
    console.print(f"plot: {files[0]}", highlight=False)
