"""The standings table of a task: columns, values, and rows of methods without a network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter

from encbench import errors
from encbench.results.records import Record
from encbench.results.value_text import value_text
from encbench_leaderboard.board.facts import Facts, MetricInfo
from encbench_leaderboard.board.no_network import NoNetwork, without_network
from encbench_leaderboard.board.table import TaskBoard, conditions_met, metric_conditions
from encbench_leaderboard.report.blocks import Block, Column, Row, Table, Value
from encbench_leaderboard.report.columns import (
    ENTRY,
    MEMORY,
    NO_VALUE,
    SECONDS,
    Source,
    Standing,
    best_columns,
    described,
    eigenvalue_columns,
    finished,
    numbers,
    texts,
)
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    one_line,
    significant,
    span,
)

TAKEN = (
    *("rank", "encoding", "status", "targets", "n", "best", "seconds", "memory", "lr", "lr_ratio"),
    *("parameters", "parameters_mlp", "parameters_encoding", "resolved_rank"),
    *("lambda_maximum", "lambda_median", "lambda_minimum"),
)
"""Column names that a metric must not use."""
REASONS = 3
"""Maximum number of reasons per entry and status that a note lists."""
OWN_ERRORS = {name for name, found in vars(errors).items() if isinstance(found, type)}


def standings_table(
    task: TaskBoard,
    details: Callable[[Standing], Callable[[], Sequence[Block]]] = lambda row: tuple,
) -> Table:
    """The leaderboard of a task, best first, unfinished entries last; columns without any value are
    left out. Methods without a network are placed by their value, without a rank. ``details``
    returns the function that builds the details of a row."""
    # a metric without any mean, such as MS-SSIM with mixed numbers of scales, is skipped
    averaged = [m for m in task.metrics[1:] if task.standings[f"metric:{m.name}"].notna().any()]
    quality = [metric_column(metric) for metric in (task.primary, *averaged[:1])]
    always = ("rank", "encoding", "status", quality[0])
    first = ("rank", "encoding", *quality, "parameters", "seconds")
    columns, values = [], []
    for source in standings_columns(task):
        name, found = source.column.name, [source.value(row) for row in task.rows]
        if name in always or any(value != NO_VALUE for value in found):
            columns.append(replace(source.column, first=name in first))
            values.append(found)
    rows = []
    for row, of_row in zip(task.rows, zip(*values, strict=True), strict=True):
        ended = Counter[str](one.status for one in task.facts_of_entry(row["entry"]))
        rows.append(Row(of_row, row["entry"], ended, details(row)))
    # from the bottom, so that the indices above stay valid
    for method in reversed(without_network(task)):
        rows.insert(method.above, Row(_no_network(task, method, columns)))
    targets = f" ({task.cells['unit'].nunique()} targets)" if task.targets else ""
    return Table("standings", columns, rows, f"{task.label}{targets}")


def standings_columns(task: TaskBoard) -> list[Source[Standing]]:
    """Rank, entry, quality, parameters, cost, spectrum, learning rate and status."""
    mixed = metric_conditions(task)[1]
    first, *others = (_quality(task, metric, metric.name in mixed) for metric in task.metrics)
    largest, median, _, smallest = eigenvalue_columns("end")
    counts: list[Source[Standing]] = []
    if task.targets:
        targets = task.cells["unit"].nunique()
        text = f"{{}} of {targets}".format
        counts.append(
            described("targets", "targets", lambda row: Value(text(row["units"]), row["units"]))
        )
    if (task.standings["n"] > 1).any():
        counts.append(numbers("n", "n", itemgetter("n"), str))
    return [
        described("rank", "#", lambda row: Value(rank_text(row), row["rank"])),
        ENTRY,
        *counts,
        first,
        *best_columns(task.facts, task.metrics, finished)[:1],
        *others,
        numbers(
            "parameters",
            "parameters",
            lambda row: row["params_mlp"] + row["params_encoding"],
            count,
        ),
        numbers("parameters_mlp", "parameters: MLP", itemgetter("params_mlp"), count),
        numbers(
            "parameters_encoding", "parameters: encoding", itemgetter("params_encoding"), count
        ),
        SECONDS,
        MEMORY,
        *(largest, median, smallest),
        described("resolved_rank", "resolved rank / size", _resolved),
        numbers("lr", "lr", itemgetter("lr"), significant),
        numbers("lr_ratio", "lr / lr_crit", itemgetter("lr_ratio"), significant),
        texts("status", "status", lambda row: _status(task.facts_of_entry(row["entry"]))),
    ]


def rank_text(row: Standing) -> str:
    """ "2", or "2–4" if the tests allow several ranks; "(2)" if not tested, "(2–4)" if some entries
    are on other targets. "= 2–4" is a tie with the entry above."""
    if math.isnan(row["rank"]):
        return MISSING
    if not row["tested"] and math.isnan(row["rank_low"]):
        return f"({count(row['rank'])})"
    shown = span([row["rank_low"], row["rank_high"]], "–")
    if not row["tested"]:
        return f"({shown})"
    return f"= {shown}" if row["tied"] else shown


def metric_column(metric: MetricInfo) -> str:
    """Name of a metric's column in the standings."""
    return f"metric_{metric.name}" if metric.name in TAKEN else metric.name


def _quality(task: TaskBoard, metric: MetricInfo, mixed: bool) -> Source[Standing]:
    name = f"metric:{metric.name}"

    def value(row: Standing) -> Value:
        conditions = ""
        if mixed:
            own = conditions_met(task.cells[task.cells["entry"] == row["entry"]], metric)
            conditions = f" ({' or '.join(own)})" if any(own) else ""
        if not row["n"] or math.isnan(row[name]):
            return Value(MISSING + conditions) if row[f"{name}|mixed"] else NO_VALUE
        return Value(_mean_text(row, metric) + conditions, row[name])

    ranked = "; entries are ranked by it" if metric is task.primary else ""
    explained = f"mean at the end of training, {metric.direction} is better{ranked}"
    return Source(Column(metric_column(metric), metric.heading, help=explained), value)


def _mean_text(row: Standing, metric: MetricInfo) -> str:
    """A row's mean with its 95 % interval, and numbers of cells without or with special values."""
    column = f"metric:{metric.name}"
    mean, half = row[column], 0.0
    if interval := row[f"{column}|interval"] == "t":
        half = (row[f"{column}|high"] - row[f"{column}|low"]) / 2
    of = max(abs(mean), half)  # a mean of both signs can be far smaller than its interval
    shown = value_text(mean, metric, of)
    if interval:
        shown += f" ± {value_text(half, metric, of)}"
    without, infinite = int(row["n"] - row[f"{column}|n"]), row[f"{column}|infinite"]
    if without:
        shown += f"; {without} of {row['n']} {MISSING}"
    if infinite and math.isfinite(row[column]):
        shown += f"; {infinite} of {row['n']} ∞"
    if (zero := row[f"{column}|zero"]) and metric.can_collapse:
        shown += f"; {zero} of {row['n']} collapsed"
    return shown


def _resolved(row: Standing) -> Value:
    if not row["end:taken"]:
        return NO_VALUE
    rank, size = row["end:resolved_rank"], row["end:size"]
    return Value(f"{count(rank)} / {count(size)}", rank / size, number=rank)


def _status(facts: Sequence[Facts]) -> str:
    """Numbers of cells of an entry by status: "4 of 6 ok; 2 diverged"; "ok" if all finished."""
    tally = Counter(one.status for one in facts)
    if set(tally) == {"ok"}:
        return "ok"
    parts = [f"{tally['ok']} of {len(facts)} ok"] if tally["ok"] else []
    of = "{} {}" if len(facts) > 1 else "{1}"
    others = sorted(set(tally) - {"ok"})
    return "; ".join([*parts, *(of.format(tally[o], o.replace("_", " ")) for o in others)])


def why_unfinished(facts: Sequence[Facts]) -> str:
    """Numbers of cells that did not finish by status and reason: "4 diverged at steps 3 to 7; 1
    failed in setup: ValueError: no room"; "" if all finished."""
    parts = []
    for kind in sorted({one.status for one in facts} - {"ok"}):
        records = [one.stored.record for one in facts if one.status == kind]
        name = kind.replace("_", " ")
        steps = [r.error.step for r in records if r.error and r.error.step is not None]
        if len(set(steps)) > 1:  # for a loss that is not finite, the step is all the information
            parts.append(f"{len(steps)} {name} at steps {span(steps)}")
            records = [r for r in records if not r.error or r.error.step is None]
        reasons = Counter(reason(record) for record in records).most_common()
        for why, number in reasons[:REASONS]:
            joint = "" if not why else " " if why.startswith(("in ", "at step ")) else ": "
            parts.append(f"{number} {name}{joint}{why}")
        if rest := sum(number for _, number in reasons[REASONS:]):
            parts.append(f"{rest} {name} for other reasons")
    return "; ".join(parts)


def reason(record: Record, limit: int = 160) -> str:
    """Why a cell did not finish, on one line and without traceback; "" if it finished."""
    if record.status == "ok":
        return ""
    where = f"in {record.phase}" if record.phase and record.status != "diverged" else ""
    if record.error is None:
        return where
    if record.error.step is not None:
        # for a loss that is not finite, the step is all the information
        return f"{where} at step {record.error.step:,}".strip()
    kind, text = record.error.type, record.error.message
    # the sentences of encbench's own errors need no name of a class, and those on plug-ins have one
    if kind not in OWN_ERRORS and f"{kind}:" not in text:
        text = f"{kind}: {text}"
    text = one_line(text, limit)
    return f"{where}: {text}" if where else text


def _no_network(task: TaskBoard, method: NoNetwork, columns: Sequence[Column]) -> list[Value]:
    """The row of a method without a network, with a value per column."""
    found = {
        "encoding": Value(f"no network: {method.name}", emphasis="no network"),
        "parameters": Value("0", 0),
    }
    for metric in task.metrics:
        value = method.values.get(metric.name, math.nan)
        if not math.isnan(value):
            found[metric_column(metric)] = Value(value_text(value, metric), value)
    return [found.get(column.name, NO_VALUE) for column in columns]
