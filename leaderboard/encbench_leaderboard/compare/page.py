"""A comparison as a page of blocks or as JSON, and its verdicts in words."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from encbench.errors import plural
from encbench.results.value_text import value_text
from encbench_leaderboard.compare.result import Change, Cost, Quality, Report, TaskRow
from encbench_leaderboard.report.blocks import Block, Column, Page, Row, Table, Text, Value
from encbench_leaderboard.report.format import (
    MISSING,
    code,
    count,
    p_text,
    plain,
    significant,
)
from encbench_leaderboard.report.tables import TEST_NAMES
from encbench_leaderboard.statistics.intervals import Interval

LISTED = 8
"""Maximum number of lines shown of a list."""
EQUAL = "equal to the last digit"
ROUNDED = "equal up to rounding"
NONE = Value("")


def comparison_page(report: Report, *, every: bool = False) -> Page:
    """Return a page with the pairs, what differs between them, and a table per task; ``every``:
    also each task of a category, and long lists in full."""
    where = f" in {code(report.folder)}" if report.folder else ""
    blocks: list[Block] = [
        Text(f"- A: {code(report.a)}\n- B: {code(report.b)}{where}"),
        Text(_pairs_text(report)),
        *_list("Left out because not finished", report.not_finished, every=every),
        *_list("Left out because only A has them", report.only_a, every=every),
        *_list("Left out because only B has them", report.only_b, every=every),
    ]
    if report.between:
        flags = " ".join(f"--despite {key}" for key in report.between)
        blocks.append(Text(f"To compare those anyway: {code(flags)}"))
    blocks += _changes("Changed from A to B", report.changes, report.pairs)
    blocks += _changes("Settings that differ between A and B", report.settings, report.pairs)
    shown = [row for row in report.rows if every or not row.within]
    alike = report.equal == report.pairs
    for _, rows in groupby(shown, lambda row: (row.task, row.category)):
        blocks.append(_table(list(rows), report, quality=every or not alike))
    if hidden := len(report.rows) - len(shown):
        text = f"{plural(hidden, 'row')} of single tasks of a category: `--all` shows them."
        blocks.append(Text(text))
    # Rows of tasks hold each pair once; those of categories hold them again.
    refused = Counter[str]()
    for row in report.rows:
        if not row.category:
            for reasons in (row.cost.refused, *(quality.refused for quality in row.quality)):
                refused.update(reasons)
    for reason, number in refused.items():
        blocks.append(Text(f"Not compared, {plural(number, 'pair')}: {plain(reason)}"))
    if shown:
        of = "table" if report.folder else "cells compared here"
        blocks.append(Text(_note(shown, of), "note"))
    first = [row.quality[0] for row in report.rows if row.quality and not row.within]
    if len(first) > 1:
        blocks.append(Text(_summary(first)))
    return Page("Comparison", blocks, [])


def _pairs_text(report: Report) -> str:
    text = f"{plural(report.pairs, 'pair')} of cells"
    if report.pairs and report.equal == report.pairs:
        return f"{text}, all of them {EQUAL}."
    if report.folder is None and report.pairs:
        return f"{text}, {report.equal} of them {EQUAL}."
    return f"{text}."


def _list(title: str, lines: Sequence[str], *, every: bool) -> list[Text]:
    """Return a list under a title with its length, at most ``LISTED`` lines unless ``every``."""
    if not lines:
        return []
    items = [f"- {plain(line)}" for line in (lines if every else lines[:LISTED])]
    if (more := len(lines) - len(items)) > 0:
        items.append(f"- … and {more} more: `--all` lists them")
    return [Text("\n".join([f"{title} ({len(lines)}):", "", *items]))]


def _changes(title: str, changes: Sequence[Change], pairs: int) -> list[Text]:
    some = {c: f" ({c.pairs} of {pairs} pairs)" if c.pairs != pairs else "" for c in changes}
    items = [f"- {plain(f'{c.name}: {c.a} → {c.b}{some[c]}')}" for c in changes]
    return [Text("\n".join([f"{title}:", "", *items]))] if items else []


def _note(shown: Sequence[TaskRow], of: str) -> str:
    text = (
        "n: seeds of a task, or targets of a category, that both finished; parameters are MLP + "
        "encoding; ratios of memory and time are geometric means."
    )
    found = [quality for row in shown for quality in row.quality]
    if any("; " in _sides(quality) for quality in found):
        text += f" An exact fit (∞) counts as the best finite value of the {of}."
    methods = {quality.method for quality in found}
    used = " and ".join(TEST_NAMES[m] for m in TEST_NAMES if m in methods)
    if used:
        text += (
            f" p: {used} test, Holm's correction over the rows of a metric (tasks and "
            "categories apart); each 95 % interval is for its row alone."
        )
    return text


def _summary(first: Sequence[Quality]) -> str:
    found = Counter(map(_outcome, first))
    counted = ["B better", "A better", "no difference found", EQUAL]
    counted += [name for name in (ROUNDED, "not tested", "not compared") if found[name]]
    texts = (f"{name} on {found[name]}" for name in counted)
    return f"{len(first)} rows by their first metric: {', '.join(texts)}."


def _outcome(quality: Quality) -> str:
    """The result of the test in a few words, with which ``verdict`` begins."""
    if not quality.difference.units:
        return "not compared"
    if quality.identical:
        return EQUAL
    if math.isnan(quality.p):
        return "not tested"
    if not quality.detectable and quality.ties == quality.difference.units:
        return ROUNDED
    return f"{quality.better} better" if quality.better else "no difference found"


def verdict(quality: Quality, row: TaskRow) -> str:
    """Return the result of the test in words."""
    outcome, units = _outcome(quality), quality.difference.units
    unit = "target" if row.category else "pair"
    if outcome == "not compared":
        other = "taken under other conditions"
        return f"{outcome}: {other if quality.refused else 'no pair finished with a value'}"
    if outcome == "not tested":
        return f"{outcome}: {'infinite values' if units > 1 else f'one {unit}'}"
    if outcome != "no difference found" or not quality.detectable:
        return outcome
    size = value_text(quality.detectable, quality.metric)
    if not size.strip("0."):
        size = significant(quality.detectable, 1)
    size = f"{size} {quality.metric.unit}".rstrip()
    return f"{outcome}; {plural(units, unit)} detect {size} with 80 % power"


def _table(rows: Sequence[TaskRow], report: Report, *, quality: bool) -> Table:
    """Return a table with the lines of each row: one per metric, and those of costs."""
    # beside an encoding, p and wins would not fit into 80 characters; the verdict says both
    encoding = [Column("encoding", "encoding", "code")] if report.folder is None else []
    if any(row.entry for row in report.rows) and not encoding:
        encoding = [Column("settings", "settings", "code")]
    columns = [
        *encoding,
        Column("quantity", "quantity", "text"),
        Column("n", "n", help="seeds of a task, targets of a category"),
        Column("sides", "A → B", help="means"),
        Column("difference", "B − A or B / A [95 %]"),
        Column("p", "p", help="after Holm's correction", first=not encoding),
        Column("wins", "wins A:B", help="units in which A, or B, is better", first=False),
        Column("verdict", "verdict", "text"),
    ]
    made = []
    for row in rows:
        lines = _cost_lines(row.cost)
        if quality and row.quality and all(one.identical for one in row.quality):
            # A line for each metric would say the same.
            n = row.quality[0].difference.units
            lines.insert(0, [Value("all metrics"), Value(str(n), n), *[NONE] * 4, Value(EQUAL)])
        elif quality:
            lines = [*(_quality_line(one, row) for one in row.quality), *lines]
        # an encoding's name is on the first of its lines only
        names = [Value(row.entry), *[NONE] * (len(lines) - 1)]
        both = zip(names, lines, strict=True)
        made += [Row([name, *line] if encoding else line) for name, line in both]
    title = rows[0].task
    if targets := max(row.targets for row in rows):
        title += f" ({plural(targets, 'target')})"
    return Table("comparison", columns, made, title)


def _quality_line(quality: Quality, row: TaskRow) -> list[Value]:
    n, of = quality.difference.units, quality.difference.largest
    shown = partial(value_text, metric=quality.metric, of=of, sign="+")
    difference = _interval(quality.difference, shown)
    return [
        Value(quality.metric.heading),
        Value(str(n), n),
        Value(_sides(quality), quality.b),
        Value("0" if quality.identical else difference, quality.difference.mean),
        Value(MISSING if quality.identical else p_text(quality.adjusted), quality.adjusted),
        Value(f"{quality.wins_a}:{quality.wins_b}", quality.wins_b - quality.wins_a),
        Value(verdict(quality, row)),
    ]


def _sides(quality: Quality) -> str:
    """ "34.67; 1 of 3 ∞ → 31.00": the means of A and B."""
    texts = []
    for mean, infinite in ((quality.a, quality.infinite_a), (quality.b, quality.infinite_b)):
        exact = f"; {infinite} of {quality.cells} ∞" if infinite and math.isfinite(mean) else ""
        texts.append(value_text(mean, quality.metric) + exact)
    return " → ".join(texts)


def _cost_lines(cost: Cost) -> list[list[Value]]:
    both = cost.parameters_a, cost.parameters_b
    a, b = (" + ".join(count(number) for number in side) for side in both)
    total_a, total_b = map(sum, both)
    ratio = total_b / total_a if total_a else math.nan
    some = f"{cost.timed} of {plural(cost.timed + cost.untimed, 'pair')}" if cost.untimed else ""
    return [
        [
            *(Value("parameters"), NONE, Value(a if a == b else f"{a} → {b}", total_b)),
            Value(MISSING if math.isnan(ratio) else f"×{_factor(ratio)}", ratio),
            *[NONE] * 3,
        ],
        [Value("peak memory"), *_ratio(cost.memory), Value("")],
        [
            Value("training time"),
            *_ratio(cost.time),
            Value(some if cost.timed else "not compared" if cost.untimed else ""),
        ],
    ]


def _ratio(found: Interval) -> list[Value]:
    text = _interval(found, _factor)
    shown = Value(text if text == MISSING else f"×{text}", found.mean)
    return [Value(str(found.units), found.units), NONE, shown, NONE, NONE]


def _factor(ratio: float) -> str:
    """A ratio B / A: "0.00240", "1.52", "1,234"."""
    return count(ratio) if ratio >= 100 else significant(ratio)


def _interval(found: Interval, shown: Callable[[float], str]) -> str:
    if math.isnan(found.mean):
        return MISSING
    mean, low, high = map(shown, (found.mean, found.low, found.high))
    # A no-break space keeps the interval on one line.
    return f"{mean} [{low},\u00a0{high}]" if found.method else mean


def as_plain(report: Report) -> dict[str, Any]:
    """Convert a report for JSON, with verdicts in words; NaN becomes null, infinity a text."""
    values: dict[str, Any] = dataclasses.asdict(report)
    for row, found in zip(values["rows"], report.rows, strict=True):
        for quality, one in zip(row["quality"], found.quality, strict=True):
            quality |= {"verdict": verdict(one, found), "better": one.better}
    cleaned: dict[str, Any] = _clean(values)
    return cleaned


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
