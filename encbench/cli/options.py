"""Options, arguments and settings that several verbs share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from encbench.errors import UsageError, did_you_mean
from encbench.plugins.selector import parse_value
from encbench.suite.config import SECTIONS
from encbench.suite.file import DEFAULT_SUITE

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
    str | None, typer.Option(help="sgd, adam:beta2=0.99, …; see `encbench list optimizers`.")
]
ScheduleText = Annotated[
    str | None, typer.Option(help="Learning-rate schedule, such as cosine:final=0.1.")
]
HiddenWidth = Annotated[int | None, typer.Option(help="Units per hidden layer.")]
HiddenDepth = Annotated[int | None, typer.Option(help="Number of hidden layers.")]
ParameterizationText = Annotated[str | None, typer.Option(help="ntk or standard.")]
Jobs = Annotated[
    int | None,
    typer.Option("-j", "--jobs", help="Cells run at a time; default: one per core or GPU."),
]
Threads = Annotated[int, typer.Option(help="Threads per cell.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
TimeLimit = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Time limit per cell: 90 (seconds), 10m or 1.5h."),
]
RecordPlace = Annotated[
    Path, typer.Argument(metavar="RECORD", help="A record's folder, or a results folder.")
]
RecordKey = Annotated[str | None, typer.Argument(help="Beginning of the record's key.")]


def asked_changes(
    settings: Iterable[str] = (), **flags: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Settings of the flags that were given and of ``--set``, per section of a suite.

    Raises:
        UsageError: an item of ``settings`` is not SECTION.KEY=VALUE, or its key is given twice.
    """
    changes = {
        section: {k: v for k, v in flags.get(section, {}).items() if v is not None}
        for section in SECTIONS
    }
    for text in settings:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot or not key or section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS, f"sections are {', '.join(SECTIONS)}")
            if section in SECTIONS:
                missing = "the key" if not key else "=VALUE"
                hint = f"; after {section + '.' + key!r} {missing} is missing"
            raise UsageError(f"--set {text!r} is not SECTION.KEY=VALUE{hint}")
        if key in changes[section]:
            raise UsageError(f"--set {text!r}: {section}.{key} is given more than once")
        changes[section][key] = parse_value(value.strip())
    return changes
