"""``encbench rerun``: run a recorded cell again and compare the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

import encbench
from encbench.cli.console import literal, output_console, plain_table, print_line
from encbench.cli.options import RecordKey, RecordPlace
from encbench.cli.record_arguments import one_record
from encbench.errors import UsageError
from encbench.plugins.registry import default_registry
from encbench.results.records import StoredRecord
from encbench.suite.config import cell_key

if TYPE_CHECKING:
    # these import torch, which `encbench rerun --help` does not need
    from encbench.results.agreement import Agreement
    from encbench.results.records import CellResult
    from encbench.runs.repeat import Rerun


def rerun(
    where: RecordPlace,
    key: RecordKey = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference that counts as equal.")
    ] = 1e-6,
    device: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Device to run on; default: the kind that was recorded."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Results folder to keep the new record in."),
    ] = None,
) -> None:
    """Run a recorded cell again and compare.

    Uses the same seed, number of threads and kind of device. Prints every metric, curve, spectrum
    and picture that differs, and changed versions, instruction set and device. Differences are
    relative: for metrics and curves to the larger of the two values, for spectra to the largest
    eigenvalue, for pictures to white. Records of older versions of encbench can be run again, too.

    \b
    Examples:
      encbench rerun results/quick 3fa1
      encbench rerun results/quick/records/3f/3fa1… --tolerance 1e-3
      encbench rerun downloads/quick 3fa1 -o results/again

    Exit codes: 0 equal within the tolerance, 1 different or cannot run here, 2 wrong usage.
    """
    # these import torch, which `encbench --help` does not need
    from encbench.results.agreement import agreement
    from encbench.runs.repeat import prepare, run_again

    stored = one_record(where, key)
    registry = default_registry()
    again = prepare(stored.record, registry, device)
    console, errors = output_console(), Console(stderr=True)
    _check_output(output, stored, again)
    for remark in again.remarks:
        print_line(errors, f"note: {remark}", "yellow")
    label = stored.record.cell.label
    with errors.status(literal(f"running {label} again")):
        result = run_again(again, registry)
    comparison = agreement(stored, result)
    comparison.environment += again.environment
    if comparison.left_out:
        kinds = " and ".join(comparison.left_out)
        print_line(errors, f"note: the record has no {kinds}; they are not compared", "yellow")
    _print_comparison(console, comparison)
    if output is not None:
        _keep(output, result, errors)
    equal = comparison.equal(tolerance)
    verdict = _verdict(label, comparison, result, tolerance)
    print_line(console, verdict, "green" if equal else "red")
    if not equal:
        raise typer.Exit(1)


def _check_output(output: Path | None, stored: StoredRecord, again: Rerun) -> None:
    if output is None:
        return
    # up to schema version 2 the record's key is not that of its cell
    for key in (stored.record.key, cell_key(again.cell)):
        if encbench.Store(output).place(key).exists():
            raise UsageError(f"{output} has a record {key} already; choose another folder with -o")
    if not again.same_data:
        raise UsageError(
            f"-o {output}: {'; '.join(again.remarks)}. The result would be that of another cell; "
            "run it without -o, or `encbench run` the cell on these data"
        )
    # fail before an hour of training if the folder cannot be written
    with encbench.Store(output).writing():
        pass


def _keep(output: Path, result: CellResult, errors: Console) -> None:
    store = encbench.Store(output)
    with store.writing():
        written = store.write(result.record, result.arrays, result.pictures)
    print_line(errors, f"kept in {written.path}")


def _print_comparison(console: Console, comparison: Agreement) -> None:
    if comparison.differences:
        table = plain_table("not as recorded", "then", "now", "difference", "relative")
        for one in sorted(comparison.differences, key=lambda d: -d.relative):
            sizes = (f"{one.absolute:.3g}", f"{one.relative:.2g}")
            if one.relative == float("inf"):
                sizes = ("—", "—")
            table.add_row(*map(literal, (one.name, one.then, one.now, *sizes)))
        console.print(table, "")
    if comparison.environment:
        table = plain_table("environment", "then", "now")
        for change in comparison.environment:
            table.add_row(*map(literal, (change.name, change.then, change.now)))
        console.print(table, "")


def _verdict(label: str, comparison: Agreement, result: CellResult, tolerance: float) -> str:
    worst = comparison.worst
    if worst is None:
        arrays = () if "arrays" in comparison.left_out else result.arrays
        kinds = {"curves": "curve", "spectra": "spectrum_start"}
        named = [kind for kind, name in kinds.items() if name in arrays]
        compared = ", ".join([f"{comparison.compared} values", *named])
        status = result.record.status
        if status == "ok":
            return f"{label}: equal to the last digit ({compared})"
        again = f"{label}: {status.replace('_', ' ')} again in the same way"
        return f"{again} (equal: phase and type of the error, {compared} in all)"
    difference = f"{worst.name} differs by {worst.relative:.2g} of its size"
    if comparison.equal(tolerance):
        return f"{label}: equal within {tolerance:g}; largest difference: {difference}"
    if worst.relative == float("inf"):
        difference = f"{worst.name} was {worst.then}, now {worst.now}"
    error = result.record.error
    because = f" ({error.message})" if worst.name == "status" and error is not None else ""
    why = "" if comparison.environment else "; the recorded environment is the same"
    return f"{label}: not equal: {difference}{because}{why}"
