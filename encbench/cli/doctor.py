"""``encbench doctor``: whether a run would work here, and what stands in its way."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Annotated

import typer

from encbench.cli.diagnosis import examine
from encbench.cli.findings import State
from encbench.cli.format import literal, output_console

_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "absent": ("–", "dim"),
    "warning": ("!", "yellow"),
    "failure": ("✗", "red"),
}


def doctor(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Results folder that a run would write.")
    ] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Look whether a run would work here.

    Versions, devices, threads, plug-ins, optional parts, the results folder and caches. ✓ is
    fine, – is not there and not needed, ! is not right but no run fails of it, ✗ must be mended.

    \b
    Examples:
      encbench doctor
      encbench doctor -o /scratch/results
      encbench doctor --json > report.json

    Exit codes: 0 a run would work, 1 it would not.
    """
    findings = examine(output)
    failures = sum(finding.state == "failure" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if as_json:
        report = {
            "would_run": not failures,
            "findings": [dataclasses.asdict(finding) for finding in findings],
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        console = output_console()
        for section, group in itertools.groupby(findings, key=lambda finding: finding.section):
            console.print(literal(section), style="bold")
            for finding in group:
                mark, style = _MARKS[finding.state]
                line = literal(f"  {mark} {finding.name}: {' '.join(finding.text.split())}")
                line.stylize(style, 2, 3)
                console.print(line, soft_wrap=True, highlight=False)
        told = f"A run would {'not ' if failures else ''}work here"
        counts = [f"{n} to mend (✗)" for n in (failures,) if n]
        counts += [f"{n} not right (!)" for n in (warnings,) if n]
        closing = f"{told}: {', '.join(counts)}." if counts else f"{told}."
        console.print(literal(closing), style="red" if failures else "green", soft_wrap=True)
    if failures:
        raise typer.Exit(1)
