"""Means, ranks and tests in words: what a table's cell reads, and the notes below it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from encbench_leaderboard.board.cached import remembered
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.standings import TESTED
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.format import MISSING, code, count, fixed, plural
from encbench_leaderboard.statistics.across import FEWEST_TASKS
from encbench_leaderboard.statistics.intervals import BOOTSTRAP_FROM
from encbench_leaderboard.statistics.pairs import ALPHA

__all__ = [
    "METHODS",
    "NEIGHBOURS",
    "mean_text",
    "over_tasks_text",
    "p_text",
    "rank_text",
    "short_note",
    "statistics_notes",
]

SHOWN_PAIRS = 12
NEIGHBOURS = (
    "The interval is of this pair alone; p is corrected for all pairs of the table. *Could show* "
    "is the difference that the test would have found in four of five tries at that corrected "
    "level, given the spread seen: a tie says no more than that a larger one is unlikely."
)
METHODS = {
    "t": "paired t",
    "sign-flip": "exact sign-flip",
    "sampled sign-flip": "sign-flip, random patterns",
}


def rank_text(row: Mapping[str, Any]) -> str:
    """ "2", or "2–4" where tests allow several ranks; "(2)" where nothing was tested.

    "= 2–4" is a tie with the entry above.
    """
    if math.isnan(row["rank"]):
        return MISSING
    if not row["tested"]:
        return f"({count(row['rank'])})"
    low, high = count(row["rank_low"]), count(row["rank_high"])
    shown = low if low == high else f"{low}–{high}"
    return f"= {shown}" if row["tied"] else shown


def mean_text(row: Mapping[str, Any], column: str, places: int) -> str:
    """A row's mean with its 95 % interval, and how many cells that finished have no value."""
    shown = fixed(row[column], places)
    if shown == MISSING:
        return shown
    low, high = row[f"{column}|low"], row[f"{column}|high"]
    if row[f"{column}|interval"] == "t":
        shown += f" ± {fixed((high - low) / 2, places)}"
    elif row[f"{column}|interval"] == "bootstrap":
        shown += f" [{fixed(low, places)}, {fixed(high, places)}]"
    without = int(row["n"] - row[f"{column}|n"])
    return f"{shown}; {without} of {row['n']} {MISSING}" if without else shown


def p_text(p: float) -> str:
    """ "0.031", "< 0.001"; "–" for no test."""
    if math.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@remembered
def statistics_notes(task: TaskBoard) -> list[str]:
    """Sentences for below the standings: means and intervals, ranks and tests."""
    return [*_about_means(task), *_about_ranks(task)]


def short_note(task: TaskBoard) -> str:
    """The same in a line, for a terminal; "" where there is nothing to say."""
    table = task.standings
    ranked = table[table["rank"].notna()]
    unit = "target" if task.targets else "seed"
    parts = []
    if (ranked["units"] > 1).any():
        parts.append(f"mean with its 95 % interval over {unit}s")
    if task.pairs is not None:
        tests = plural(task.pairs.tested, "paired test")
        parts.append(f"# by {tests} (Holm, 5 %)")
        if ranked["tied"].any():
            parts.append("“=” a tie with the row above")
    if len(ranked) > 1 and not ranked["tested"].all():
        parts.append("(#) by value, untested")
    return "; ".join(parts)


def _about_means(task: TaskBoard) -> list[str]:
    column = f"metric:{task.primary.name}|interval"
    methods = set(task.standings[column])
    unit = "target" if task.targets else "seed"
    notes = []
    if task.targets:
        notes.append(
            f"Means are over targets, of the mean over each target's seeds: {unit}s are what is "
            "compared, however many seeds they have. Intervals may overlap where tests tell "
            "entries apart: tests compare on the same targets, which differ among themselves."
        )
    said = []
    if "t" in methods:
        said.append(f"mean ± half of the 95 % t interval (2 to {BOOTSTRAP_FROM - 1} {unit}s)")
    if "bootstrap" in methods:
        how = ", targets and then their seeds resampled" if task.targets else ""
        said.append(f"mean [95 % bootstrap interval] (from {BOOTSTRAP_FROM} {unit}s on{how})")
    if said:
        notes.append(f"{'; '.join(said)}.".capitalize())
        if (task.standings["units"] == 1).any():
            notes.append(f"One {unit} has no interval.")
    return notes


def _about_ranks(task: TaskBoard) -> list[str]:
    table = task.standings
    ranked = table[table["rank"].notna()]
    unit = "target" if task.targets else "seed"
    if task.pairs is None:
        if len(ranked) < 2:
            return []
        why = f"one {unit} each" if (ranked["units"] == 1).all() else "no two share cells"
        return [f"Ranks in brackets are by value and untested: {why}."]
    methods = [METHODS[m] for m in METHODS if m in set(task.pairs.method)]
    notes = [
        "\\# is the range of ranks that the data allow: "
        f"{plural(task.pairs.tested, 'paired test')} of all pairs ({' and '.join(methods)}), on "
        f"the {unit}s that both finished, Holm's correction at 5 %. “=” is a tie: the tests do "
        "not tell the entry from the one above it."
    ]
    if not ranked["tested"].all():
        notes.append("Ranks in brackets are by value and untested.")
    if len(ranked) > TESTED:
        notes.append(f"Only the best {TESTED} were tested.")
    if task.targets and ranked["units"].nunique() > 1:
        notes.append(
            "What did not finish on every target stands below what did: its mean is over others."
        )
    return notes


def over_tasks_text(found: Overview) -> str:
    """What the overview's ranks are, and what tests over tasks say of them."""
    parts = [
        "*Mean rank* is over the tasks that an encoding was run on with others, their number "
        "beside it; a category of targets counts as one task. Equal values share their mean rank; "
        "what did not finish ranks after all that did."
    ]
    tests = found.tests
    if tests is None:
        parts.append(
            f"Mean ranks over fewer than {FEWEST_TASKS} tasks are not tested: another choice of "
            "tasks might order encodings otherwise."
        )
        return " ".join(parts)
    if not math.isnan(tests.friedman):
        differ = "differ" if tests.friedman <= ALPHA else "are not seen to differ"
        parts.append(
            f"Over all {tests.tasks} tasks the {len(tests.entries)} encodings that were run on "
            f"each {differ} in rank (Friedman's test, shuffled: p {_relation(tests.friedman)})."
        )
    sure = [
        (pair.first, pair.second, pair.won, pair.lost)
        if pair.won > pair.lost
        else (pair.second, pair.first, pair.lost, pair.won)
        for pair in tests.sure
    ]
    told = "; ".join(
        f"{code(tests.entries[a])} before {code(tests.entries[b])} ({won}:{lost})"
        for a, b, won, lost in sure[:SHOWN_PAIRS]
    )
    more = f"; and {len(sure) - SHOWN_PAIRS} more" if len(sure) > SHOWN_PAIRS else ""
    parts.append(
        f"Pairs told apart by wins and losses over tasks (sign test, Holm's correction at 5 %): "
        f"{told or 'none'}{more}."
    )
    return " ".join(parts)


def _relation(p: float) -> str:
    return p_text(p) if p < 0.001 else f"= {p_text(p)}"
