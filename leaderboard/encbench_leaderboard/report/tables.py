"""The tables of a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from encbench_leaderboard.board.adjacent import adjacent_pairs
from encbench_leaderboard.board.cells import WHENS, cell_settings
from encbench_leaderboard.board.correlation import STATISTICS, Correlation, mean_rho
from encbench_leaderboard.board.labels import differing
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.report.blocks import Block, Column, Row, Table, Value
from encbench_leaderboard.report.columns import (
    ENTRY,
    NO_VALUE,
    Source,
    cost_columns,
    number,
    spectrum_columns,
    standings_columns,
)
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    digits,
    eigenvalue,
    fixed,
    p_text,
)
from encbench_leaderboard.statistics.intervals import Interval

__all__ = [
    "TEST_NAMES",
    "ablation_table",
    "adjacent_table",
    "correlation_table",
    "cost_table",
    "mean_correlation_table",
    "overview_table",
    "settings_table",
    "spectra_table",
    "standings_table",
]

ALWAYS = ("rank", "encoding", "status")
"""Columns of the standings that are shown even where they are empty."""
TEST_NAMES = {
    "t": "paired t",
    "sign-flip": "exact sign-flip",
    "sampled sign-flip": "sign-flip, random patterns",
}


def standings_table(task: TaskBoard, details: Callable[[str], Sequence[Block]]) -> Table:
    """The leaderboard of a task, best first, what did not finish at the bottom.

    Args:
        task: a task or category.
        details: what is shown of an entry when its row is opened.
    """
    kept = (*ALWAYS, task.primary.name)
    sources = standings_columns(task)
    values = [[source.value(row) for source in sources] for row in task.rows]
    places = [
        place
        for place, source in enumerate(sources)
        if source.column.name in kept or any(row[place] != NO_VALUE for row in values)
    ]
    rows = [
        Row([of_row[place] for place in places], entry, _statuses(task, entry), details(entry))
        for of_row, entry in zip(values, task.standings["entry"], strict=True)
    ]
    targets = f" ({task.cells['unit'].nunique()} targets)" if task.targets else ""
    columns = [sources[place].column for place in places]
    return Table("standings", columns, rows, f"{task.label}{targets}")


def _statuses(task: TaskBoard, entry: str) -> Counter[str]:
    return Counter(stored.record.status for stored in task.of_entry(entry))


def overview_table(found: Overview) -> Table:
    """Encodings × tasks in each task's primary metric, by mean rank.

    What ran on fewer tasks stands below: its mean rank is not over the same ones.
    """
    columns = [
        ENTRY.column,
        Column("mean_rank", "mean rank ↓", help="over the tasks that rank the encoding"),
        Column("tasks", "tasks", help="that rank the encoding"),
    ]
    of_groups = []
    for place, group in enumerate(found.groups, 1):
        title = f"{place}. {group.primary.heading}"
        columns.append(Column(group.slug, title, help=group.label))
        table, places = group.standings, digits(group.primary)
        means = table[f"metric:{group.primary.name}"]
        of_groups.append(
            {
                entry: number(mean, partial(fixed, digits=places))
                if finished
                else Value("did not finish", math.nan)
                for entry, mean, finished in zip(table["entry"], means, table["n"], strict=True)
            }
        )
    rows = [
        Row(
            [
                Value(entry),
                number(found.mean_rank(place), fixed),
                Value(str(found.tasks(place)), found.tasks(place)),
                *(values.get(entry, NO_VALUE) for values in of_groups),
            ],
            entry,
        )
        for place, entry in enumerate(found.entries)
    ]
    return Table("overview", columns, rows)


def adjacent_table(task: TaskBoard) -> Table | None:
    """Each entry beside the next one; None where nothing was tested."""
    found = adjacent_pairs(task)
    if not found:
        return None
    places = digits(task.primary)
    unit = f" [{task.primary.unit}]" if task.primary.unit else ""
    columns = [
        ENTRY.column,
        Column("next", "next encoding", "code"),
        Column("difference", f"difference{unit}"),
        Column("interval", "95 % interval", help="of this pair alone"),
        Column("n", "n", help="pairs of cells or of targets"),
        Column("p", "p (Holm)", help="corrected for all pairs of the table"),
        Column("test", "test", "text"),
        Column("verdict", "verdict", "text"),
        Column("detectable", f"detectable{unit}", help="with 80 % power at the corrected level"),
    ]
    decimals = partial(fixed, digits=places)
    rows = [
        Row(
            [
                Value(pair.higher),
                Value(pair.lower),
                number(pair.difference.mean, decimals),
                _range(pair.difference, places),
                Value(str(pair.difference.units), pair.difference.units),
                number(pair.p, p_text),
                Value(TEST_NAMES.get(pair.method, MISSING)),
                Value("tie" if pair.tied else "different"),
                number(pair.detectable, decimals),
            ],
            pair.higher,
        )
        for pair in found
    ]
    return Table("adjacent", columns, rows)


def _range(interval: Interval, places: int) -> Value:
    if not interval.method:
        return NO_VALUE
    return Value(f"{fixed(interval.low, places)} to {fixed(interval.high, places)}", interval.low)


def spectra_table(task: TaskBoard, entries: Iterable[str] | None = None) -> Table | None:
    """Statistics of the spectrum at the start, middle and end; None where none was taken.

    Args:
        task: a task or category.
        entries: of these alone, without a column that names them.
    """
    wanted = None if entries is None else set(entries)
    moment = Column("moment", "moment", "text", "of training")
    by_moment = {when: spectrum_columns(when) for when in WHENS}
    rows = [
        Row(
            [
                *([ENTRY.value(row)] if wanted is None else []),
                Value(when, WHENS.index(when)),
                *(source.value(row) for source in by_moment[when]),
            ],
            row["entry"],
        )
        for row in task.rows
        if wanted is None or row["entry"] in wanted
        for when in WHENS
        if row[f"{when}:taken"]
    ]
    named = [ENTRY.column] if wanted is None else []
    columns = [*named, moment, *(source.column for source in by_moment["end"])]
    return Table("spectra", columns, rows) if rows else None


def cost_table(task: TaskBoard) -> Table:
    """Where the time and the memory went."""
    sources = [ENTRY, *cost_columns(task)]
    return _table("costs", sources, task)


def _table(name: str, sources: Sequence[Source], task: TaskBoard) -> Table:
    rows = [Row([source.value(row) for source in sources], row["entry"]) for row in task.rows]
    return Table(name, [source.column for source in sources], rows)


def settings_table(task: TaskBoard) -> Table | None:
    """Settings that are not the same for all entries; None where all are."""
    settings = {
        entry: cell_settings(task.of_entry(entry)[0].record) for entry in task.standings["entry"]
    }
    keys = differing(settings.values())
    if not keys:
        return None
    columns = [ENTRY.column, *(Column(key, key, "code") for key in keys)]
    rows = [
        Row([Value(entry), *(Value(str(values.get(key, MISSING))) for key in keys)], entry)
        for entry, values in settings.items()
    ]
    return Table("settings", columns, rows)


def ablation_table(task: TaskBoard) -> Table | None:
    """K beside K_MLP at the end of training, first seed; None where no spectrum was taken."""
    columns = [
        ENTRY.column,
        Column("lambda_median", "λ median of K"),
        Column("mlp_lambda_median", "λ median of K_MLP"),
        Column("lambda_minimum", "λ_min of K"),
        Column("mlp_lambda_minimum", "λ_min of K_MLP"),
        Column("regions", "activation regions", help="that hold a point"),
        Column("rank_bound", "bound of the rank", help="of the trace kernel"),
        Column("dead_units", "dead units", help="units that are off at all points"),
    ]
    rows = []
    for entry in task.standings["entry"]:
        summaries = [s for stored in task.of_entry(entry)[:1] for s in stored.record.spectra]
        last = next((s for s in summaries if s.when == "end"), None)
        if last is None or last.mlp is None:
            continue
        seen = last.activation
        counts = (seen.regions, seen.rank_bound, seen.dead_units) if seen else (None, None, None)
        rows.append(
            Row(
                [
                    Value(entry),
                    _above(last.median, last.floor),
                    _above(last.mlp.median, last.mlp.floor),
                    _above(last.minimum, last.floor),
                    _above(last.mlp.minimum, last.mlp.floor),
                    *(NO_VALUE if n is None else Value(count(n), n) for n in counts),
                ],
                entry,
            )
        )
    return Table("ablation", columns, rows) if rows else None


def _above(value: float | None, floor: float) -> Value:
    if value is None:
        return Value(f"≤ {eigenvalue(floor)}", 0.0)
    return Value(eigenvalue(value), value)


def correlation_table(found: dict[str, list[Correlation]]) -> Table:
    """ρ of each statistic at the start and the end, by moment."""
    columns = [Column("statistic", "statistic", "text")]
    for when in found:
        columns += [
            Column(f"rho_{when}", f"ρ at the {when}", help="Spearman's rank correlation"),
            Column(f"n_{when}", f"n at the {when}", help="cells"),
        ]
    rows = []
    for place, title in enumerate(STATISTICS.values()):
        values = [Value(title)]
        for of_moment in found.values():
            one = of_moment[place]
            values += [number(one.rho, _signed), Value(str(one.cells), one.cells)]
        rows.append(Row(values))
    return Table("correlation", columns, rows)


def mean_correlation_table(board: Board) -> Table:
    """ρ averaged over tasks, and over how many."""
    found = {when: mean_rho(board.tasks, when) for when in ("start", "end")}
    columns = [Column("statistic", "statistic", "text")]
    for when in found:
        columns += [
            Column(f"rho_{when}", f"mean ρ at the {when}", help="over tasks"),
            Column(f"tasks_{when}", f"tasks at the {when}", help="with enough cells"),
        ]
    rows = []
    for name, title in STATISTICS.items():
        values = [Value(title)]
        for of_moment in found.values():
            rho, tasks = of_moment[name]
            values += [number(rho, _signed), Value(str(tasks), tasks)]
        rows.append(Row(values))
    return Table("mean-correlation", columns, rows)


def _signed(rho: float) -> str:
    return f"{rho:+.2f}"
