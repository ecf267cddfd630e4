"""Output of ``encbench run -n``: cells, their settings, numbers of parameters, estimated time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import typer
from rich.console import Console

from encbench.cli.console import duration, print_line
from encbench.errors import EncbenchError, UsageError, error_line, plural
from encbench.plugins.registry import Registry
from encbench.suite.config import CellConfig, NetworkConfig, cell_key
from encbench.suite.labels import cell_names, unique_labels
from encbench.suite.protocol import batch, protocol_parts, rate_in_words, several


def print_plan(
    cells: Mapping[str, CellConfig],
    left: Sequence[CellConfig],
    output: Path,
    registry: Registry,
    console: Console,
    told: Collection[str] = (),
) -> None:
    """Print the cells to standard output, their settings and sizes to ``console``.

    Reasons for which data cannot be read are printed, too, except those in ``told``.
    """
    from encbench.suite.budget import parameters_of_cell  # torch

    names = cell_names(cells)
    unread: dict[str, str] = {}
    for cell in left:
        note = ""
        if cell.data_hash is None:
            note = " (its data cannot be read)"
            task = cell.task.model_dump_json()
            unread[task] = unread.get(task) or _why_unread(cell, registry)
        typer.echo(f"{names[cell_key(cell)]}{note}")
    for reason in dict.fromkeys(unread.values()):
        if reason not in told:
            print_line(console, reason, "yellow")
    if len(left) < len(cells):
        recorded = f"{len(cells) - len(left)} of {len(cells)} cells"
        print_line(console, f"{recorded} have a record already in {output}")
    tasks_named = unique_labels({cell.task.content: cell.task for cell in left})
    by_task: dict[str, list[CellConfig]] = {}
    seen: set[tuple[str, str, NetworkConfig]] = set()
    found: dict[tuple[str, str], list[int]] = {}
    unknown: dict[str, None] = {}
    dimensions: dict[str, tuple[int, int]] = {}
    for cell in left:
        by_task.setdefault(tasks_named[cell.task.content], []).append(cell)
        # entries with one label may differ in their parameters, as in a sweep
        of_one = cell.encoding.model_dump_json(), cell.task.model_dump_json(), cell.network
        if of_one not in seen:
            seen.add(of_one)
            numbers = found.setdefault((cell.encoding.shown, cell.encoding.name), [])
            try:
                numbers.append(parameters_of_cell(cell, registry, dimensions))
            except EncbenchError as error:
                if cell.data_hash is not None:  # otherwise reported above
                    unknown[str(error)] = None
    settings: dict[str, list[str]] = {}
    for task, of_task in by_task.items():
        settings.setdefault(_protocol(of_task), []).append(task)
    for text, tasks in settings.items():
        of = "; ".join(tasks) if len(settings) > 1 else ""
        print_line(console, f"{of}{': ' if of else ''}{text}")
    plugins_of = Counter(label for label, _ in found)
    for (label, plugin), numbers in found.items():
        encoding = f"{label} ({plugin})" if plugins_of[label] > 1 else label
        low, high = min(numbers, default=0), max(numbers, default=0)
        text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        print_line(console, f"{encoding}: {text if numbers else 'unknown number of'} parameters")
    for reason in unknown:
        print_line(console, reason, "yellow")


def note_device(device: str, console: Console) -> None:
    """Print a note if this machine lacks the device of a plan, which may be for another."""
    from encbench.device import resolve_device  # torch

    try:
        resolve_device(device)
    except UsageError as error:
        note_unable(str(error), console)


def note_unable(reason: str, console: Console) -> None:
    """Print a note on why this machine could not run a plan, which may be for another."""
    print_line(console, f"note: this machine could not run this: {reason}", "yellow")


def _why_unread(cell: CellConfig, registry: Registry) -> str:
    from encbench.contracts.task import content_hash  # torch

    task = registry.find("task", cell.task.qualified)
    try:
        task.call(lambda cls: content_hash(cls, cell.task.parameters))
    except EncbenchError as error:
        return str(error)
    except Exception as error:
        return error_line(error)
    return f"{cell.task.label}: the data can be read now, but could not be read a moment ago"


def _protocol(cells: Sequence[CellConfig]) -> str:
    training = [cell.training for cell in cells]
    rates = ((t, "" if t.lr == "auto" else f"{t.lr:g}") for t in training)
    lengths = (
        plural(t.epochs or 0, "epoch") if t.steps is None else plural(t.steps, "step")
        for t in training
    )
    points = several("all" if (n := c.ntk.points) == "all" else f"up to {n}" for c in cells)
    spectra = f"spectra of {points} points" if any(c.ntk.points for c in cells) else "no spectra"
    return "; ".join(
        [
            *protocol_parts(cells, rate_in_words(rates), several(lengths), map(batch, training)),
            spectra,
        ]
    )


def print_estimate(
    left: Sequence[CellConfig],
    registry: Registry,
    device: str,
    threads: int,
    console: Console,
) -> None:
    """Run some cells for a few steps, and print the estimated time of all."""
    import torch

    from encbench.device import resolve_device
    from encbench.runs.estimate import STEPS, estimate
    from encbench.runs.interface import RunOptions

    torch.set_num_threads(threads)
    with console.status("estimating") as status:
        found = estimate(
            left,
            registry,
            RunOptions(resolve_device(device), threads),
            watch=lambda done, total: status.update(f"timing cell {done + 1} of {total}"),
        )
    for problem in found.problems:
        print_line(console, problem, "yellow")
    if math.isfinite(found.seconds):
        print_line(
            console,
            f"about {duration(found.seconds)} for {plural(len(left), 'cell')} one after another, "
            f"estimated from {STEPS} steps of {found.rehearsed} of them",
        )
