"""``encbench reproduce paper``: the paper's experiments, and a page with an answer per claim."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from encbench.cli.console import duration, print_line
from encbench.cli.options import Device, Jobs
from encbench.plugins.registry import default_registry
from encbench_leaderboard.paper.printed import FIGURES

if TYPE_CHECKING:
    from encbench_leaderboard.paper.experiments import Experiment

REGIONS = {"smoke": 128, "laptop": 512, "full": 1024}
"""Pixels per side of figure 13; to count patterns exactly takes 40 s per network at 1024."""


def reproduce(
    what: Annotated[Literal["paper"], typer.Argument(help="What to run again.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM,…",
            help="table1 … table4, figure2 … figure14, claims, theorem, tuned; default: claims, "
            "which needs all of them. Repeatable.",
        ),
    ] = None,
    scale: Annotated[
        Literal["smoke", "laptop", "full"],
        typer.Option(
            help="smoke: a minute, to see whether it runs; laptop: 90 minutes on two cores; full: "
            "the paper's settings, days."
        ),
    ] = "laptop",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For Table 2: a folder of folders of images, such as ImageNet's train/; one image "
            "is drawn from each. Default: packaged photographs.",
        ),
    ] = None,
    mesh: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="For Table 4: a mesh file; default: the three scans if `encbench data fetch` got "
            "them and the scale is not smoke, else built-in solids. Repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Default: results/paper-SCALE."),
    ] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only list the parts, and how long they take.")
    ] = False,
) -> None:
    """Run the paper's experiments again.

    Writes DIR/paper.md and DIR/paper.html: for each table and claim the paper's number, ours with
    its interval, and whether they agree. Each part is an ordinary run or tuning in a folder of DIR;
    the same command resumes it.

    \b
    Examples:
      encbench reproduce paper -n
      encbench reproduce paper --scale smoke
      encbench reproduce paper --only table3,figure2 -o results/table3
      encbench reproduce paper --only table2 --images imagenet/train
      encbench reproduce paper --only table4 --mesh armadillo.ply --scale full

    Exit codes: 0 all well, 1 some cells failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.
    """
    # these import torch, which `encbench reproduce --help` does not need
    from encbench.device import resolve_device
    from encbench.runs.executors.local import default_jobs
    from encbench.runs.parts import failed_metrics_counted
    from encbench_leaderboard.paper.experiments import SCALES, experiments, wanted_items
    from encbench_leaderboard.paper.foretold import foretold_seconds

    registry, console = default_registry(), Console(stderr=True)
    items = wanted_items(only or ())
    with failed_metrics_counted():
        made, notes = experiments(SCALES[scale], items, images, mesh or (), registry)
    for note in notes:
        print_line(console, f"note: {note}", "yellow")
    at_once = jobs or default_jobs(resolve_device(device), 1)
    directory = output or Path("results") / f"paper-{scale}"
    total = 0.0
    summaries: dict[str, str] = {}
    for one in made:
        seconds = foretold_seconds(one, registry, at_once)
        summaries[one.name] = f"{one.title}: {_cells(one)}, about {duration(seconds)}"
        total += seconds
        if dry_run:
            typer.echo(f"{one.name:<16} {summaries[one.name]}")
    print_line(console, f"{len(made)} parts, about {duration(total)} with {at_once} at a time")
    if dry_run:
        return
    # this imports pandas and plotly, which a dry run does not need
    from encbench_leaderboard.paper.laboratory import answer, run_experiments

    def tell(one: Experiment) -> None:
        print_line(console, f"{directory / one.name}: {summaries[one.name]}", "bold")

    try:
        ran, evidence = run_experiments(
            made, directory, registry, console, tell, jobs=jobs, device=device
        )
    except KeyboardInterrupt as stop:
        print_line(console, "interrupted. Give the same command to resume.", "yellow")
        raise typer.Exit(128 + getattr(stop, "number", signal.SIGINT)) from None
    for page in answer(ran, evidence, scale, notes, directory):
        typer.echo(f"wrote {page}")
    for captions in _draw(items, [one.name for one in made], directory, scale):
        typer.echo(f"wrote {captions} and its figures")
    statuses = {s.record.status for records in evidence.records.values() for s in records}
    if statuses - {"ok", "diverged"}:
        raise typer.Exit(1)


def _draw(
    items: Sequence[str], parts: Sequence[str], directory: Path, scale: str
) -> Iterator[Path]:
    """Draw the requested figures, or all of them for "claims", into a folder per part; yield the
    files with their captions."""
    from encbench_leaderboard.paper.experiments import ITEMS
    from encbench_leaderboard.paper_figures.drawing import draw_figures  # matplotlib

    asked = [figure for figure in FIGURES if figure in items or "claims" in items]
    for part in parts:
        # the first of several solids
        experiment = part.removesuffix("-1") if part.startswith("table4") else part
        wanted = [figure for figure in asked if ITEMS[figure][0] == experiment]
        if wanted:
            folder = directory / "figures" / part
            draw_figures(directory / part, wanted, folder, side=REGIONS[scale])
            yield folder / "captions.md"


def _cells(one: Experiment) -> str:
    encodings = len(one.suite.encodings)
    if one.tuning is None:
        return f"{encodings} encodings × {len(one.suite.tasks) * len(one.suite.seeds)}"
    return f"{one.tuning.asked.trials} trials of {encodings} encodings"
