"""``encbench tune``: tune each encoding's settings with an equal number of trials."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

import encbench
from encbench.cli.console import literal, output_console, plain_table, print_line
from encbench.cli.options import (
    AskedSuite,
    Device,
    Epochs,
    Jobs,
    OptimizerText,
    ScheduleText,
    Steps,
    Threads,
    TimeLimit,
    asked_changes,
)
from encbench.cli.planned import note_device
from encbench.cli.progress import RunProgress
from encbench.errors import UsageError, plural
from encbench.plugins.registry import default_registry
from encbench.runs.limits import Limits, parse_seconds
from encbench.suite.file import Suite, override

if TYPE_CHECKING:
    # these import torch, which `encbench tune --help` does not need
    from encbench.results.records import StoredRecord
    from encbench.runs.trials import Tuning
    from encbench.runs.tuning_report import TuneResult


def tune(
    suite: AskedSuite = None,
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--encoding",
            help="Encoding to tune, NAME or NAME:KEY=VALUE,…; parameters given here are not "
            "searched. Repeatable.",
        ),
    ] = None,
    report_on: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--task",
            "--report-on",
            help="Task to report on; default: the suite's. Repeatable.",
        ),
    ] = None,
    tune_on: Annotated[
        list[str] | None,
        typer.Option(
            "--tune-on",
            help="Task to tune on, which is not reported; default: the suite's only task, which is "
            "then reported with other seeds. Repeatable.",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Trials per encoding, the default setting included.")
    ] = 20,
    seed: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Seed to report on; default: the suite's. Repeatable."),
    ] = None,
    tune_seed: Annotated[
        list[int] | None,
        typer.Option(
            help="Seed to tune on; the first also draws the trials. Default: 1000. Repeatable."
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME.KEY=RANGE",
            help="Replace or add a search space: a range, ffe.levels=4..12 or "
            "training.lr=1e-4..1e-2:log; a choice, training.lr=1e-3|1e-2; or a fixed value, "
            "training.batch_size=256. Repeatable.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to rank by; default: that of the task's curve.")
    ] = None,
    sampler: Annotated[
        Literal["sobol", "tpe"],
        typer.Option(
            help="sobol: trials are drawn beforehand and run in any order, on any machine. tpe "
            "(Optuna, pip install 'encbench[tpe]'): each trial depends on earlier ones, so they "
            "run one after another, on this machine only."
        ),
    ] = "sobol",
    steps: Steps = None,
    epochs: Epochs = None,
    optimizer: OptimizerText = None,
    schedule: ScheduleText = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, for all encodings: network.width=128."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Results folder; default: results/SUITE-tuned."),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    device: Device = "auto",
    timeout: TimeLimit = None,
    rerun: Annotated[
        Literal["interrupted", "failed"],
        typer.Option(help="Which recorded cells to run again; a timeout counts as failed."),
    ] = "failed",
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Render the leaderboard at the end.")
    ] = True,
    draw_only: Annotated[
        bool,
        typer.Option(
            "--draw-only",
            help="Only write DIR/trials.toml, for `encbench run DIR/trials.toml -o DIR/trials` on "
            "a cluster or in shares; then give this command without it.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only list spaces, trials and cells.")
    ] = False,
) -> None:
    """Tune each encoding with N trials.

    Trial 0 is the default setting. The others are drawn beforehand from the encoding's own search
    space (`encbench list NAME`) and from those of the learning rate, the encoding's learning rate
    and the batch size. The best on the tuning targets and seeds is run on the reported ones, beside
    the default setting. A trial that diverges, fails or takes too long ranks last.

    Writes to DIR: tune.md (results), tune.json (everything), best-of-k.csv and .png (expected
    results of fewer trials), tuned.toml (a suite of the tuned settings), and records, which
    `encbench leaderboard DIR` compares. Trials are records in DIR/trials. To resume an interrupted
    tuning, or to add trials, give the command again.

    \b
    Examples:
      encbench tune -e ffe -e mpe -e hashgrid -t image:image=photo.jpg,side=96 -o results/tuned
      encbench tune my-suite.toml --trials 40 --seed 0 --seed 1 --seed 2 -j 4
      encbench tune -e siren -t image:image=coffee --tune-on image:image=chelsea --optimizer adam
      encbench tune -e ffe -t image --space ffe.levels=4..10 --space training.batch_size=32 -n
      encbench tune -e mpe -t image --optimizer adam --space 'training.lr=1e-3|3e-3|1e-2' -n

    Exit codes: 0 all well, 1 a reported cell is not ok or no page could be written, 2 wrong usage,
    130 Ctrl-C, 143 SIGTERM.
    """
    # these import torch, which `encbench --help` does not need
    from encbench.runs.runner import check_machine
    from encbench.runs.trials import TUNE_SEED, plan_tuning
    from encbench.runs.tuning import run_tuning, write_trials

    registry = default_registry()
    training = {"steps": steps, "epochs": epochs, "optimizer": optimizer, "schedule": schedule}
    changes = asked_changes(setting or (), training=training)
    chosen = override(suite, changes, registry, encodings=encoding, tasks=report_on, seeds=seed)
    output = output or Path("results") / f"{chosen.name}-tuned"
    limits = Limits(None if timeout is None else parse_seconds(timeout))
    tuning = plan_tuning(
        chosen,
        trials=trials,
        tune_on=tune_on or (),
        tune_seeds=tune_seed or (TUNE_SEED,),
        space=space or (),
        metric=metric,
        sampler=sampler,
        registry=registry,
    )
    console = Console(stderr=True)
    print_line(console, tuning.asked.protocol)
    for note in tuning.asked.notes:
        print_line(console, f"note: {note}", "yellow")
    if dry_run:
        check_machine(device, threads, jobs)
        note_device(device, console)
        _print_plan(tuning, output, console)
        return
    if draw_only:
        if sampler == "tpe":
            raise UsageError(
                "--draw-only: tpe needs the results of earlier trials; use --sampler sobol"
            )
        write_trials(tuning, output)
        print_line(console, f"wrote {output / 'trials.toml'}")
        return
    with RunProgress(console) as progress:
        how: dict[str, Any] = {
            "registry": registry,
            "jobs": jobs,
            "threads": threads,
            "device": device,
            "limits": limits,
            "rerun": rerun,
            "watcher": progress,
        }

        reported: list[StoredRecord] = []
        drawn = True

        def run(suite: Suite, directory: Path, final: bool) -> Sequence[StoredRecord]:
            records = encbench.run_suite(suite, directory, report=False, **how).records
            reported.extend(records if final else [])
            return records

        try:
            result = run_tuning(tuning, output, registry, run)
            if report:
                # not in run_suite, since pages show the gain of tuning, which is known only now
                finished = {"directory": output, "records": reported}
                drawn = registry.host.notify("encbench_run_finished", **finished)
        except KeyboardInterrupt as stop:
            progress.stop()
            print_line(console, "interrupted. Give the same command to resume.", "yellow")
            raise typer.Exit(128 + getattr(stop, "number", signal.SIGINT)) from None
    _print_result(result, output)
    summaries = [s for e in result.encodings for s in (e.default, e.tuned)]
    if not drawn or any(summary is None or summary.mean is None for summary in summaries):
        raise typer.Exit(1)


def _print_plan(tuning: Tuning, output: Path, console: Console) -> None:
    from encbench.runs.reuse import left_to_run  # torch
    from encbench.suite.plan import plan

    out = output_console()
    for one in tuning.searched:
        table = plain_table("trial", *(d.name for d in one.space), title=one.entry.text)
        table.add_row("searched in", *(literal(str(d.search)) for d in one.space))
        rows = [one.default_values, *one.values]
        for number, values in enumerate(rows):
            table.add_row(str(number), *(literal(str(value)) for value in values))
        out.print(table, "")
    if tuning.asked.sampler == "tpe":
        return
    registry = default_registry()
    cells = plan(tuning.trial_suite(), registry)
    left = len(left_to_run(cells, output / "trials"))
    finals = len(plan(tuning.suite, registry))
    print_line(
        console,
        f"{plural(len(cells), 'cell')} of trials, {left} of them left to run; "
        f"then {finals} of the default settings and up to {finals} of the tuned ones",
    )


def _print_result(result: TuneResult, output: Path) -> None:
    from encbench.runs.tuning_report import HEADINGS, comparison_rows

    out = output_console()
    table = plain_table(*HEADINGS)
    for row in comparison_rows(result):
        table.add_row(*map(literal, row))
    out.print(table, "")
    print_line(out, result.legend)
    print_line(out, f"wrote {output / 'tune.md'}, tune.json, tuned.toml; records: {output}")
