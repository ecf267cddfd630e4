"""``encbench run``: cross encodings with tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

import encbench
from encbench.cli.progress import RunProgress
from encbench.config import CellConfig, TrainingConfig
from encbench.errors import UsageError
from encbench.registry import default_registry
from encbench.selector import parse_value
from encbench.suite import load_suite, override

if TYPE_CHECKING:
    # imports torch, which `encbench run --help` does without
    from encbench.runner import Rerun

DEFAULT_SUITE = "quick"
SECTIONS = ("network", "training", "ntk")


def run(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="A packaged suite's name or a TOML file; `encbench list` names those there are.",
            show_default=DEFAULT_SUITE,
        ),
    ] = None,
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            "-e", "--encoding", help="NAME or NAME:KEY=VALUE,…; repeatable.", show_default=False
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "-t", "--task", help="NAME or NAME:KEY=VALUE,…; repeatable.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Repeatable.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over all points.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Points a step.")] = None,
    lr: Annotated[
        str | None, typer.Option(help='A number, or "auto": lr-factor × the largest stable one.')
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adam.")] = None,
    width: Annotated[int | None, typer.Option(help="Units of a hidden layer.")] = None,
    depth: Annotated[int | None, typer.Option(help="Hidden layers.")] = None,
    parameterization: Annotated[str | None, typer.Option(help="ntk or standard.")] = None,
    ntk_points: Annotated[
        int | None, typer.Option(help="Points of the NTK spectra; 0 takes none.")
    ] = None,
    ntk_outputs: Annotated[str | None, typer.Option(help="trace or full.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any other setting, such as training.evaluations=64.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Results folder; default: results/SUITE."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", help="Cells at a time; default: one a core, one on a GPU."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of each cell.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "auto",
    rerun: Annotated[
        Literal["never", "failed", "diverged", "all"],
        typer.Option(help="Which cells that have a record to run again."),
    ] = "failed",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would run.")
    ] = False,
) -> None:
    """Cross encodings with tasks and measure.

    Without arguments the packaged quick suite runs. Flags override what the suite says. Cells
    that have a record in the results folder are not run again, so a run that was interrupted
    goes on where it stopped when it is given again.

    \b
    Examples:
      encbench run
      encbench run my-suite.toml -o results/mine -j 4
      encbench run -e identity -e ffe:levels=8 -e mpe:resolutions=[32,128] -t image:image=astronaut
      encbench run -t image:image=photos/,side=128 --seed 0 --seed 1 --epochs 50
      encbench run --lr 2.5 --parameterization standard --optimizer adam
      encbench run --rerun all
    """
    registry = default_registry()
    chosen = load_suite(suite or DEFAULT_SUITE, registry)
    flags: dict[str, dict[str, Any]] = {
        "network": {"width": width, "depth": depth, "parameterization": parameterization},
        "training": {
            "epochs": epochs,
            "steps": steps,
            "batch_size": batch_size,
            "lr": _number_or_text(lr),
            "optimizer": optimizer,
        },
        "ntk": {"points": ntk_points, "outputs": ntk_outputs},
    }
    changes = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in flags.items()
    }
    for text in setting or []:
        section, key, value = _setting(text)
        changes[section][key] = value
    if suite is None and (encoding or task):
        chosen = chosen.model_copy(update={"name": "custom", "description": ""})
    if suite is None and task:
        # quick's tasks are replaced, and with them what suited them: the new ones have their own
        chosen = chosen.model_copy(update={"training": TrainingConfig()})
    chosen = override(chosen, changes, encodings=encoding, tasks=task, seeds=seed)
    if output is None:
        output = Path("results") / chosen.name

    console = Console(stderr=True)
    if dry_run:
        _say_what_would_run(encbench.plan(chosen, registry), output, rerun, console)
        return
    started = datetime.now()
    with RunProgress(console) as progress:
        try:
            result = encbench.run_suite(
                chosen,
                output,
                registry=registry,
                jobs=jobs,
                threads=threads,
                device=device,
                rerun=rerun,
                watcher=progress,
            )
        except KeyboardInterrupt:
            progress.stop()
            console.print(
                f"interrupted; cells recorded in {output}: {progress.finished}. "
                "The same command goes on from there.",
                style="yellow",
                soft_wrap=True,
            )
            raise typer.Exit(130) from None
    progress.summary(result, (datetime.now() - started).total_seconds())
    if not result.all_ok:
        raise typer.Exit(1)


def _say_what_would_run(
    cells: Sequence[CellConfig], output: Path, rerun: Rerun, console: Console
) -> None:
    from encbench.runner import left_to_run  # torch

    left = left_to_run(cells, output, rerun)
    for cell in left:
        unread = " (its data cannot be read)" if cell.data_hash is None else ""
        typer.echo(f"{cell.task.label} × {cell.encoding.label} seed {cell.seed}{unread}")
    if len(left) < len(cells):
        recorded = f"{len(cells) - len(left)} of {len(cells)} cells have a record already"
        console.print(f"{recorded} in {output}", highlight=False, soft_wrap=True)


def _setting(text: str) -> tuple[str, str, Any]:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot or not key or section not in SECTIONS:
        raise UsageError(
            f"--set {text!r} is not SECTION.KEY=VALUE; sections are {', '.join(SECTIONS)}"
        )
    return section, key, parse_value(value.strip())


def _number_or_text(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
