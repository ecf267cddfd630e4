"""Tuning: the same number of settings of each encoding tried, the best run again on other cells.

A trial is an entry of a suite and its cells are ordinary ones: drawn before anything runs, recorded
in DIR/trials, resumed and run anywhere as those of other suites are. What is chosen follows from
their records alone. DIR itself holds the comparison of default and tuned settings.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from encbench.contracts.encoding import Encoding
from encbench.errors import DataError, EncbenchError, PluginError, UsageError, did_you_mean
from encbench.plugins.isolation import process_state_kept
from encbench.plugins.registry import Registry
from encbench.results.records import Record, StoredRecord
from encbench.results.store import Store
from encbench.run.parts import build_task, build_training
from encbench.run.search_space import (
    Dimension,
    SpaceOption,
    check_option,
    draw_settings,
    drawing_seed,
    fixed_by,
    parse_space,
    refusals,
    space_of,
    with_values,
)
from encbench.run.tuning_report import (
    TRIALS,
    TUNED,
    Summary,
    Trial,
    TunedEncoding,
    TuneResult,
    best_so_far,
    best_trial,
    earlier_result,
    expected_best,
    write_report,
    write_result,
    write_suite_file,
)
from encbench.suite.config import CellConfig, NtkConfig, cell_key
from encbench.suite.file import Suite, SuiteEntry
from encbench.suite.plan import plan

logger = logging.getLogger("encbench")
Sampler = Literal["sobol", "tpe"]
RunSuite = Callable[[Suite, Path, bool], Sequence[StoredRecord]]
"""Runs a suite into a folder; True for the comparison, which is the last."""
TUNE_SEED = 1000
"""Default seed of trials, and of their drawing: one that nobody reports."""
TPE_NOTE = (
    "TPE proposes each trial from the results of those before it: they cannot be planned, run in "
    "shares or on a cluster; with more trials the first ones stay, with other targets none does."
)


@dataclass
class Searched:
    """An encoding of the suite, its search space, and the settings to try."""

    entry: SuiteEntry
    cls: type[Encoding]
    default: CellConfig
    """One of its cells as the suite has it."""
    space: list[Dimension]
    seed: int
    """Of its drawing."""
    refusal: Callable[[Sequence[Any]], str]
    """Why it cannot be built with values of the space; "" where it can."""
    values: list[list[Any]] = field(default_factory=list)
    """Of the trials after the default one, in the order of ``space``."""

    def possible(self, values: Sequence[Any]) -> bool:
        """Whether it can be built with values of the space."""
        return not self.refusal(values)

    @property
    def default_values(self) -> list[Any]:
        """Of the default setting, in the order of ``space``."""
        cell = self.default
        tables = {"parameters": cell.encoding.parameters}
        tables |= {"training": dict(cell.training), "network": dict(cell.network)}
        return [tables[dimension.section][dimension.key] for dimension in self.space]

    @property
    def trials(self) -> list[SuiteEntry]:
        """The default setting, and the others."""
        default = self.entry.model_copy(update={"label": f"{self.entry.text} · default"})
        return [default, *(self._trial(k, v) for k, v in enumerate(self.values, start=1))]

    def _trial(self, number: int, values: Sequence[Any]) -> SuiteEntry:
        return with_values(self.entry, self.space, values, f"{self.entry.text} · trial {number}")

    def final(self, best: int) -> list[SuiteEntry]:
        """The default setting and the best one as they are reported; one where they are equal."""
        tuned = f"{self.entry.text} · tuned"
        if best == 0:
            return [self.entry.model_copy(update={"label": f"{tuned} (the default)"})]
        labelled = self.entry.model_copy(update={"label": self.entry.text})
        return [labelled, self.trials[best].model_copy(update={"label": tuned})]


@dataclass
class Tuning:
    """A tuning as it was asked for, everything checked and drawn."""

    suite: Suite
    """Of what is reported: its tasks and seeds."""
    tasks: list[SuiteEntry]
    """To tune on."""
    seeds: list[int]
    """Of the trials."""
    searched: list[Searched]
    count: int
    """Trials of each encoding, the default setting included."""
    sampler: Sampler
    metric: str
    unit: str
    direction: Literal["higher", "lower"]
    notes: list[str]
    tune_on: list[str]
    report_on: list[str]

    def trial_suite(self, entries: Iterable[SuiteEntry] | None = None) -> Suite:
        """Trials on the tuning targets, all of them unless entries are given; no spectra."""
        if entries is None:
            entries = (trial for one in self.searched for trial in one.trials)
        return _changed(
            self.suite,
            name=f"{self.suite.name}-trials",
            encodings=list(entries),
            tasks=self.tasks,
            seeds=self.seeds,
            ntk=NtkConfig(points=0),
        )

    def final_suite(self, best: Sequence[int], *, only_tuned: bool = False) -> Suite:
        """Default and tuned settings on the reported targets, or the tuned ones alone."""
        finals = [one.final(number) for one, number in zip(self.searched, best, strict=True)]
        entries = [entry for pair in finals for entry in (pair[-1:] if only_tuned else pair)]
        described = {"description": self.result().protocol} if only_tuned else {}
        changes = {"name": f"{self.suite.name}-tuned", "encodings": entries, **described}
        return _changed(self.suite, **changes)

    def result(self) -> TuneResult:
        """What is known before anything has run."""
        encodings = []
        for one in self.searched:
            space = {dimension.name: dimension.search for dimension in one.space}
            encodings.append(
                TunedEncoding(
                    label=one.entry.text,
                    name=one.default.encoding.name,
                    seed=one.seed,
                    space={name: asdict(search) for name, search in space.items()},
                    ranges={name: str(search) for name, search in space.items()},
                    trials=[],
                )
            )
        return TuneResult(
            encbench=metadata.version("encbench"),
            suite=self.suite.name,
            sampler=self.sampler,
            seed=self.seeds[0],
            trials=self.count,
            metric=self.metric,
            unit=self.unit,
            direction=self.direction,
            tune_on=self.tune_on,
            tune_seeds=self.seeds,
            report_on=self.report_on,
            report_seeds=self.suite.seeds,
            notes=list(self.notes),
            encodings=encodings,
        )


def _changed(suite: Suite, **changes: Any) -> Suite:
    """The suite with some fields replaced; what was unset stays unset."""
    return Suite.model_validate(suite.model_dump(exclude_unset=True) | changes)


def plan_tuning(
    suite: Suite,
    *,
    trials: int = 20,
    tune_on: Sequence[str] = (),
    tune_seeds: Sequence[int] = (TUNE_SEED,),
    space: Sequence[str] = (),
    metric: str | None = None,
    sampler: Sampler = "sobol",
    registry: Registry,
) -> Tuning:
    """Check a tuning and draw its trials.

    Args:
        suite: encodings to tune; its tasks and seeds are those that are reported.
        trials: of each encoding, the default setting included.
        tune_on: tasks to tune on, such as "image:image=chelsea"; they are not reported unless
            there are no others. Default: the suite's task, where it has one only.
        tune_seeds: seeds of the trials; the first is also that of their drawing.
        space: what is searched instead of, or besides, what the encodings declare, such as
            "ffe.levels=4..12", "training.lr=1e-4..1e-2:log", "training.batch_size=64|256", or
            "training.batch_size=64", which fixes it.
        metric: by which the best is chosen; default: the one that the task's curve shows.
        sampler: "sobol", drawn beforehand, or "tpe" (needs ``encbench[tpe]``), one after another.
        registry: plug-ins to use.

    Raises:
        UsageError: a name, a range or a value is wrong.
    """
    if trials < 2:
        raise UsageError(f"trials must be at least 2, the default setting and one more: {trials}")
    if sampler == "tpe" and find_spec("optuna") is None:
        raise UsageError("the sampler tpe needs Optuna: pip install 'encbench[tpe]', or take sobol")
    seeds = list(dict.fromkeys(tune_seeds))
    tasks, reported, entries = _split_tasks(suite, tune_on)
    offers = {entry.text: registry.find("encoding", entry.name) for entry in entries}
    options = _options(space, {offer.name: offer.load() for offer in offers.values()})
    entries = [fixed_by(entry, offers[entry.text].name, options) for entry in entries]
    suite = _changed(suite, encodings=entries, tasks=reported)
    with process_state_kept():
        trial_cells = _cells_of(_changed(suite, tasks=tasks, seeds=seeds), registry)
        final_cells = _cells_of(suite, registry)
        notes = _check_targets(trial_cells, final_cells)
        name, unit, direction = _metric(metric, trial_cells, registry)
        dimensions, points = _shapes([*trial_cells, *final_cells], registry)
        searched = []
        for entry in entries:
            default = next(c for c in trial_cells if c.encoding.label == entry.text)
            searched.append(
                _searched(entry, default, options, registry, dimensions=dimensions, points=points)
            )
        if sampler == "sobol":
            notes += [note for one in searched for note in _draw(one, trials)]
        else:
            notes.append(TPE_NOTE)
    return Tuning(
        suite=suite,
        tasks=tasks,
        seeds=seeds,
        searched=searched,
        count=trials,
        sampler=sampler,
        metric=name,
        unit=unit,
        direction=direction,
        notes=notes,
        tune_on=_targets(trial_cells),
        report_on=_targets(final_cells),
    )


def _split_tasks(
    suite: Suite, tune_on: Sequence[str]
) -> tuple[list[SuiteEntry], list[SuiteEntry], list[SuiteEntry]]:
    """Tasks to tune on, tasks to report on, and the encodings of all of them."""
    known = {(task.name, _text(task.parameters)): task for task in suite.tasks}
    named = map(SuiteEntry.from_text, tune_on)
    tasks = [known.get((task.name, _text(task.parameters)), task) for task in named]
    if not tasks and len(suite.tasks) > 1:
        raise UsageError(
            f"the suite has {len(suite.tasks)} tasks; say which to tune on, for example "
            f"--tune-on {suite.tasks[0].text}: the others are then reported"
        )
    tasks = tasks or list(suite.tasks)
    reported = [task for task in suite.tasks if task not in tasks] or list(suite.tasks)
    own = {}
    for task in (*tasks, *reported):
        encodings = task.encodings or suite.encodings
        own[_text([encoding.model_dump() for encoding in encodings])] = encodings
    if len(own) > 1:
        raise UsageError(
            "tasks of the suite have encodings of their own, and tuning takes the same for all "
            "tasks; give them with -e, or tune for one of the tasks with -t"
        )
    plain = {"encodings"}
    tasks, reported = (
        [SuiteEntry(**task.model_dump(exclude_unset=True, exclude=plain)) for task in some]
        for some in (tasks, reported)
    )
    return tasks, reported, next(iter(own.values()))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _options(space: Sequence[str], encodings: Mapping[str, type[Encoding]]) -> list[SpaceOption]:
    options: dict[str, SpaceOption] = {}
    for text in space:
        option = parse_space(text)
        check_option(option, encodings)
        if option.name in options:
            raise UsageError(f"--space {option.name} is given more than once")
        options[option.name] = option
    return list(options.values())


def _cells_of(suite: Suite, registry: Registry) -> list[CellConfig]:
    """The cells of a suite whose entries are one setting each.

    Raises:
        UsageError: two entries have the same name, or one stands for several settings.
    """
    texts = [entry.text for entry in suite.encodings]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise UsageError(f"{twice[0]!r} is given twice; give one of them another label")
    cells = plan(suite, registry)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for cell in cells:
        counts[str(cell.encoding.label), _target(cell)] += 1
    for (label, _), count in counts.items():
        if count > len(set(suite.seeds)):
            raise UsageError(
                f"{label!r} stands for several settings, as a sweep does; tuning searches by "
                "itself: give one value, or --space A|B|C"
            )
    return cells


def _target(cell: CellConfig) -> str:
    """What tells a target from others: its data, where they can be read."""
    return f"{cell.task.name} {cell.data_hash or _text(cell.task.parameters)}"


def _targets(cells: Sequence[CellConfig]) -> list[str]:
    return list(dict.fromkeys(cell.task.label or cell.task.name for cell in cells))


def _check_targets(trials: Sequence[CellConfig], finals: Sequence[CellConfig]) -> list[str]:
    """A note where a reported target was tuned on, too; on equal seeds that is an error."""
    tuned = {_target(cell) for cell in trials}
    if not tuned & {_target(cell) for cell in finals}:
        return []
    common = {(_target(c), c.seed) for c in trials} & {(_target(c), c.seed) for c in finals}
    if common:
        seed = min(seed for _, seed in common)
        raise UsageError(
            f"seed {seed} would be tuned on and reported on the same target; give other seeds "
            "with --tune-seed or --seed, or another target with --tune-on"
        )
    return [
        "A reported target is also the one tuned on, with other seeds: nothing shows how the "
        "tuned settings do on another target. --tune-on names one that is not reported."
    ]


def _metric(
    name: str | None, cells: Sequence[CellConfig], registry: Registry
) -> tuple[str, str, Literal["higher", "lower"]]:
    """Name, unit and direction of the metric that decides."""
    offers = {offer.name: offer for offer in registry.offers("metric")}
    curves = {registry.find("task", cell.task.name).load().curve for cell in cells}
    if name is None:
        if len(curves) > 1 or not curves <= offers.keys():
            raise UsageError(
                f"say by which metric to choose, with --metric; the tasks follow "
                f"{', '.join(sorted(curves))}, and there are: {', '.join(offers)}"
            )
        name = next(iter(curves))
    if name not in offers:
        raise UsageError(
            f"unknown metric {name!r}; {did_you_mean(name, offers)}There are: {', '.join(offers)}"
        )
    metric = offers[name].load()
    return name, metric.unit, metric.direction


def _shapes(cells: Sequence[CellConfig], registry: Registry) -> tuple[set[int], int | None]:
    """Dimensions of the tasks' points, and the points of the smallest epoch.

    Data that cannot be read are left out; their cells will say why.
    """
    dimensions, points = set(), []
    for cell in {_target(cell): cell for cell in cells}.values():
        try:
            task = build_task(cell, registry)
            dimensions.add(int(task.in_dim))
            points.append(int(task.points_per_epoch))
        except (DataError, PluginError) as error:
            logger.debug("%s: %s", cell.task.label, error)
    return dimensions or {2}, min(points, default=None)


def _searched(
    entry: SuiteEntry,
    default: CellConfig,
    options: Sequence[SpaceOption],
    registry: Registry,
    *,
    dimensions: set[int],
    points: int | None,
) -> Searched:
    cls = registry.find("encoding", entry.name).load()
    optimizer, _ = build_training(default, registry)
    space = space_of(entry, cls, default, optimizer, options, dimensions=dimensions, points=points)
    refusal = refusals(cls, default, space, dimensions)
    seed = drawing_seed(default.seed, default)
    return Searched(entry, cls, default, space, seed, refusal)


def _draw(one: Searched, trials: int) -> list[str]:
    """Draw the trials of an encoding; a note where there are fewer than were asked for."""
    one.values = draw_settings(
        one.space, trials - 1, one.seed, default=one.default_values, possible=one.possible
    )
    if one.space and not one.values:
        middle = [d.search.value(0.5, whole=d.whole) for d in one.space]
        searched = ", ".join(f"{d.name}={d.search}" for d in one.space)
        raise UsageError(
            f"{one.entry.text} cannot be built with anything that was drawn from {searched} "
            f"({one.refusal(middle)}); give another --space"
        )
    return _fewer(one, trials)


def _fewer(one: Searched, trials: int) -> list[str]:
    count = len(one.values) + 1
    if count == trials:
        return []
    return [f"{one.entry.text}: {count} trials, as its space holds no other settings."]


def run_tuning(tuning: Tuning, directory: Path, registry: Registry, run: RunSuite) -> TuneResult:
    """Run the trials, and the best of each encoding beside its default setting.

    Given again it goes on where it was stopped, and comes to the same result.

    Args:
        tuning: as planned.
        directory: results folder of the comparison; trials are recorded in its folder "trials".
        registry: plug-ins to use.
        run: runs a suite into a folder as ``run_suite`` does, the comparison last.

    Returns:
        What is also in tune.json. tune.md shows it, tuned.toml plans the tuned cells.

    Raises:
        UsageError: no trial has a value of the metric.
        EncbenchError: no trial got to its end.
        StoreError: the folder cannot be written, or is in use. Records written before stay.
    """

    def records_of(suite: Suite, folder: Path, final: bool = False) -> dict[str, Record]:
        done = run(suite, folder, final)
        return {cell_key(stored.record.cell): stored.record for stored in done}

    if tuning.sampler == "tpe":
        records = _proposed(tuning, lambda suite: records_of(suite, directory / "trials"), registry)
        write_trials(tuning, directory)
    else:
        write_trials(tuning, directory)
        records = records_of(tuning.trial_suite(), directory / "trials")
    result = tuning.result()
    cells = _by_label(plan(tuning.trial_suite(), registry))
    best = []
    for one, encoding in zip(tuning.searched, result.encodings, strict=True):
        encoding.trials = _trials_of(one, cells, records, tuning.metric)
        values = [trial.value for trial in encoding.trials]
        encoding.best = best_trial(values, higher=result.higher)
        summary = expected_best if tuning.sampler == "sobol" else best_so_far
        encoding.best_of = summary(values, higher=result.higher)
        best.append(encoding.best)
    _check_values(result, records.values())
    final, tuned = tuning.final_suite(best), tuning.final_suite(best, only_tuned=True)
    final_cells = _by_label(plan(final, registry))
    _set_earlier_aside(directory, {cell_key(c) for cs in final_cells.values() for c in cs}, final)
    # what is about to run is known to the next tuning into this folder, should this one be killed
    _report(tuning, result, final_cells, {})
    write_result(directory, result)
    write_suite_file(directory / TUNED, tuned)
    _report(tuning, result, final_cells, records_of(final, directory, final=True))
    write_result(directory, result)
    write_report(directory, result)
    return result


def _proposed(
    tuning: Tuning, run: Callable[[Suite], Mapping[str, Record]], registry: Registry
) -> dict[str, Record]:
    """Trials that are proposed one after another, run; fills in their values.

    Each encoding has proposals of its own, which depend neither on the other encodings nor on how
    many cells run at a time.
    """
    from encbench.run.tpe import Proposals  # an optional extra

    higher = tuning.direction == "higher"
    proposals = [
        Proposals(one.space, one.seed, one.possible, one.default_values, higher=higher)
        for one in tuning.searched
    ]
    records: dict[str, Record] = {}
    for number in range(tuning.count):
        tried = []
        for one, proposal in zip(tuning.searched, proposals, strict=True):
            values = proposal.next() if number else None
            if values is not None:
                one.values.append(values)
            if values is not None or not number:
                tried.append((one.trials[-1], proposal))
        if not tried:
            break
        suite = tuning.trial_suite(entry for entry, _ in tried)
        records |= run(suite)
        cells = _by_label(plan(suite, registry))
        for entry, proposal in tried:
            proposal.tell(_trial(0, entry.text, cells[entry.text], records, tuning.metric).value)
    tuning.notes += [note for one in tuning.searched for note in _fewer(one, tuning.count)]
    return records


def write_trials(tuning: Tuning, directory: Path) -> None:
    """Write DIR/trials.toml, which plans the trials, to be run by ``encbench run`` anywhere."""
    write_suite_file(directory / TRIALS, tuning.trial_suite())


def _by_label(cells: Iterable[CellConfig]) -> dict[str, list[CellConfig]]:
    found: dict[str, list[CellConfig]] = defaultdict(list)
    for cell in cells:
        found[str(cell.encoding.label)].append(cell)
    return found


def _trials_of(
    one: Searched,
    cells: Mapping[str, Sequence[CellConfig]],
    records: Mapping[str, Record],
    metric: str,
) -> list[Trial]:
    """The trials of an encoding with their values; cells are by label."""
    trials = []
    for number, entry in enumerate(one.trials):
        trial = _trial(number, entry.text, cells[entry.text], records, metric)
        for dimension, value in (
            zip(one.space, one.values[number - 1], strict=True) if number else ()
        ):
            getattr(trial, dimension.section)[dimension.key] = value
        trials.append(trial)
    return trials


def _trial(
    number: int,
    label: str,
    cells: Sequence[CellConfig],
    records: Mapping[str, Record],
    metric: str,
) -> Trial:
    keys = [cell_key(cell) for cell in cells]
    values = [value_of(records.get(key), metric) for key in keys]
    known = [value for value in values if value is not None]
    value = math.fsum(known) / len(known) if len(known) == len(values) else None
    missing = len(values) - len(known)
    return Trial(number=number, label=label, keys=keys, value=value, without_value=missing)


def value_of(record: Record | None, metric: str) -> float | None:
    """The metric of a cell that got to its end; None where it has no value, or NaN."""
    if record is None or record.status != "ok" or metric not in record.metrics:
        return None
    value = record.metrics[metric].value
    return None if value is None or math.isnan(value) else value


def _check_values(result: TuneResult, records: Collection[Record]) -> None:
    """Note encodings without any value; refuse where no trial at all has one."""
    empty = [e.label for e in result.encodings if all(t.value is None for t in e.trials)]
    if len(empty) == len(result.encodings):
        there = sorted({name for r in records if r.status == "ok" for name in r.metrics})
        if there:
            raise UsageError(
                f"no trial has a value of the metric {result.metric!r}; give --metric one of "
                f"{', '.join(there)}. The trials are kept"
            )
        error = next((r.error for r in records if r.error is not None), None)
        why = "" if error is None else f"; the first: {error.message.splitlines()[0]}"
        raise EncbenchError(f"no trial got to its end{why}. Their records are kept")
    result.notes += [
        f"{label}: no trial has a value, so the default setting stands." for label in empty
    ]


def _report(
    tuning: Tuning,
    result: TuneResult,
    cells: Mapping[str, Sequence[CellConfig]],
    records: Mapping[str, Record],
) -> None:
    """Fill in the reported values of each encoding."""
    for one, encoding in zip(tuning.searched, result.encodings, strict=True):
        assert encoding.best is not None, "chosen before"
        entries = one.final(encoding.best)
        summaries = [_summary(cells[entry.text], records, tuning.metric) for entry in entries]
        encoding.default, encoding.tuned = summaries[0], summaries[-1]
        pairs = zip(encoding.default.values, encoding.tuned.values, strict=True)
        gains = [None if a is None or b is None else b - a for a, b in pairs]
        encoding.gain = Summary.of(gains)


def _summary(cells: Sequence[CellConfig], records: Mapping[str, Record], metric: str) -> Summary:
    """Means over seeds of each target; of a single target, the values of its seeds."""
    targets: dict[str, list[float | None]] = defaultdict(list)
    for cell in cells:
        targets[_target(cell)].append(value_of(records.get(cell_key(cell)), metric))
    groups = list(targets.values())
    values = groups[0] if len(groups) == 1 else [Summary.of(group).mean for group in groups]
    return Summary.of(values, [cell_key(cell) for cell in cells])


def _set_earlier_aside(directory: Path, wanted: set[str], suite: Suite) -> None:
    """Move what an earlier tuning reported here, and this one does not, to its trials.

    The folder's leaderboard then shows one comparison, and no record is lost.
    """
    earlier = earlier_result(directory)
    if earlier is None:
        return
    summaries = [s for e in earlier.encodings for s in (e.default, e.tuned) if s is not None]
    old = {key for summary in summaries for key in summary.keys} - wanted
    store, trials = Store(directory), Store(directory / "trials")
    with store.writing(), trials.writing():
        moved = [key for key in sorted(old) if store.place(key).is_dir()]
        for key in moved:
            with trials.new_folder(key) as folder:
                shutil.copytree(store.place(key), folder, dirs_exist_ok=True)
            store.remove(key)
        if moved:
            store.write_suites([s for s in store.suites() if s.get("name") != suite.name])
            logger.info(
                "%d records of the earlier tuning moved to %s", len(moved), trials.directory
            )
