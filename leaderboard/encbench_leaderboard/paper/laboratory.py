"""Run experiments into their folders, and gather their results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console

import encbench
from encbench.cli.progress import RunProgress
from encbench.plugins.registry import Registry
from encbench.results.records import StoredRecord
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.runs.spectra import ntk_count
from encbench.runs.tuning import run_tuning
from encbench.suite.file import Suite
from encbench_leaderboard.paper.equation13 import Equation13, remainders
from encbench_leaderboard.paper.evidence import EQUATION, Evidence
from encbench_leaderboard.paper.experiments import Experiment
from encbench_leaderboard.paper.verdicts_page import Ran, verdicts_page
from encbench_leaderboard.render.html import write_html
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.render.writing import replace_text

KERNELS = "equation13.json"
_Kernels = TypeAdapter(dict[str, Equation13])
"""By "KEY WHEN", the record's key and start or end."""
POINTS = 512
"""Maximum number of points of the kernels of Eq. 13."""


def run_experiments(
    made: Sequence[Experiment],
    directory: Path,
    registry: Registry,
    console: Console,
    tell: Callable[[Experiment], None],
    **how: Any,
) -> tuple[list[Ran], Evidence]:
    """Run experiments one after another, each into a folder of its name.

    Args:
        made: what to run.
        directory: holds the folders.
        registry: plug-ins to use.
        console: where progress is shown.
        tell: called before each.
        how: options of ``encbench.run_suite``: jobs, device, ….

    Raises:
        RunStopped, StoreError: as ``encbench.run_suite``.
    """
    ran: list[Ran] = []
    records: dict[str, Sequence[StoredRecord]] = {}
    tunings = {}
    for one in made:
        tell(one)
        every: dict[str, StoredRecord] = {}
        with RunProgress(console) as progress:
            began = time.monotonic()
            options = {"registry": registry, "watcher": progress, "report": False, **how}

            def run(suite: Suite, folder: Path, final: bool) -> Sequence[StoredRecord]:
                done = encbench.run_suite(
                    suite,
                    folder,
                    save_weights=one.save_weights,  # noqa: B023 # called before the next one
                    **options,  # noqa: B023
                )
                every.update({s.record.key: s for s in done.records})  # noqa: B023
                if final:
                    records[one.name] = done.records  # noqa: B023
                return done.records

            folder = directory / one.name
            if one.tuning is None:
                run(one.suite, folder, True)
            else:
                tunings[one.name] = run_tuning(one.tuning, folder, registry, run)
        seconds = sum(sum(s.record.durations.values()) for s in every.values())
        ran.append(Ran(one, seconds))
        console.print(f"{one.name}: {time.monotonic() - began:.0f} s", highlight=False)
    kernels = []
    if EQUATION in records:
        kernels = measured_kernels(records[EQUATION], directory / EQUATION / KERNELS, registry)
    return ran, Evidence(records, tunings, kernels)


def measured_kernels(
    records: Sequence[StoredRecord], file: Path, registry: Registry
) -> list[Equation13]:
    """Check Eq. 13 on the networks of records at start and end; results in the file are reused."""
    try:
        known = _Kernels.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        known = {}
    found = []
    for stored in records:
        if stored.record.status != "ok":
            continue
        for when in ("start", "end"):
            key = f"{stored.record.key} {when}"
            if key not in known:
                known[key] = _kernel(stored, when, registry)
                text = json.dumps(_Kernels.dump_python(known), indent=1)
                replace_text(file, f"{text}\n")
            found.append(known[key])
    return found


def _kernel(stored: StoredRecord, when: Any, registry: Registry) -> Equation13:
    cell, streams = stored.record.cell, cell_streams(stored.record.cell)
    task = build_task(cell, registry)
    model = build_model(cell, task, registry, streams)
    if when == "end":
        model = encbench.load_model(stored, registry=registry)
    if not isinstance(model, encbench.CoordinateMLP):
        raise encbench.NtkError(f"Eq. 13 is about the network mlp, got {cell.network.kind}")
    count = min(POINTS, ntk_count(cell.ntk.points, task))
    x = task.ntk_points(count, streams.generator("ntk"))
    above, rest = remainders(model, x)
    labels = stored.record.encoding_label, stored.record.task_label
    return Equation13(*labels, when, len(x), above, rest)


def answer(
    ran: Sequence[Ran], evidence: Evidence, scale: str, notes: Sequence[str], directory: Path
) -> list[Path]:
    """Write the page, and return its files.

    Raises:
        StoreError: they cannot be written.
    """
    page = verdicts_page(ran, evidence, scale, notes)
    plain, interactive = directory / "paper.md", directory / "paper.html"
    replace_text(plain, markdown(page, {}, "paper", plain.name)[""])
    return [plain, write_html(page, interactive)]
