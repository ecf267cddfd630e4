"""Provenance of a page's numbers, and how to reproduce them."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from encbench.suite.file import suite_toml
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.report.format import code_block, plain


def provenance(facts: Sequence[Facts], suite: str | None) -> str:
    """A list of versions, plug-ins, machines, dates and the suite."""
    sources = {one.source for one in facts}
    parts = {id(ref): ref for one in facts for ref in (one.cell.encoding, one.cell.task)}
    started = min(one.started for one in facts)
    finished = max(one.finished for one in facts)
    lines: dict[str, set[str | None]] = {
        "encbench": {source.encbench for source in sources},
        "plug-ins": {f"{ref.distribution} {ref.version}" for ref in parts.values()},
        "Python": {source.python for source in sources},
        "libraries": {library for source in sources for library in source.libraries},
        "machine": {source.machine for source in sources},
        "commit of the working directory": {source.git_commit for source in sources},
        "run (UTC)": {f"{_minute(started)} to {_minute(finished)}"},
        "suite": {suite},
    }
    known = {name: sorted(filter(None, values)) for name, values in lines.items()}
    return "\n".join(
        f"- {name}: {'; '.join(map(plain, values))}" for name, values in known.items() if values
    )


def _minute(time: str) -> str:
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$", r"\1 \2", time)


def reproduction(facts: Sequence[Facts], suites: Sequence[Mapping[str, Any]], folder: str) -> str:
    """How to repeat the run: suite files, or flags if the folder has no suite. ``folder`` is the
    results folder as it is written on a command line."""
    page = f"encbench leaderboard {folder}"
    asked = [suite for suite in suites if suite.get("encodings") and suite.get("tasks")]
    if asked:
        several = len(asked) > 1
        names = [f"suite-{i}.toml" if several else "suite.toml" for i in range(1, len(asked) + 1)]
        parts = [
            f"Save this as `{name}`:\n\n{code_block(suite_toml(suite), 'toml')}"
            for name, suite in zip(names, asked, strict=True)
        ]
        runs = [f"encbench run {name} -o {folder}" for name in names]
        commands = code_block("\n".join([*runs, page]), "sh")
        return "\n\n".join([*parts, commands, *_lost_suites(facts, asked)])
    encodings = sorted({one.cell.encoding.shown for one in facts})
    tasks = sorted({one.cell.task.shown for one in facts})
    seeds = sorted({one.cell.seed for one in facts})
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


def _lost_suites(facts: Sequence[Facts], suites: Sequence[Mapping[str, Any]]) -> list[str]:
    """A paragraph about cells of suites that the folder no longer holds, or nothing."""
    names = {suite.get("name") for suite in suites}
    cells = Counter(one.source.suite for one in facts)
    lost = ", ".join(f"{plain(s)} ({n})" for s, n in cells.most_common() if s and s not in names)
    return [f"Some cells came from suites that the folder does not hold: {lost}."] if lost else []
