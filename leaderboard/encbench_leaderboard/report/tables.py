"""The tables of a page."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from encbench.results.kernel_summary import SpectrumSummary
from encbench.results.value_text import fixed, round_text, value_text
from encbench.runs.tuning_report import Summary, TunedEncoding, TuneResult
from encbench.suite.config import differing
from encbench.suite.labels import shortened
from encbench_leaderboard.board.budget import (
    PARTS,
    Course,
    on_common_finished,
    on_common_units,
    values_of,
)
from encbench_leaderboard.board.facts import WHENS, cell_settings
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.standings import metric_cube
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.board.theorem import AgainstPlain, against_plain
from encbench_leaderboard.report.blocks import Column, Row, Table, Value
from encbench_leaderboard.report.columns import (
    ENTRY,
    NO_VALUE,
    Source,
    Standing,
    best_columns,
    codes,
    cost_columns,
    described,
    fill,
    finished,
    mean_of_reached,
    numbers,
    spectrum_columns,
    texts,
)
from encbench_leaderboard.report.format import (
    MISSING,
    count,
    eigenvalue,
    p_text,
    seconds,
    span,
)
from encbench_leaderboard.statistics.intervals import Interval, intervals
from encbench_leaderboard.statistics.pairs import ALPHA, paired_differences
from encbench_leaderboard.statistics.sample import cube
from encbench_leaderboard.statistics.stability import improvement
from encbench_leaderboard.statistics.student import detectable

TEST_NAMES = {
    "t": "paired t",
    "sign-flip": "exact sign-flip",
    "sampled sign-flip": "sign-flip, random patterns",
}


def overview_table(found: Overview) -> Table:
    """Encodings × tasks in each task's primary metric, by mean rank."""
    names = found.entries

    def tasks(place: int) -> Value:
        finished, ranked = int(found.finished[place]), found.tasks(place)
        return Value(str(ranked) if finished == ranked else f"{finished} of {ranked}", finished)

    sources: list[Source[int]] = [
        numbers("mean_rank", "mean rank ↓", found.mean_rank, fixed),
        described("tasks", "tasks", tasks),
        *(_of_group(number, group, names) for number, group in enumerate(found.groups, 1)),
    ]
    return fill("overview", sources, range(len(names)), names.__getitem__)


def _of_group(number: int, group: TaskBoard, names: Sequence[str]) -> Source[int]:
    table, metric = group.standings, group.primary
    found = zip(table["entry"], table[f"metric:{metric.name}"], table["n"], strict=True)
    values = {
        entry: Value(value_text(mean, metric), mean) if n else Value("did not finish")
        for entry, mean, n in found
    }
    column = Column(group.slug, f"{number}. {metric.heading}", help=group.label)
    return Source(column, lambda place: values.get(names[place], NO_VALUE))


def adjacent_table(task: TaskBoard) -> Table | None:
    """Each entry compared with the next one in the standings; None if nothing was tested."""
    pairs = task.pairs
    if pairs is None:
        return None
    values = cube(task.cells, f"metric:{task.primary.name}", pairs.entries).values
    capped = metric_cube(task.cells, task.primary, pairs.entries).values
    with np.errstate(invalid="ignore"):
        differences = intervals(paired_differences(capped[:-1], capped[1:]))
    unit = f" [{task.primary.unit}]" if task.primary.unit else ""
    decimals = partial(value_text, metric=task.primary)
    level = ALPHA / pairs.tested

    def interval(pair: int) -> Value:
        found = gap(pair)
        if not found.method:
            return NO_VALUE
        low, high = (decimals(end, of=found.largest) for end in (found.low, found.high))
        return Value(f"{low} to {high}", found.low)

    def difference(pair: int) -> Value:
        found = gap(pair)
        if math.isnan(found.mean):
            return NO_VALUE
        return Value(decimals(found.mean, of=found.largest), found.mean)

    def power(pair: int) -> float:
        return detectable(float(pairs.deviation[pair]), int(pairs.units[pair]), level)

    def higher(pair: int) -> str:
        return pairs.entries[int(pairs.first[pair])]

    def better(pair: int) -> float:
        # on one task, the seeds are repeats of the same target
        pooled = values if task.targets else values.swapaxes(1, 2)
        first, second = pooled[pairs.first[pair]], pooled[pairs.second[pair]]
        return improvement(first, second, higher=task.primary.higher)

    def gap(pair: int) -> Interval:
        return differences[int(pairs.first[pair])]

    different = pairs.significant()

    def verdict(pair: int) -> str:
        if not pairs.method[pair]:
            return "not tested"
        return "different" if different[pair] else "tie"

    sources: list[Source[int]] = [
        codes("next", "next encoding", lambda pair: pairs.entries[pairs.second[pair]]),
        described("difference", f"difference{unit}", difference),
        described("interval", "95 % interval", interval),
        numbers("pairs", "n", lambda pair: gap(pair).units, str),
        numbers("p", "p (Holm)", lambda pair: float(pairs.adjusted[pair]), p_text),
        texts("test", "test", lambda pair: TEST_NAMES.get(pairs.method[pair], MISSING)),
        numbers("improvement", "P(better)", better, fixed),
        texts("verdict", "verdict", verdict),
        numbers("detectable", f"detectable{unit}", power, decimals),
    ]
    adjacent = np.flatnonzero(pairs.second == pairs.first + 1).tolist()
    return fill("adjacent", sources, adjacent, higher)


def budget_table(task: TaskBoard, found: Mapping[str, Sequence[Course]]) -> Table | None:
    """Quality after fractions of the steps, and steps and seconds until it reached given values; in
    a category over common targets, see ``on_common_units`` and ``on_common_finished``. None without
    curves of the primary metric."""
    values = values_of(task.primary, found)
    finished_on = on_common_finished(found) if task.targets else found
    if task.targets:
        found = on_common_units(found)
    shown = partial(value_text, metric=task.primary)
    unit = f" {task.primary.unit}" if task.primary.unit else ""

    def after(part: float) -> Callable[[str], float]:
        def mean(entry: str) -> float:
            values: defaultdict[str, list[float]] = defaultdict(list)
            for course in finished_on.get(entry, ()):
                if course.finished:
                    values[course.unit].append(course.after(part))
            return float(np.mean([np.mean(of) for of in values.values()])) if values else math.nan

        return mean

    def until(entry: str, value: float, cost: str) -> Value:
        costs = [getattr(c, f"{cost}_to")(value) for c in found[entry]]
        return mean_of_reached(costs, count if cost == "steps" else seconds)

    sources: list[Source[str]] = []
    for part in PARTS:
        title = f"{task.primary.title} after {part:.0%} of the steps"
        sources.append(numbers(f"after_{part:g}", title, after(part), shown))
    timed = any(len(course.seconds) for of_entry in found.values() for course in of_entry)
    for value in values:
        for cost in ("steps", "seconds") if timed else ("steps",):
            title = f"{cost} to {round_text(value)}{unit}"
            of = partial(until, value=value, cost=cost)
            sources.append(described(f"{cost}_{value:g}", title, of))
    return fill("budget", sources, found, str) if found else None


def spectra_table(standings: Sequence[Standing], *, named: bool = True) -> Table | None:
    """Statistics of the spectrum at the start, middle and end, for some of ``TaskBoard.rows``; None
    if there are no spectra."""
    return by_moment("spectra", spectrum_columns, standings, named=named)


def by_moment(
    name: str,
    columns: Callable[[str], Sequence[Source[Standing]]],
    standings: Sequence[Standing],
    *,
    named: bool = True,
) -> Table | None:
    """A row for each entry and time that has any value, with the columns of that time; None if
    there is no row."""
    names = [ENTRY] if named else []
    moments = {when: columns(when) for when in WHENS}
    rows = []
    for row in standings:
        for when, sources in moments.items():
            values = [source.value(row) for source in sources]
            if any(value != NO_VALUE for value in values):
                entry = [source.value(row) for source in names]
                rows.append(Row([*entry, Value(when), *values], row["entry"]))
    titles = [*(s.column for s in names), Column("moment", "moment", "text")]
    return Table(name, [*titles, *(s.column for s in moments["end"])], rows) if rows else None


def cost_table(task: TaskBoard) -> Table:
    """Steps, times and memory of each entry."""
    best = best_columns(task.facts, task.metrics, finished)
    sources = [*cost_columns(), *best[1:]]
    return fill("costs", sources, task.rows, itemgetter("entry"))


def settings_table(task: TaskBoard) -> Table | None:
    """Settings that differ between entries; None if there are none."""
    firsts = {entry: task.of_entry(entry)[0].record for entry in task.standings["entry"]}
    settings = {entry: cell_settings(record) for entry, record in firsts.items()}
    keys = differing(settings.values())

    def column(key: str) -> Source[str]:
        return codes(key, key, lambda entry: shortened(key, settings[entry].get(key, MISSING)))

    return fill("settings", list(map(column, keys)), settings, str) if keys else None


def gains_table(tuned: TuneResult) -> Table | None:
    """Each encoding's default and tuned values; None if nothing was tuned yet."""

    def value(summary: Summary | None, changed: Summary | None = None) -> Value:
        """A summary as a value; with ``changed``, as the change that led to it."""
        if summary is None:
            return NO_VALUE
        return Value(summary.text(change_of=changed.mean if changed else None), summary.mean)

    def setting(one: TunedEncoding) -> str:
        return one.trials[one.best].setting if one.best is not None else MISSING

    sources: list[Source[TunedEncoding]] = [
        codes("encoding", "encoding", attrgetter("label")),
        described("default", "default setting", lambda one: value(one.default)),
        described("tuned", "tuned", lambda one: value(one.tuned)),
        described("gain", "change", lambda one: value(one.gain, one.tuned)),
        codes("setting", "tuned setting", setting),
    ]
    shown = [one for one in tuned.encodings if one.tuned and one.default]
    return fill("gains", sources, shown) if shown else None


def theorem_table(task: TaskBoard) -> Table | None:
    """Kernels compared with that of the network without an encoding; None without such a cell."""

    def fails(one: AgainstPlain) -> Value:
        return Value(span(one.fails, "–"), max(one.fails))

    sources: list[Source[AgainstPlain]] = [
        texts("moment", "moment", attrgetter("when")),
        numbers("kernels", "kernels", lambda one: len(one.fails), count),
        described("fails", "indices with λ_i(no encoding) > λ_i(K)", fails),
        numbers("first", "first index", lambda one: one.first or None, count),
        numbers("size", "size", attrgetter("size"), count),
    ]
    found = against_plain(task)
    return fill("theorem", sources, found, attrgetter("entry")) if found else None


def ablation_table(task: TaskBoard) -> Table | None:
    """K and K_MLP at the end of training, first seed; None if there are no spectra of K_MLP."""
    found: dict[str, SpectrumSummary] = {}
    for entry in task.standings["entry"]:
        summaries = [s for stored in task.of_entry(entry)[:1] for s in stored.record.spectra]
        last = next((s for s in summaries if s.when == "end"), None)
        if last is not None and last.mlp is not None:
            found[entry] = last

    def above(number: str, part: str = "") -> Callable[[str], Value]:
        def value(entry: str) -> Value:
            spectrum: Any = attrgetter(part)(found[entry]) if part else found[entry]
            shown = getattr(spectrum, number)
            if shown is None:
                return Value(f"≤ {eigenvalue(spectrum.floor)}", 0.0, number=math.nan)
            return Value(eigenvalue(shown), shown)

        return value

    def seen(number: str) -> Callable[[str], float | None]:
        return lambda entry: getattr(found[entry].activation, number, None)

    def rank_bound(entry: str) -> float | None:
        """Of this kernel: O times that of the trace kernel, which is recorded, if it is full."""
        bound = seen("rank_bound")(entry)
        return bound and bound * found[entry].size // found[entry].points

    sources: list[Source[str]] = [
        described("median", "λ median of K", above("median")),
        described("median_mlp", "λ median of K_MLP", above("median", "mlp")),
        described("minimum", "λ_min of K", above("minimum")),
        described("minimum_mlp", "λ_min of K_MLP", above("minimum", "mlp")),
        numbers("regions", "activation regions", seen("regions"), count),
        numbers("rank_bound", "bound of the rank", rank_bound, count),
        numbers("dead_units", "dead units", seen("dead_units"), count),
    ]
    return fill("ablation", sources, found, str) if found else None
