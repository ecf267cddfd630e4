"""Where a page's numbers came from, and how to get them again."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.machines import machines
from encbench_leaderboard.report.format import code_block, plain

__all__ = ["provenance", "reproduction", "suite_toml"]


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
    records: Sequence[StoredRecord], suite: Mapping[str, Any] | None, folder: str
) -> str:
    """How to run the same again: a suite file, or flags where the folder has none.

    Args:
        records: all records of the page.
        suite: as it was asked for, plain data; None where it is not known.
        folder: the results folder as a command line has it.
    """
    page = f"encbench leaderboard {folder}"
    if suite and suite.get("encodings") and suite.get("tasks"):
        commands = code_block(f"encbench run suite.toml -o {folder}\n{page}", "sh")
        return (
            f"Save this as `suite.toml`:\n\n{code_block(suite_toml(suite), 'toml')}\n\n{commands}"
            f"{_of_other_suites(records, suite.get('name'))}"
        )
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


def _of_other_suites(records: Sequence[StoredRecord], name: object) -> str:
    """A paragraph about cells that the folder's last run did not ask for, or nothing."""
    suites = (stored.record.provenance.suite for stored in records)
    counts = Counter(suite for suite in suites if suite not in (None, name))
    if not counts:
        return ""
    others = [f"{plain(suite)}: {count}" for suite, count in counts.most_common()]
    return (
        "\n\nThis is the suite of the last run into the folder. "
        f"Cells of other suites: {', '.join(others)}."
    )


def suite_toml(suite: Mapping[str, Any]) -> str:
    """A suite, plain data, as TOML; what is unset is left out."""
    given = {
        key: [_brief(entry) for entry in value] if key in ("encodings", "tasks") else value
        for key, value in suite.items()
        if value != ""
    }
    return tomli_w.dumps(_set(given))


def _brief(entry: Any) -> Any:
    """An entry without what it leaves at its default; its name where nothing else is left."""
    if not isinstance(entry, Mapping):
        return entry
    given = {key: value for key, value in entry.items() if value not in (None, "", {})}
    return given["name"] if set(given) == {"name"} else given


def _set(value: Any) -> Any:
    """The value without what is None, which TOML cannot say."""
    if isinstance(value, Mapping):
        return {key: _set(item) for key, item in value.items() if item is not None}
    return [_set(item) for item in value] if isinstance(value, list | tuple) else value
