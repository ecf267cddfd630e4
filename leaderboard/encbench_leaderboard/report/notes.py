"""Sentences below tables: conditions, intervals, ranks, spectra, and the meaning of columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from encbench.contracts.metric import HELD_OUT
from encbench.errors import plural
from encbench.results.value_text import quantity
from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.no_network import surely_better, without_network
from encbench_leaderboard.board.overview import OverTasks, Overview
from encbench_leaderboard.board.standings import TESTED, metric_cube
from encbench_leaderboard.board.table import (
    Board,
    TaskBoard,
    conditions_met,
    metric_conditions,
    missing_reasons,
    not_measured,
)
from encbench_leaderboard.report.blocks import Table, Text
from encbench_leaderboard.report.format import code, count, listed, p_equals, plain
from encbench_leaderboard.report.standings_table import why_unfinished
from encbench_leaderboard.report.tables import TEST_NAMES
from encbench_leaderboard.statistics.across import FEWEST_TASKS
from encbench_leaderboard.statistics.pairs import ALPHA
from encbench_leaderboard.statistics.sample import unit_means
from encbench_leaderboard.statistics.stability import FEWEST_UNITS, split_half

SHOWN_PAIRS = 12
UNFINISHED = 12
"""Maximum number of entries whose reasons for not finishing are listed."""
ADJACENT = (
    "The interval is of this pair alone; p is corrected for all pairs of the table. *Detectable* "
    "is the smallest difference that this test detects with 80 % power, at the corrected level and "
    "the observed spread: a tie says only that a larger difference is unlikely."
)
ABLATION = (
    "K = K_MLP + K_enc, the parts of the network's parameters and of the encoding's, at the end of "
    "training, first seed. An *activation region* is a set of points at which the same ReLU units "
    "are active. On plain coordinates a region of a ReLU network holds at most d + 1 independent "
    "rows of the Jacobian, which bounds the rank of the trace kernel."
)


def metric_notes(task: TaskBoard, metrics: Sequence[MetricInfo]) -> list[str]:
    """Conditions under which metrics of a task were measured, and reasons for missing values."""
    common, mixed = metric_conditions(task)
    titles = {metric.name: plain(metric.title) for metric in metrics}
    notes = [f"{title}: {plain(common[name])}." for name, title in titles.items() if name in common]
    notes += [
        f"**{titles[metric.name]} was taken under different conditions "
        f"({plain('; '.join(conditions_met(task.cells, metric)))}): numbers under different "
        "conditions are neither averaged nor ranked.**"
        for metric in metrics
        if metric.name in mixed
    ]
    columns = {metric: f"metric:{metric.name}" for metric in metrics}
    table = task.standings
    if any((np.isfinite(table[c]) & (table[f"{c}|infinite"] > 0)).any() for c in columns.values()):
        notes.append(
            "In means and tests, an exact fit (∞) counts as the best finite value of the table."
        )
    if any(m.can_collapse and table[f"{c}|zero"].any() for m, c in columns.items()):
        notes.append("Collapsed: the value is exactly 0, as when a network predicts nothing.")
    notes += [
        f"{titles[name]} has no value (–) where {plain(reason)}."
        for name, reason in missing_reasons(task).items()
        if name in titles
    ]
    for name, title in titles.items():
        if entries := not_measured(task, name):
            notes.append(
                f"{title} was not measured (–) in records of "
                f"{listed(list(map(code, entries)), SHOWN_PAIRS)}: another version of encbench or "
                "of a plug-in made them. Run them again for it."
            )
    return notes


def held_out_notes(task: TaskBoard) -> list[str]:
    """The points that metrics cover if some are held out, and the number of entries that are better
    than a method without a network."""
    titles = {metric.name: plain(metric.title) for metric in task.metrics}
    notes = [
        f"{title} is over held-out points, {titles[fitted]} over those trained on, other metrics "
        "over the whole target."
        for name, title in titles.items()
        if name.endswith(HELD_OUT) and (fitted := name.removesuffix(HELD_OUT)) in titles
    ]
    methods = without_network(task)
    if methods:
        best, ranked = methods[0], int(task.standings["rank"].notna().sum())
        shown = quantity(best.values.get(task.primary.name, math.nan), task.primary)
        tested = ""
        if best.beaten_by and (sure := surely_better(task, best)) is not None:
            tested = (
                f"; paired tests, corrected for {plural(ranked, 'encoding')}, tell "
                f"{count(sure) if sure else 'none'} of them apart from it"
            )
        notes.append(
            "*No network*: a method without a network, on the same training points, not ranked. "
            f"{count(best.beaten_by)} of {plural(ranked, 'encoding')} "
            f"{'is' if best.beaten_by == 1 else 'are'} better than "
            f"{'the best of them, ' if len(methods) > 1 else ''}{plain(best.name)} ({shown})"
            f"{tested}."
        )
    return notes


def unfinished_note(task: TaskBoard) -> str:
    """The reasons for which cells did not finish, a line per entry; "" if all finished."""
    of = {entry: task.facts_of_entry(entry) for entry in task.standings["entry"]}
    failed = [entry for entry, facts in of.items() if any(one.status != "ok" for one in facts)]
    lines = [f"- {code(e)}: {plain(why_unfinished(of[e]))}" for e in failed[:UNFINISHED]]
    if len(failed) > UNFINISHED:
        lines.append(f"- {len(failed) - UNFINISHED:,} more")
    return "\n".join(["Not finished:\n", *lines]) if lines else ""


def halved_notes(task: TaskBoard) -> list[str]:
    """Entries whose learning rate was halved because training diverged."""
    halved: dict[str, list[int]] = {}
    for one, entry in zip(task.facts, task.cells["entry"], strict=True):
        rate = one.learning_rate
        if rate is not None and rate.halvings:
            halved.setdefault(entry, []).append(rate.halvings)
    return [
        f"{code(entry)}: the automatic learning rate was halved up to {max(times)}× in "
        f"{plural(len(times), 'cell')}, in which training diverged at lr_factor · lr_crit."
        for entry, times in halved.items()
    ]


def statistics_notes(task: TaskBoard) -> list[str]:
    """The units of means, intervals and ranks, and the tests."""
    return [*_about_means(task), *_about_ranks(task)]


def _about_means(task: TaskBoard) -> list[str]:
    notes = []
    if task.targets:
        notes.append(
            "Means are over targets, seeds of a target averaged first. Entries are compared on the "
            "same targets, so a test may tell two apart whose intervals overlap."
        )
    if (task.standings[f"metric:{task.primary.name}|interval"] == "t").any():
        notes.append(f"Mean ± half of the 95 % t interval over {task.unit}s.")
        if (task.standings["units"] == 1).any():
            notes.append(f"One {task.unit} has no interval.")
    return notes


def _about_ranks(task: TaskBoard) -> list[str]:
    ranked = task.standings[task.standings["rank"].notna()]
    untested = f"(1): ordered by mean only; one {task.unit} is too few to test."
    apart = ""
    if (ranked["rank_low"].notna() & ~ranked["tested"]).any():
        apart = "(1–2): not compared with entries on other targets."
    if task.pairs is None:
        if len(ranked) < 2:
            return []
        if (ranked["units"] == 1).all():
            return [untested, *filter(None, [apart])]
        untested = f"(1): ordered by mean only; no two entries share a {task.unit} to be tested on."
        return [untested, *filter(None, [apart])]
    methods = [TEST_NAMES[m] for m in TEST_NAMES if m in set(task.pairs.method)]
    notes = [
        "\\# is the range of ranks that the tests allow: "
        f"{plural(task.pairs.tested, 'paired test')} of all pairs ({' and '.join(methods)}) on "
        f"the {task.unit}s that both finished, with Holm's correction at 5 %. “=” is a tie: the "
        "tests find no difference from the entry above."
    ]
    if len(ranked) > TESTED:
        notes.append(f"Only the best {TESTED} were tested.")
    if not ranked["tested"].all():
        notes.append("(1): ordered by mean only, not tested.")
    if apart:
        notes.append(apart)
    if task.targets and ranked["units"].nunique() > 1:
        notes.append(
            "Entries that did not finish on every target rank below those that did: their means "
            "are over other targets."
        )
    return notes


def stability_note(task: TaskBoard) -> Text | None:
    """Agreement between the rankings by two halves of the units; None if there are too few."""
    means = unit_means(metric_cube(task.cells, task.primary, list(task.standings["entry"])).values)
    means = means[np.isfinite(means).all(axis=1)]
    if len(means) < 3 or means.shape[1] < FEWEST_UNITS:
        return None
    rho, same = split_half(means, higher=task.primary.higher)
    return Text(
        f"**Split-half stability**: ranked by two halves of the {means.shape[1]} {task.unit}s, "
        f"{plural(len(means), 'encoding')} have a rank correlation of ρ = {rho:.2f} (mean over "
        f"splits), and both halves have the same leader in {same:.0%} of the splits."
    )


BUDGET = (
    "Would less training order them differently? Values are of the quality curve, means over "
    "cells; a curve may be at fewer points than the final value, and so differ from it. A time is "
    "the training time until the curve first reached the value; in brackets, the number of cells "
    "that reached it, if not all did."
)


def weyl_note(task: TaskBoard) -> Text | None:
    """The number of kernels on which Weyl's inequality was checked, and whether it held; None if
    there are none.

    Encodings without learnable parameters are not counted: then K is K_MLP.
    """
    checks = [
        (kernel.weyl, entry, kernel.when)
        for entry in task.standings["entry"]
        for one in task.facts_of_entry(entry)
        for kernel in one.kernels
        if kernel.weyl is not None
    ]
    if not checks:
        return None
    broken = [(entry, when) for held, entry, when in checks if not held]
    rule = "λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for every i, within the floors"
    if not broken:
        return Text(
            f"Weyl's inequality, {rule}, was checked on {count(len(checks))} kernels and holds on "
            "all. It can fail only by rounding: this checks our arithmetic, not the encoding."
        )
    where = ", ".join(f"{code(entry)} ({when})" for entry, when in broken)
    return Text(
        f"**Weyl's inequality, {rule}, fails on {count(len(broken))} of {count(len(checks))} "
        f"kernels: {where}. It can fail only by rounding: a kernel here is wrong.**"
    )


def overview_note(found: Overview) -> str:
    """The meaning of the overview's ranks, and the results of tests over tasks."""
    parts = [
        "Values are means over the cells that finished. *Mean rank* is over the tasks on which the "
        "encoding was run with others (column *tasks*); a category counts as one task. Equal "
        "values share their mean rank; encodings that did not finish rank last."
    ]
    tests = found.tests
    if tests is None:
        tasks = int((~np.isnan(found.ranks)).any(axis=0).sum())
        if tasks < FEWEST_TASKS:
            parts.append(f"Mean ranks over fewer than {FEWEST_TASKS} tasks are not tested.")
        else:
            which = f"fewer than two encodings were run on all {tasks} tasks"
            parts.append(f"Mean ranks are not tested: {which}.")
        return " ".join(parts)
    if not math.isnan(tests.friedman):
        differ = "differ" if tests.friedman <= ALPHA else "are not shown to differ"
        parts.append(
            f"Over all {tests.tasks} tasks the {len(tests.entries)} encodings that were run on "
            f"each {differ} in rank (Friedman's test by permutation: {p_equals(tests.friedman)})."
        )
    return " ".join([*parts, _pairs_over_tasks(tests)])


def _pairs_over_tasks(tests: OverTasks) -> str:
    better = [
        (pair.first, pair.second, pair.won, pair.lost)
        if pair.won > pair.lost
        else (pair.second, pair.first, pair.lost, pair.won)
        for pair in tests.sure
    ]
    listed = "; ".join(
        f"{code(tests.entries[a])} before {code(tests.entries[b])} ({won}:{lost})"
        for a, b, won, lost in better[:SHOWN_PAIRS]
    )
    more = f"; and {len(better) - SHOWN_PAIRS} more" if len(better) > SHOWN_PAIRS else ""
    return (
        "Pairs that differ by wins and losses over tasks (sign test, Holm's correction at 5 %): "
        f"{listed or 'none'}{more}."
    )


THEOREM = (
    "**Theorem 1** of the paper compares with the network *without* an encoding: λ_i(no encoding) "
    "≤ λ_i(K) for every i. It rests on Eq. 13, which is not an identity with ReLU, so it can fail. "
    "The table counts the indices at which it fails by more than both floors, compared with the "
    "cell of `identity` with the same network, seed and kernel size and, after the start, the same "
    "training."
)
KERNELS = {
    "trace": '"trace": the N × N mean over outputs of the kernel\'s diagonal blocks',
    "full": '"full": the NO × NO kernel of all N points and O outputs',
}


def how_to_read(board: Board, tables: Iterable[Table]) -> str:
    """A list with an item per column of the tables, then items on statistics and spectra."""
    lines = [
        f"**{plain(column.title)}**: {plain(column.help)}."
        for table in tables
        for column in table.columns
        if column.help
    ]
    lines += [*_statistics(board), *_spectra(board)]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _spectra(board: Board) -> list[str]:
    found = {kernel for kernels in {one.kernels for one in board.facts} for kernel in kernels}
    if not found:
        return []
    kernels = sorted({kernel.outputs for kernel in found})
    points = sorted({kernel.points for kernel in found})
    return [
        "**λ_max, λ median, λ_min**: largest, middle and smallest eigenvalue of the "
        "empirical neural tangent kernel (NTK) over all parameters, at the end of training, "
        f"at N = {_listed(points)} training points; "
        f"{'; and '.join(KERNELS[kernel] for kernel in kernels)}. With binary cross entropy "
        "(occupancy) it is the kernel of the logits. Eigenvalues depend on N: spectra of different "
        "N or of different kernels must not be compared. Over several cells the geometric mean is "
        "shown, because eigenvalues span decades.",
        "**floor**: eigenvalues below it are rounding noise, and are counted but not shown: "
        "“≤ 1.0e-12” is an eigenvalue that cannot be told from zero at a floor of 1.0e-12. The "
        "floor is the larger of 8 ε λ_max (ε is the machine epsilon of the kernel's precision) and "
        "ten times the size of the most negative eigenvalue, which is pure error.",
        "**effective rank**: exp of the entropy of the normalized eigenvalues "
        "(Roy & Vetterli, 2007).",
    ]


def _statistics(board: Board) -> list[str]:
    """The meaning of intervals, ranges of ranks and categories, if the board has them."""
    lines = []
    groups = (*board.categories, *board.tasks)
    if any((group.standings["units"] > 1).any() for group in groups):
        lines.append("**95 % interval** of a mean: Student's t interval (±); one value has none.")
    if any(group.pairs is not None for group in groups):
        lines.append(
            "**range of ranks**: from 1 plus the number of significantly better entries to the "
            "last rank minus the number of significantly worse ones. Tests are of paired "
            "differences: sign flips, or Student's t with too few pairs for a sign-flip test. With "
            "Holm's correction over all pairs of the table, the probability of any false finding "
            "in it is at most 5 %."
        )
    if board.categories:
        lines.append(
            "**category**: tasks that differ only in their target, such as the image. The unit is "
            "the target; its seeds are averaged first."
        )
    return lines


def _listed(numbers: list[int]) -> str:
    if len(numbers) <= 3:
        return " or ".join(f"{n:,}" for n in numbers)
    return f"{numbers[0]:,} to {numbers[-1]:,}"
