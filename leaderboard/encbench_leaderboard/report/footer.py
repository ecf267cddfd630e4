"""Where a page's numbers came from, and how to get them again."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.machines import machine, machines
from encbench_leaderboard.report.format import plain

__all__ = ["machine", "machines", "provenance", "reproduction", "shell", "suite_toml"]


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
    commits = {source.git_commit for source in sources if source.git_commit}
    started = min(source.started for source in sources)
    finished = max((source.finished or source.started) for source in sources)
    lines = {
        "encbench": sorted({source.encbench for source in sources}),
        "plug-ins": sorted(plugins),
        "Python": sorted({source.python for source in sources}),
        "libraries": sorted(libraries),
        "machine": machines(records),
        "commit of the working directory": sorted(commits),
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


def shell(directory: Path | str) -> str:
    """The last part of a folder's path as a command line has it."""
    return shlex.quote(Path(directory).resolve().name)


def reproduction(
    records: Sequence[StoredRecord], suite: Mapping[str, Any] | None, directory: str
) -> str:
    """Markdown that says how to run the same again: a suite file, or flags where it is lost."""
    out = shlex.quote(directory)
    if suite and suite.get("encodings") and suite.get("tasks"):
        return (
            "Save this as `suite.toml`:\n\n"
            f"```toml\n{suite_toml(suite)}```\n\n"
            f"```sh\nencbench run suite.toml -o {out}\nencbench leaderboard {out}\n```"
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
        f"-o {out}",
    ]
    return (
        f"```sh\n{' '.join(words)}\nencbench leaderboard {out}\n```\n\n"
        "The folder holds no suite: settings that differ from the defaults are in its records."
    )


def _of_other_suites(records: Sequence[StoredRecord], name: object) -> str:
    """A paragraph about cells that the folder's last run did not ask for, or nothing."""
    suites = (stored.record.provenance.suite for stored in records)
    counts = Counter(suite for suite in suites if suite not in (None, name))
    if not counts:
        return ""
    others = [f"{plain(suite)}: {count}" for suite, count in counts.most_common()]
    return (
        "\n\nThat is the suite of the last run into the folder. "
        f"Cells of other suites: {', '.join(others)}."
    )


def suite_toml(suite: Mapping[str, Any]) -> str:
    """A suite, plain data, as TOML; what is unset is left out."""
    lines = []
    for key, value in suite.items():
        if value in (None, "") or isinstance(value, Mapping) or key in ("encodings", "tasks"):
            continue
        lines.append(f"{key} = {_value(value)}")
    for key in ("encodings", "tasks"):
        lines.append(f"{key} = [")
        lines.extend(f"    {_value(_brief(entry))}," for entry in suite[key])
        lines.append("]")
    for key, value in suite.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]"]
            lines += [f"{k} = {_value(v)}" for k, v in value.items() if v is not None]
    return "\n".join(lines) + "\n"


def _brief(entry: Any) -> Any:
    """An entry without what it leaves at its default."""
    if not isinstance(entry, Mapping):
        return entry
    given = {key: value for key, value in entry.items() if value not in (None, {})}
    return given["name"] if set(given) == {"name"} else given


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # A JSON string, number or truth value is one of TOML too; DEL alone must be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
