"""Where a page's numbers came from, and how to get them again."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from encbench.results.records import StoredRecord
from encbench.suite.file import suite_toml
from encbench_leaderboard.board.cells import machines
from encbench_leaderboard.report.format import code_block, plain


def provenance(records: Sequence[StoredRecord], suite: str | None) -> str:
    """A bullet each for versions, plug-ins, machines, dates and suite."""
    sources = [stored.record.provenance for stored in records]
    plugins = {
        f"{ref.distribution} {ref.version}"
        for stored in records
        for ref in (stored.record.cell.encoding, stored.record.cell.task)
    }
    libraries = {
        f"{name} {version}" for source in sources for name, version in source.libraries.items()
    }
    started = min(source.started for source in sources)
    finished = max((source.finished or source.started) for source in sources)
    lines = {
        "encbench": sorted({source.encbench for source in sources}),
        "plug-ins": sorted(plugins),
        "Python": sorted({source.python for source in sources}),
        "libraries": sorted(libraries),
        "machine": machines(records),
        "commit of the working directory": sorted(
            {source.git_commit for source in sources if source.git_commit}
        ),
        "run (UTC)": [f"{_minute(started)} to {_minute(finished)}"],
        "suite": [suite] if suite else [],
    }
    return "\n".join(
        f"- {name}: {'; '.join(plain(value) for value in values)}"
        for name, values in lines.items()
        if values
    )


def _minute(time: str) -> str:
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$", r"\1 \2", time)


def reproduction(
    records: Sequence[StoredRecord], suites: Sequence[Mapping[str, Any]], folder: str
) -> str:
    """How to run the same again: suite files, as they were asked for, or flags where the folder has
    none. ``folder`` is what a command line calls the results folder."""
    page = f"encbench leaderboard {folder}"
    asked = [suite for suite in suites if suite.get("encodings") and suite.get("tasks")]
    if asked:
        names = (
            ["suite.toml"]
            if len(asked) == 1
            else [f"suite-{i + 1}.toml" for i in range(len(asked))]
        )
        parts = [
            f"Save this as `{name}`:\n\n{code_block(suite_toml(suite), 'toml')}"
            for name, suite in zip(names, asked, strict=True)
        ]
        runs = [f"encbench run {name} -o {folder}" for name in names]
        commands = code_block("\n".join([*runs, page]), "sh")
        return "\n\n".join([*parts, commands, *_lost_suites(records, asked)])
    encodings = sorted({stored.record.encoding_label for stored in records})
    tasks = sorted({stored.record.task_label for stored in records})
    seeds = sorted({stored.record.cell.seed for stored in records})
    words = [
        "encbench run",
        *(f"-e {shlex.quote(text)}" for text in encodings),
        *(f"-t {shlex.quote(text)}" for text in tasks),
        *(f"--seed {seed}" for seed in seeds),
        f"-o {folder}",
    ]
    commands = code_block(f"{' '.join(words)}\n{page}", "sh")
    return (
        f"{commands}\n\nThe folder holds no suite: settings that differ from the defaults are in "
        "its records."
    )


def _lost_suites(records: Sequence[StoredRecord], suites: Sequence[Mapping[str, Any]]) -> list[str]:
    """A paragraph about cells of suites that the folder no longer holds, or nothing."""
    names = {suite.get("name") for suite in suites} | {None}
    cells = Counter(stored.record.provenance.suite for stored in records)
    lost = [
        f"{plain(suite)} ({count})"
        for suite, count in cells.most_common()
        if suite is not None and suite not in names
    ]
    if not lost:
        return []
    return [f"Some cells came from suites that the folder does not hold: {', '.join(lost)}."]
