"""Tables of numbers as Markdown: what each cell of a table reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.adjacent import neighbours
from encbench_leaderboard.board.conditions import metric_conditions, of_entry
from encbench_leaderboard.board.labels import differing
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.table import WHENS, MetricInfo, TaskBoard, cell_settings
from encbench_leaderboard.report.format import (
    MISSING,
    code,
    count,
    eigenvalue,
    fixed,
    one_line,
    plain,
    seconds,
    significant,
)
from encbench_leaderboard.report.wording import METHODS, NEIGHBOURS, mean_text, p_text, rank_text

__all__ = [
    "cost_table",
    "neighbours_table",
    "overview_table",
    "settings_table",
    "spectra_table",
    "standings_table",
    "status",
    "table",
]


def table(rows: Sequence[dict[str, str]], left: Sequence[str]) -> str:
    """Rows of ready text as a Markdown table; columns named in ``left`` align left.

    All rows have the first one's columns. In the source the columns stand below one another.
    """
    lines = []
    for heading in rows[0]:
        cells = [heading, *(row[heading].strip() for row in rows)]
        width = max(len(heading) + 2, *map(len, cells))
        if heading in left:
            padded = [f" {cell:<{width}} " for cell in cells]
            rule = f":{'-' * (width + 1)}"
        else:
            padded = [f" {cell:>{width}} " for cell in cells]
            rule = f"{'-' * (width + 1)}:"
        lines.append([padded[0], rule, *padded[1:]])
    return "\n".join(f"|{'|'.join(line)}|" for line in zip(*lines, strict=True))


def digits(metric: MetricInfo) -> int:
    return 2 if metric.unit == "dB" else 4


def standings_table(task: TaskBoard) -> str:
    """The leaderboard of a task, best first, what did not finish at the bottom."""
    noted = metric_conditions(task)[1]
    several = any(row["n"] > 1 for row in task.rows)
    targets = task.cells["unit"].nunique() if task.targets else 0
    rows = [_standing(task, row, noted, several, targets) for row in task.rows]
    empty = {key for key in rows[0] if all(row[key] in (MISSING, "") for row in rows)}
    kept = empty - {"#", "status", f"{task.primary.heading} last"}
    return table([{k: v for k, v in r.items() if k not in kept} for r in rows], ENTRY_COLUMNS)


ENTRY_COLUMNS = (
    "encoding",
    "beside",
    "test",
    "verdict",
    "task",
    "status",
    "statistic",
    "setting",
    "moment",
)


def _standing(
    task: TaskBoard, row: Mapping[str, Any], noted: Sequence[str], several: bool, targets: int
) -> dict[str, str]:
    finished = row["n"] > 0
    text = {"#": rank_text(row), "encoding": code(row["entry"])}
    if task.targets:
        text["targets"] = f"{row['units']} of {targets}"
    if several:
        text["n"] = str(row["n"])
    text["parameters MLP"] = count(row["params_mlp"])
    text["encoding's"] = count(row["params_encoding"])
    for metric in task.metrics:
        name = f"metric:{metric.name}"
        shown = mean_text(row, name, digits(metric)) if finished else MISSING
        if noted and metric.name in noted:
            shown += of_entry(task.of_entry(row["entry"]), metric.name)
        if metric is task.primary:
            text[f"{metric.heading} last"] = shown
            text["best"] = fixed(row["best"], digits(metric)) if finished else MISSING
        else:
            text[metric.heading] = shown
    text["λ_max"] = eigenvalue(row["end:maximum"])
    text["λ median"] = below_or_value(row, "end", "median")
    text["λ_min"] = below_or_value(row, "end", "minimum")
    text["resolved rank / size"] = (
        f"{count(row['end:resolved_rank'])} / {count(row['end:size'])}"
        if row["end:taken"]
        else MISSING
    )
    text["training [s]"] = seconds(row["training"])
    text["lr"] = significant(row["lr"])
    text["lr / lr_crit"] = significant(row["lr_ratio"])
    text["status"] = status(task.of_entry(row["entry"]))
    return text


def below_or_value(row: Mapping[str, Any], when: str, number: str) -> str:
    """An eigenvalue, or "≤ floor" with the floor where it is under it."""
    taken, below = int(row[f"{when}:taken"]), int(row[f"{when}:{number}|below"])
    if not taken:
        return MISSING
    floor = f"≤ {eigenvalue(row[f'{when}:floor|max'])}"
    if below == taken:
        return floor
    value = eigenvalue(row[f"{when}:{number}"])
    return value if not below else f"{value}; {below} of {taken} {floor}"


def status(records: Sequence[StoredRecord]) -> str:
    """How the cells of an entry ended, with the first reason of each kind, on one line."""
    tally = Counter(stored.record.status for stored in records)
    if set(tally) == {"ok"}:
        return "ok"
    parts = [f"{tally['ok']} of {len(records)} ok"] if tally["ok"] else []
    for kind in sorted(set(tally) - {"ok"}):
        first = next(stored.record for stored in records if stored.record.status == kind)
        name = kind.replace("_", " ")
        if len(records) > 1:
            name = f"{tally[kind]} {name}"
        where = f" in {plain(first.phase)}" if first.phase and kind != "diverged" else ""
        reason = ""
        if first.error is not None:
            reason = plain(one_line(f"{first.error.type}: {first.error.message}"))
            if first.error.step is not None:
                # The step says all there is to say about a loss that is no number.
                reason = f"at step {first.error.step:,}"
        joint = " " if kind == "diverged" and reason.startswith("at step") else ": "
        parts.append(f"**{name}**{where}{joint if reason else ''}{reason}")
    return "; ".join(parts)


def overview_table(found: Overview) -> str:
    """Encodings × tasks in each task's primary metric, by mean rank.

    What ran on fewer tasks stands below: its mean rank is not over the same ones.
    """
    columns = [
        (
            f"{index}. {group.primary.heading}",
            group.standings.set_index("entry"),
            f"metric:{group.primary.name}",
            digits(group.primary),
        )
        for index, group in enumerate(found.groups, 1)
    ]
    rows = []
    for place, entry in enumerate(found.entries):
        text = {
            "encoding": code(entry),
            "mean rank ↓": fixed(found.mean_rank(place)),
            "tasks": str(found.tasks(place)),
        }
        for heading, standings, column, places in columns:
            if entry not in standings.index:
                text[heading] = MISSING
            elif standings["n"][entry]:
                text[heading] = fixed(standings[column][entry], places)
            else:
                text[heading] = "did not finish"
        rows.append(text)
    return table(rows, ENTRY_COLUMNS)


def neighbours_table(task: TaskBoard) -> str | None:
    """Each entry beside the next one, and how to read that; None where nothing was tested."""
    places = digits(task.primary)
    unit = f" [{task.primary.unit}]" if task.primary.unit else ""
    rows = [
        {
            "encoding": code(pair.higher),
            "beside": code(pair.lower),
            f"difference{unit}": fixed(pair.difference.mean, places),
            "95 % interval": (
                f"{fixed(pair.difference.low, places)} to {fixed(pair.difference.high, places)}"
                if pair.difference.method
                else MISSING
            ),
            "n": str(pair.difference.units),
            "p (Holm)": p_text(pair.p),
            "test": METHODS.get(pair.method, MISSING),
            "verdict": "tie" if pair.tied else "told apart",
            f"could show{unit}": fixed(pair.detectable, places),
        }
        for pair in neighbours(task)
    ]
    return f"{NEIGHBOURS}\n\n{table(rows, ENTRY_COLUMNS)}" if rows else None


def spectra_table(task: TaskBoard) -> str | None:
    """Every statistic at the start, middle and end; None where no spectrum was taken."""
    rows = []
    for row in task.rows:
        for when in WHENS:
            if not row[f"{when}:taken"]:
                continue
            rows.append(
                {
                    "encoding": code(row["entry"]),
                    "moment": when,
                    "λ_max": eigenvalue(row[f"{when}:maximum"]),
                    "λ median": below_or_value(row, when, "median"),
                    "λ 10th percentile": below_or_value(row, when, "quantile_10"),
                    "λ_min": below_or_value(row, when, "minimum"),
                    "floor": eigenvalue(row[f"{when}:floor|max"]),
                    "resolved rank": count(row[f"{when}:resolved_rank"]),
                    "size": count(row[f"{when}:size"]),
                    "effective rank": significant(row[f"{when}:effective_rank"]),
                }
            )
    return table(rows, ENTRY_COLUMNS) if rows else None


def cost_table(task: TaskBoard) -> str:
    """Where the time and the memory went."""
    rows = [
        {
            "encoding": code(row["entry"]),
            "steps": count(row["steps"]),
            "training [s]": seconds(row["training"]),
            "NTK [s]": seconds(row["ntk"]),
            "peak memory [MiB]": count(row["peak_memory"] / 2**20),
            f"step of the best {task.primary.title}": count(row["best_step"]),
        }
        for row in task.rows
    ]
    return table(rows, ENTRY_COLUMNS)


def settings_table(task: TaskBoard) -> str | None:
    """Settings that are not the same for all entries; None where all are."""
    settings = {
        row["entry"]: cell_settings(task.of_entry(row["entry"])[0].record) for row in task.rows
    }
    keys = differing(settings.values())
    if not keys:
        return None
    rows = [
        {
            "encoding": code(entry),
            **{code(key): plain(str(values.get(key, MISSING))) for key in keys},
        }
        for entry, values in settings.items()
    ]
    return table(rows, ENTRY_COLUMNS)
