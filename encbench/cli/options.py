"""Options and arguments that several verbs take alike, as Typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encbench.cli.settings import DEFAULT_SUITE

AskedSuite = Annotated[
    str | None,
    typer.Argument(
        help="A packaged suite's name or a TOML file; see `encbench list suites`.",
        show_default=DEFAULT_SUITE,
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Passes over all points.")]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")]
OptimizerText = Annotated[
    str | None, typer.Option(help="Such as sgd or adam:beta2=0.99; `encbench list optimizers`.")
]
ScheduleText = Annotated[
    str | None, typer.Option(help="Learning-rate schedule, such as cosine:final=0.1.")
]
HiddenWidth = Annotated[int | None, typer.Option(help="Units of a hidden layer.")]
HiddenDepth = Annotated[int | None, typer.Option(help="Hidden layers.")]
ParameterizationText = Annotated[str | None, typer.Option(help="ntk or standard.")]
Jobs = Annotated[
    int | None,
    typer.Option("-j", "--jobs", help="Cells at a time; default: one per core or GPU."),
]
Threads = Annotated[int, typer.Option(help="Threads of each cell.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
TimeLimit = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Time limit of a cell: 90 (seconds), 10m or 1.5h."),
]
RecordPlace = Annotated[
    Path, typer.Argument(metavar="RECORD", help="A record's folder, or a results folder.")
]
RecordKey = Annotated[str | None, typer.Argument(help="Beginning of the record's key.")]
