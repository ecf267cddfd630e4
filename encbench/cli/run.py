"""``encbench run``: train and measure each encoding on each task."""

from __future__ import annotations

import re
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

import encbench
from encbench.cli.console import print_line
from encbench.cli.options import (
    AskedSuite,
    Device,
    Epochs,
    HiddenDepth,
    HiddenWidth,
    Jobs,
    OptimizerText,
    ParameterizationText,
    ScheduleText,
    Steps,
    Threads,
    TimeLimit,
    asked_changes,
)
from encbench.cli.planned import note_device, note_unable, print_estimate, print_plan
from encbench.cli.progress import RunProgress
from encbench.errors import UsageError
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_value, parse_values
from encbench.runs.limits import Limits, parse_memory, parse_seconds
from encbench.suite.file import override
from encbench.suite.sweep import SWEEP

if TYPE_CHECKING:
    # imports torch, which `encbench run --help` does not need
    from encbench.runs.interface import Executor


def run_cells(
    suite: AskedSuite = None,
    encoding: Annotated[
        list[str] | None,
        typer.Option("-e", "--encoding", help="NAME or NAME:KEY=VALUE,…[ as LABEL]; repeatable."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="NAME or NAME:KEY=VALUE,…; repeatable."),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Seed; repeatable.")] = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: Annotated[str | None, typer.Option(help='Points per step, or "all".')] = None,
    lr: Annotated[
        list[str] | None,
        typer.Option(help='Learning rate, a number or "auto". Repeatable: a sweep.'),
    ] = None,
    optimizer: OptimizerText = None,
    schedule: ScheduleText = None,
    width: HiddenWidth = None,
    depth: HiddenDepth = None,
    parameterization: ParameterizationText = None,
    ntk_points: Annotated[
        str | None, typer.Option(help='Points for the NTK spectra, or "all"; 0: no spectra.')
    ] = None,
    ntk_outputs: Annotated[str | None, typer.Option(help="trace or full.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="parameters=N",
            help="Size each encoding so that it and its network have N parameters, such as 300k.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, such as training.evaluations=64."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION.KEY=VALUE,…",
            help="Run a cell for each value of a setting or parameter, such as ffe.levels=4,8, or "
            "adam.beta2=0.9,0.99 with --optimizer adam. Repeatable: every combination.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Results folder; default: results/SUITE."),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    device: Device = "auto",
    rerun: Annotated[
        Literal["never", "interrupted", "failed", "diverged", "all"],
        typer.Option(help="Which recorded cells to run again."),
    ] = "failed",
    keep_versions: Annotated[
        bool,
        typer.Option(
            "--keep-versions",
            help="Keep records made with other versions of the plug-ins instead of running again.",
        ),
    ] = False,
    save_weights: Annotated[
        bool,
        typer.Option(
            "--save-weights",
            help="Keep trained networks in the records, for encbench render; cells recorded "
            "without them run again.",
        ),
    ] = False,
    on_failure: Annotated[
        Literal["continue", "stop"],
        typer.Option(help="After a cell that is not ok: run the others, or start no more cells."),
    ] = "continue",
    timeout: TimeLimit = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Memory limit of a cell, its process included: 4GB, 2GiB."
        ),
    ] = None,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Run every cell in a new process.")
    ] = False,
    retries: Annotated[int, typer.Option(help="Maximum repeats of a cell whose process died.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run on a Dask cluster: tcp://host:8786 or a scheduler file."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="Start Dask workers by dask-jobqueue: slurm, pbs, sge, lsf, …."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Jobs to request from the --cluster; default: 1.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Run only the I-th of N shares of the cells, for a job array."
        ),
    ] = None,
    report: Annotated[
        bool | None,
        typer.Option(
            "--report/--no-report",
            help="Render the leaderboard at the end; default: yes, except with --shard.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "-n", help="Only list the cells that would run, and their settings."
        ),
    ] = False,
    time_needed: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="With -n: run some cells for a few steps, and estimate the time of all.",
        ),
    ] = False,
) -> None:
    """Train and measure each encoding on each task.

    Without arguments the packaged quick suite runs. Flags override what the suite says. A cell is
    one encoding on one task with one seed, and one value of each --sweep. Cells that have a record
    in the results folder are not run again: to resume an interrupted run, give the same command.

    Ctrl-C once: running cells stop and are recorded as interrupted; twice: stop at once. A cell
    that fails, diverges, runs out of time or memory, or whose process dies is recorded as such,
    and the others run on.

    \b
    Examples:
      encbench run
      encbench run my-suite.toml -o results/mine -j 4
      encbench run -e ffe:levels=8 -e 'mpe:resolutions=[32,128]' -t image:image=astronaut,side=128
      encbench run -e 'hashgrid:levels=8 as small' -e hashgrid -t image:image=coffee
      encbench run -t image:image=photos/,side=128 --seed 0 --seed 1 --epochs 50
      encbench run --lr 2.5e-3 --parameterization standard --optimizer adam
      encbench run --sweep training.lr_factor=0.5,1,2 --sweep hashgrid.levels=4,8
      encbench run -e mpe -e hashgrid -e ffe --budget parameters=300k -n --estimate
      encbench run --rerun all
      encbench run -j 4 --timeout 30m --memory 8GB --on-failure stop
      encbench run my-suite.toml --scheduler tcp://10.0.0.5:8786 --device cuda
      encbench run my-suite.toml --cluster slurm --workers 8
      encbench run my-suite.toml --shard 3/64 -o results/mine

    Exit codes: 0 all cells ok, 1 a cell not ok or no page could be written, 2 wrong usage, 130
    Ctrl-C, 143 SIGTERM.
    """
    registry = default_registry()
    changes = asked_changes(
        setting or (),
        network={"width": width, "depth": depth, "parameterization": parameterization},
        training={
            "epochs": epochs,
            "steps": steps,
            "batch_size": _whole_or_text(batch_size),
            "lr": _rates(lr),
            "optimizer": optimizer,
            "schedule": schedule,
        },
        ntk={"points": _whole_or_text(ntk_points), "outputs": ntk_outputs},
        budget=_budget(budget),
    )
    parameters: dict[str, dict[str, Any]] = {}
    for text in sweep or []:
        owner, key, value = _sweep(text)
        table = changes[owner] if owner in changes else parameters.setdefault(owner, {})
        if key in table:
            raise UsageError(f"--sweep {text!r}: {owner}.{key} is given more than once")
        table[key] = value
    chosen = override(
        suite,
        changes,
        registry,
        encodings=encoding,
        tasks=task,
        seeds=seed,
        parameters=parameters,
    )
    if output is None:
        output = Path("results") / chosen.name

    limits = Limits(
        parse_seconds(timeout) if timeout is not None else None,
        parse_memory(memory) if memory is not None else None,
    )
    part = None if shard is None else _shard(shard)
    console = Console(stderr=True)
    if workers is not None and cluster is None:
        raise UsageError("--workers is the number of jobs of --cluster; give --cluster, too")
    if scheduler is not None and cluster is not None:
        raise UsageError("give --scheduler to join a cluster or --cluster to start one, not both")
    if jobs is not None and (scheduler or cluster):
        raise UsageError(
            "-j is for this machine; on a cluster each worker thread runs a cell: "
            "dask worker --nthreads N"
        )
    if time_needed and not dry_run:
        raise UsageError("--estimate goes with -n: a run prints its remaining time itself")
    how: dict[str, Any] = {
        "device": device,
        "threads": threads,
        "limits": limits,
        "isolate": isolate,
        "retries": retries,
        "save_weights": save_weights,
    }
    if dry_run:
        from encbench.runs.interface import RunOptions
        from encbench.runs.missing_data import missing_data, missing_in_words
        from encbench.runs.reuse import Reuse, left_to_run
        from encbench.runs.runner import check_machine
        from encbench.runs.shares import share_of
        from encbench.suite.plan import keyed_plan

        check_machine(device, threads, jobs)
        RunOptions(**how)  # refuses what the run would refuse
        cells = share_of(keyed_plan(chosen, registry), part)
        missing: list[str] = []
        if not (scheduler or cluster):
            note_device(device, console)
            if missing := missing_data(cells.values(), registry, output):
                note_unable(missing_in_words(missing), console)
        left = left_to_run(list(cells.values()), output, Reuse(rerun, keep_versions, save_weights))
        print_plan(cells, left, output, registry, console, told=missing)
        if time_needed and left:
            print_estimate(left, registry, device, threads, console)
        return
    started = time.monotonic()
    with (
        RunProgress(console) as progress,
        _cluster(scheduler, cluster, workers, how) as executor,
    ):
        try:
            result = encbench.run_suite(
                chosen,
                output,
                registry=registry,
                jobs=jobs,
                executor=executor,
                rerun=rerun,
                keep_versions=keep_versions,
                on_failure=on_failure,
                shard=part,
                report=part is None if report is None else report,
                watcher=progress,
                **how,
            )
        except KeyboardInterrupt as stop:
            progress.stop()
            done = f"interrupted; cells with a result in {output}: {progress.finished}"
            print_line(console, f"{done}. Give the same command to resume.", "yellow")
            raise typer.Exit(128 + getattr(stop, "number", signal.SIGINT)) from None
    progress.summary(result, time.monotonic() - started)
    if not (result.all_ok and result.reported):
        raise typer.Exit(1)


def _cluster(
    scheduler: str | None, cluster: str | None, workers: int | None, how: dict[str, Any]
) -> AbstractContextManager[Executor | None]:
    """The Dask executor that was requested; None to run on this machine."""
    if scheduler is None and cluster is None:
        return nullcontext()
    from encbench.runs.executors.dask import connect  # an optional extra

    return connect(scheduler, cluster, workers=workers or 1, **how)


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise UsageError(f"--shard {text!r}: expected I/N, such as 3/64")
    return int(found[1]), int(found[2])


def _budget(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    name, _, value = text.partition("=")
    if name.strip() != "parameters" or not value:
        raise UsageError(f"--budget {text!r}: expected parameters=N, such as parameters=300k")
    return {"parameters": parse_value(value.strip())}


def _sweep(text: str) -> tuple[str, str, dict[str, list[Any]]]:
    name, equals, values = text.partition("=")
    owner, dot, key = name.strip().rpartition(".")
    if not (equals and dot and owner and key):
        raise UsageError(
            f"--sweep {text!r} is not SECTION.KEY=VALUE,… or ENCODING.PARAMETER=VALUE,…, such as "
            "training.lr_factor=0.5,1,2 or ffe.levels=4,8"
        )
    return owner, key, {SWEEP: parse_values(values)}


def _whole_or_text(text: str | None) -> int | str | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


def _rates(texts: list[str] | None) -> Any:
    """The learning rate that was given, or a sweep over several."""
    rates = [_number_or_text(text) for text in texts or []]
    return {SWEEP: rates} if len(rates) > 1 else next(iter(rates), None)


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
