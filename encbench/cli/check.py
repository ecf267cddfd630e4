"""``encbench check``: whether plug-ins keep their contract."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from encbench.cli.console import facts_table, literal, print_line
from encbench.errors import UsageError
from encbench.plugins.registry import Offer, Registry, default_registry, taking
from encbench.plugins.selector import parse_selector

if TYPE_CHECKING:
    from encbench.testing import CheckResult, Conformance

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "advice": ("!", "yellow"),
    "skipped": ("–", "yellow"),
}
KINDS = ("encoding", "task", "network", "activation", "metric", "optimizer")


def check(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Encodings, tasks, networks, activations, metrics, optimizers: NAME or "
            "NAME:KEY=VALUE,…"
        ),
    ],
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the traceback of each failed check.")
    ] = False,
) -> None:
    """Check that plug-ins keep their contract.

    Shapes, dtypes, gradients, borders, seeds, the NTK, pickling and documentation; of a metric its
    range and direction, of an optimizer its steps: the checks of encbench.testing, which a
    plug-in's own tests can subclass. Small parameters make it quick.
    A missing docstring, equation or source is advice ("!"), not a failure.
    A name of two kinds, such as gaussian, is checked as every kind that has the given parameters.

    \b
    Examples:
      encbench check ffe
      encbench check 'mpe:resolutions=[8]'
      encbench check encbench-ripple:ripple:levels=3 image:side=16 --trace

    Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage, 130 Ctrl-C,
    143 SIGTERM.
    """
    registry, console = default_registry(), Console()
    # every name is looked up before the first check runs
    chosen = [check for name in names for check in _conformance(name, registry)]
    failed = 0
    for name, offer, conformance in chosen:
        version = f"{offer.distribution} {offer.plugin.version}"
        print_line(console, f"{name}: {offer.kind} of {version}", "bold")
        results: list[CheckResult] = []
        count = len(conformance.checks())
        with _ended_by_sigterm(), console.status(f"check 1 of {count}") as status:
            for result in conformance.run():
                _print(result, console)
                results.append(result)
                status.update(f"check {min(len(results) + 1, count)} of {count}")
        _summarize(results, console, trace=trace)
        failed += sum(result.outcome == "failed" for result in results)
    if failed:
        raise typer.Exit(1)


def _conformance(text: str, registry: Registry) -> list[tuple[str, Offer, type[Conformance]]]:
    # imports torch, which `encbench check --help` does not need
    from encbench.testing import (
        ActivationConformance,
        EncodingConformance,
        MetricConformance,
        NetworkConformance,
        OptimizerConformance,
        TaskConformance,
    )

    name, parameters = parse_selector(text)
    checked = {offer.name for kind in KINDS for offer in registry.offers(kind)}
    hints = {
        "schedule": "; `encbench new-plugin schedule NAME` writes tests to start from",
        "suite": f"; `encbench run {name} -n` checks a suite",
        "command": "",
    }
    for kind, hint in hints.items():
        # a suite may have the name of its task
        short = name.rpartition(":")[2]
        if short not in checked and any(offer.name == short for offer in registry.offers(kind)):
            raise UsageError(
                f"{name!r} is a {kind}; checks are for encodings, tasks, networks, activations, "
                f"metrics and optimizers{hint}"
            )
    checks = (
        EncodingConformance,
        TaskConformance,
        NetworkConformance,
        ActivationConformance,
        MetricConformance,
        OptimizerConformance,
    )
    parents: dict[str, type[Conformance]] = {parent.kind: parent for parent in checks}
    found = []
    # an unknown parameter is a usage error, not a failed check
    for offer, _ in taking(registry.find_any(KINDS, name), parameters):
        members = {offer.kind: offer.load(), "parameters": parameters}
        check = type(f"Check{offer.load().__name__}", (parents[offer.kind],), members)
        found.append((text, offer, check))
    return found


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C, after which no worker process is left; exit code 143."""
    received = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt  # a library may have replaced the handler of SIGINT

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise typer.Exit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(result: CheckResult, console: Console) -> None:
    mark, style = MARKS[result.outcome]
    text = literal(result.title)
    if result.message:
        text.append(f"\n{result.message}", style="dim" if result.outcome == "skipped" else "")
    table = facts_table()
    table.add_row(Text(mark, style), text)
    console.print(table)


def _summarize(results: list[CheckResult], console: Console, *, trace: bool) -> None:
    counts = {outcome: sum(r.outcome == outcome for r in results) for outcome in MARKS}
    console.print(", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n) + "\n")
    if trace:
        for result in results:
            if result.details:
                console.rule(result.name)
                print_line(console, result.details)
