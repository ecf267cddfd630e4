"""``encbench show``: a results folder as a table, or one record."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from encbench.cli.console import facts_table, literal, literal_label, output_console, plain_table
from encbench.cli.options import RecordKey
from encbench.cli.record_arguments import is_record, one_record
from encbench.contracts.metric import MetricValue
from encbench.errors import UsageError, plural
from encbench.results.kernel_summary import LinearizedTraining, SpectrumSummary
from encbench.results.records import Record, StoredRecord
from encbench.results.store import load_records
from encbench.results.value_text import quantity
from encbench.suite.config import cell_key
from encbench.suite.labels import told_apart

SHORTEST_KEY = 6
"""Minimum length of keys in a table [characters]; longer if two begin alike."""


def show(
    where: Annotated[Path, typer.Argument(help="A record's folder, or a results folder.")],
    key: RecordKey = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print the whole record, not a summary.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Print the traceback, too.")] = False,
) -> None:
    """Show the records of a results folder.

    Lists them, the best of each task first. With a key or a record's folder, shows one record.

    \b
    Examples:
      encbench show results/quick
      encbench show results/quick 3fa1
      encbench show results/quick/records/3f/3fa1… --all
    """
    console = output_console()
    if key is None and not is_record(where):
        if everything or trace:
            flag = "--all" if everything else "--trace"
            raise UsageError(f"{flag} shows one record; give its key, or leave out {flag}")
        _print_list(console, where, as_json=as_json)
        return
    stored = one_record(where, key)
    if as_json:
        typer.echo(stored.record.model_dump_json(indent=2))
    elif everything:
        _print_all(console, stored, trace=trace)
    else:
        _print_summary(console, stored, trace=trace)


def _print_list(console: Console, where: Path, *, as_json: bool) -> None:
    records = [stored.record for stored in load_records(where)]
    if as_json:
        found = [
            {
                "key": r.key,
                "status": r.status,
                "task": r.task_label,
                "encoding": r.encoding_label,
                "seed": r.cell.seed,
                "metrics": {name: metric.value for name, metric in r.metrics.items()},
                "parameters": sum(r.parameters.values()),
                "training_s": r.durations.get("training"),
            }
            for r in records
        ]
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    settings = told_apart({cell_key(record.cell): record.cell for record in records})
    keys = sorted(record.key for record in records)
    length = next(n for n in range(SHORTEST_KEY, 99) if len({key[:n] for key in keys}) == len(keys))
    for task, of_task in itertools.groupby(sorted(records, key=_place), attrgetter("task_label")):
        numbers = ("seed", "quality", "parameters", "training [s]")
        table = plain_table("key", "encoding", *numbers, "status", title=task, numbers=numbers)
        table.title_style = "bold"
        for record in of_task:
            seconds = record.durations.get("training")
            table.add_row(
                record.key[:length],
                literal_label(record.encoding_label + settings[cell_key(record.cell)]),
                str(record.cell.seed),
                literal(_value(record.metrics.get(record.curve))),
                f"{sum(record.parameters.values()):,}",
                "–" if seconds is None else f"{seconds:.1f}",
                literal(record.status.replace("_", " ")),
            )
        console.print(table)


def _place(record: Record) -> tuple[str, bool, float, str, int]:
    """Sort key: by task, best value first, records without a value last."""
    metric = record.metrics.get(record.curve)
    known = record.status == "ok" and metric is not None and metric.value is not None
    value = (metric.value or 0.0) if metric is not None and known else 0.0
    rising = metric is not None and metric.direction == "lower"
    order = value if rising else -value
    return record.task_label, not known, order, record.encoding_label, record.cell.seed


def _value(metric: MetricValue | None) -> str:
    if metric is None or metric.value is None:
        return "–"
    return quantity(metric.value, metric)


def _print_summary(console: Console, stored: StoredRecord, *, trace: bool) -> None:
    record = stored.record
    console.print(literal(f"{record.cell.label}: {record.status.replace('_', ' ')}"), style="bold")
    table = facts_table("dim")
    for name, text in _facts(stored):
        table.add_row(literal(name), literal(text))
    console.print(table)
    if record.error is not None and trace and record.error.traceback:
        console.print(literal(record.error.traceback))
    elif record.error is not None and record.error.traceback:
        console.print("`--trace` prints the traceback.", style="dim", markup=False)
    console.print("`--all` prints the whole record.", style="dim", markup=False)


def _facts(stored: StoredRecord) -> Iterator[tuple[str, str]]:
    """Names and values that summarize a record."""
    record = stored.record
    if record.error is not None:
        where = f" in {record.phase}" if record.phase else ""
        yield "error", f"{record.error.type}{where}: {record.error.message}"
    for name, metric in record.metrics.items():
        text = _value(metric)
        if name == record.curve and record.best is not None:
            text += f" (best during training {record.best:.4g} at step {record.best_step:,})"
        if metric.value is None and "reason" in metric.details:
            text += f" ({metric.details['reason']})"
        yield metric.title or name, text
    if record.parameters:
        parts = ", ".join(f"{name} {count:,}" for name, count in record.parameters.items())
        yield "parameters", f"{sum(record.parameters.values()):,} ({parts})"
    training, network = record.cell.training, record.cell.network
    activation = f", {record.activation}" if record.activation else ""
    yield "network", f"{network.described.removeprefix('network ')}{activation}"
    rate = record.learning_rate
    if rate is not None:
        text = f"{training.optimizer}, {training.schedule} rate {rate.value:.4g} ({rate.rule})"
        critical = f"; lr_crit {rate.critical:.4g}" if rate.critical else ""
        yield "optimizer", text + critical
    yield "training", f"{plural(record.steps, 'step')} of {training.batch_size} points"
    for spectrum in record.spectra:
        numbers = {
            "λ_max": spectrum.maximum,
            "median": spectrum.median,
            "λ_min": spectrum.minimum,
        }
        shown = ", ".join(
            f"{name} {f'≤ {spectrum.floor:.1e}' if value is None else f'{value:.3g}'}"
            for name, value in numbers.items()
        )
        yield f"NTK, {spectrum.when}", f"{shown} ({spectrum.points:,} points)"
        if related := ", ".join(_related(spectrum)):
            yield "", related
    if record.linearized is not None:
        yield "predicted", _predicted(record.linearized)
    spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in record.durations.items())
    yield "time", spent or "–"
    if record.peak_memory_bytes:
        yield "memory", f"{record.peak_memory_bytes / 2**20:,.0f} MiB at most"
    made = record.provenance
    yield "made", f"{made.finished or made.started} by encbench {made.encbench}, {made.device}"
    names = [*sorted(stored.arrays), *sorted(file.name for file in stored.path.glob("*.png"))]
    yield "files", ": ".join(filter(None, (str(stored.path), ", ".join(names))))
    yield "key", record.key


def _related(spectrum: SpectrumSummary) -> Iterator[str]:
    """Alignment with the target, eigenvectors for 90 % of its energy, lr / lr_crit, and drift."""
    fit = spectrum.target
    if fit is not None and fit.alignment is not None:
        centred = "" if fit.alignment_centred is None else f", centred {fit.alignment_centred:.3g}"
        yield f"alignment with the target {fit.alignment:.3g}{centred}"
    if fit is not None and (of := fit.target_centred) is not None:
        at = f" at {fit.energy_points:,} of the points" if fit.energy_points else ""
        within = f"{of.k_90 or 'more than the resolved'} eigenvectors{at}"
        yield f"90 % of the centred target's energy in {within}"
    if spectrum.lr_ratio is not None:
        yield f"lr / lr_crit {spectrum.lr_ratio:.3g}"
    if spectrum.drift is not None:
        yield f"drift since the start {spectrum.drift:.3g}"


def _predicted(found: LinearizedTraining) -> str:
    if found.not_predicted:
        return f"nothing: {found.not_predicted}"
    steps = ", ".join(
        f"{level} dB at step {_step(predicted)} (measured {_step(measured)})"
        for level, predicted, measured in found.levels
        if predicted is not None or measured is not None
    )
    steps = steps or f"{found.levels[0][0]} dB neither predicted nor reached"
    return f"by the kernel at the start, {found.points:,} points: {steps}"


def _step(step: float | None) -> str:
    return "–" if step is None else f"{step:,.0f}"


def _print_all(console: Console, stored: StoredRecord, *, trace: bool) -> None:
    for section, value in stored.record.model_dump(mode="json").items():
        if section == "error" and value and not trace:
            value = {k: v for k, v in value.items() if k != "traceback"}
        _print(console, section, value)
    arrays = {name: f"{v.dtype} {v.shape}" for name, v in stored.arrays.items()}
    _print(console, "arrays", arrays)
    pictures = sorted(str(file) for file in stored.path.glob("*.png"))
    _print(console, "pictures", pictures)


def _print(console: Console, name: str, value: object, indent: int = 0) -> None:
    pad = " " * indent
    if isinstance(value, dict) and value:
        console.print(literal(f"{pad}{name}:"))
        for key, inner in value.items():
            _print(console, key, inner, indent + 2)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        console.print(literal(f"{pad}{name}:"))
        for number, inner in enumerate(value, start=1):
            _print(console, str(number), inner, indent + 2)
    elif isinstance(value, str) and "\n" in value:
        console.print(literal(f"{pad}{name}:\n{value}"))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        console.print(literal(f"{pad}{name}: {text}"), soft_wrap=True)
