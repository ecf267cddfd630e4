"""Plan a tuning: its targets, search spaces and trials, all checked.

A trial is an entry of a suite, and its cells are ordinary cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Literal

from encbench.contracts.encoding import Encoding
from encbench.errors import UsageError, plural
from encbench.plugins.isolation import process_state_kept
from encbench.plugins.registry import Registry
from encbench.results.records import Record
from encbench.runs.candidates import (
    NAMED,
    Dimension,
    budget_refusals,
    draw_settings,
    drawing_seed,
    refusals,
    searched_value,
    with_values,
)
from encbench.runs.cell import run_cell
from encbench.runs.missing_data import refuse_missing_data
from encbench.runs.parts import failed_metrics_counted
from encbench.runs.search_space import (
    SpaceOption,
    check_option,
    fixed_by,
    parse_space,
    space_of,
)
from encbench.runs.tuning_report import TunedEncoding, TuneResult
from encbench.runs.tuning_targets import (
    check_metric,
    check_targets,
    chosen_by_reported_points,
    deciding_metric,
    default_cell,
    facts_of,
    single_cells,
    split_tasks,
    target_labels,
)
from encbench.suite.config import CellConfig, NtkConfig
from encbench.suite.file import Suite, SuiteEntry
from encbench.suite.plan import plan

Sampler = Literal["sobol", "tpe"]
TUNE_SEED = 1000
"""Default seed of trials and of drawing them; not a seed that is usually reported."""
TPE_NOTE = (
    "TPE proposes each trial after the first ten from the results of earlier ones: trials are not "
    "drawn beforehand, and cannot be run in shares or on a cluster."
)


@dataclass
class Searched:
    """An encoding of the suite, its search space, and the settings to try."""

    entry: SuiteEntry
    """The suite's entry, with a label."""
    default: CellConfig
    """A cell of the suite's entry, with the default setting."""
    space: list[Dimension]
    seed: int
    """Seed for drawing its settings."""
    refusals: list[Callable[[Sequence[Any]], str]]
    """Say why given values of the space cannot be tried; "" if they can."""
    values: list[list[Any]] = field(default_factory=list)
    """Values of the trials after the default one, in the order of ``space``."""

    def refusal(self, values: Sequence[Any]) -> str:
        """Why the given values of the space cannot be tried; "" if they can."""
        return next(filter(None, (refusal(values) for refusal in self.refusals)), "")

    def possible(self, values: Sequence[Any]) -> bool:
        return not self.refusal(values)

    @property
    def default_values(self) -> list[Any]:
        """Values of the default setting, in the order of ``space``."""
        return [searched_value(dimension, self.default) for dimension in self.space]

    @property
    def trials(self) -> list[SuiteEntry]:
        """Suite entries of all trials, the default setting first."""
        default = self.entry.model_copy(update={"label": f"{self.entry.text} · default"})
        return [default, *(self._trial(k, v) for k, v in enumerate(self.values, start=1))]

    def _trial(self, number: int, values: Sequence[Any]) -> SuiteEntry:
        label = f"{self.entry.text} · trial {number}"
        return with_values(self.entry, self.space, values, self.default, label)

    def described(self) -> TunedEncoding:
        """Its part of the result before anything has run."""
        space = {dimension.name: dimension.search for dimension in self.space}
        return TunedEncoding(
            label=self.entry.text,
            name=self.default.encoding.name,
            seed=self.seed,
            space={name: asdict(search) for name, search in space.items()},
            ranges={name: str(search) for name, search in space.items()},
            trials=[],
        )

    def final(self, best: int) -> list[SuiteEntry]:
        """Entries to report: the default setting and the best one, or one if they are equal."""
        if best == 0:
            return [self.entry]
        tuned = {"label": f"{self.entry.text} · tuned"}
        return [self.entry, self.trials[best].model_copy(update=tuned)]


@dataclass
class Tuning:
    """A planned tuning, checked, with its trials drawn."""

    suite: Suite
    """The suite with the tasks and seeds that are reported."""
    tasks: list[SuiteEntry]
    """Tasks to tune on."""
    searched: list[Searched]
    asked: TuneResult
    """The result before anything has run, with the request."""

    def trial_suite(self, entries: Iterable[SuiteEntry] | None = None) -> Suite:
        """Suite of trials on the tuning targets, without spectra; all trials if None is given."""
        if entries is None:
            entries = (trial for one in self.searched for trial in one.trials)
        return _changed(
            self.suite,
            name=f"{self.suite.name}-trials",
            encodings=list(entries),
            tasks=self.tasks,
            seeds=self.asked.tune_seeds,
            ntk=NtkConfig(points=0),
        )

    def final_suite(self, best: Sequence[int], *, only_tuned: bool = False) -> Suite:
        """Suite of default and tuned settings on the reported targets, or of tuned ones alone."""
        finals = [one.final(number) for one, number in zip(self.searched, best, strict=True)]
        entries = [entry for pair in finals for entry in (pair[-1:] if only_tuned else pair)]
        described = {"description": self.asked.protocol} if only_tuned else {}
        changes = {"name": f"{self.suite.name}-tuned", "encodings": entries, **described}
        return _changed(self.suite, **changes)


def _changed(suite: Suite, **changes: Any) -> Suite:
    """The suite with some fields replaced; unset fields stay unset."""
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
        suite: encodings to tune, and the tasks and seeds that are reported.
        trials: number of trials per encoding, including the default setting.
        tune_on: tasks to tune on, such as "image:image=chelsea"; they are not reported unless
            there are no others. Default: the suite's task, if it has only one.
        tune_seeds: seeds of the trials; the first is also used to draw them.
        space: search ranges that replace or extend those that the encodings declare, such as
            "ffe.levels=4..12", "training.lr=1e-4..1e-2:log", "training.batch_size=64|256", or
            "training.batch_size=64", which fixes the value.
        metric: the metric by which the best trial is chosen; default: that of the task's curve.
        sampler: "sobol", drawn beforehand, or "tpe" (needs ``encbench[tpe]``), one by one.
        registry: plug-ins to use.

    Raises:
        UsageError: a name, a range or a value is wrong, or data of a task do not exist.
    """
    if trials < 2:
        raise UsageError(f"trials must be at least 2, the default setting and one more: {trials}")
    if sampler == "tpe" and find_spec("optuna") is None:
        raise UsageError("the sampler tpe needs Optuna: pip install 'encbench[tpe]', or take sobol")
    check_metric(metric, registry)
    seeds = list(dict.fromkeys(tune_seeds))
    tasks, reported, entries = split_tasks(suite, tune_on)
    offers = {entry.text: registry.find("encoding", entry.name) for entry in entries}
    options = _options(space, {offer.name: offer.load() for offer in offers.values()})
    entries = [fixed_by(entry, offers[entry.text].name, options) for entry in entries]
    # each entry gets a label, by which its cells are found
    entries = [entry.model_copy(update={"label": entry.text}) for entry in entries]
    suite = _changed(suite, encodings=entries, tasks=reported)
    with process_state_kept():
        trial_cells = single_cells(_changed(suite, tasks=tasks, seeds=seeds), registry)
        final_cells = single_cells(suite, registry)
        notes = check_targets(trial_cells, final_cells, registry)
        cells = [*trial_cells, *final_cells]
        refuse_missing_data(cells, registry)
        facts = facts_of(cells, registry)
        name, measure = deciding_metric(metric, facts, cells, registry)
        notes += chosen_by_reported_points(name, facts, trial_cells, final_cells, registry)
        if metric is not None:
            _check_measured(name, cells, registry)
        dimensions = {one.in_dim for one in facts} or {2}
        searched = []
        for entry in entries:
            cls = registry.find("encoding", entry.name).load()
            default = default_cell(entry, cells)
            searched_in = space_of(
                entry,
                cls,
                default,
                options,
                dimensions=dimensions,
                points=min((one.points for one in facts), default=None),
                budgeted=suite.budget.parameters is not None,
                network=suite.network,
            )
            seed = drawing_seed(seeds[0], default.encoding, entry.parameters)
            checks = [refusals(cls, default, searched_in, dimensions)]
            if suite.budget.parameters is not None:
                own = [cell for cell in cells if cell.encoding.label == entry.text]
                count = suite.budget.parameters
                checks.append(budget_refusals(cls, entry, own, searched_in, count, registry))
            searched.append(Searched(entry, default, searched_in, seed, checks))
        _check_used(options, searched)
        if sampler == "sobol":
            notes += [note for one in searched for note in _draw(one, trials)]
        else:
            notes.append(TPE_NOTE)
    asked = TuneResult(
        encbench=metadata.version("encbench"),
        suite=suite.name,
        sampler=sampler,
        seed=seeds[0],
        trials=trials,
        metric=name,
        title=measure.title,
        unit=measure.unit,
        direction=measure.direction,
        tune_on=target_labels(trial_cells),
        tune_seeds=seeds,
        report_on=target_labels(final_cells),
        report_seeds=suite.seeds,
        notes=notes,
        encodings=[one.described() for one in searched],
    )
    tuning = Tuning(suite, tasks, searched, asked)
    # raises now if a value of a space is invalid, such as an unknown schedule
    plan(tuning.trial_suite(), registry)
    return tuning


def _options(space: Sequence[str], encodings: Mapping[str, type[Encoding]]) -> list[SpaceOption]:
    options: dict[str, SpaceOption] = {}
    for text in space:
        option = parse_space(text)
        check_option(option, encodings)
        if option.name in options:
            raise UsageError(f"--space {option.name} is given more than once")
        options[option.name] = option
    return list(options.values())


def _check_used(options: Sequence[SpaceOption], searched: Sequence[Searched]) -> None:
    """Refuse options for a parameter that no network of the tuning has."""
    known = {dimension.name for one in searched for dimension in one.space}
    for option in options:
        if option.owner in NAMED and option.name not in known:
            setting = option.owner.partition(".")[2]
            chosen = sorted({str(getattr(one.default.network, setting)) for one in searched})
            raise UsageError(
                f"--space {option.name}: {option.owner} is {', '.join(chosen)} here, without a "
                f"parameter {option.key!r}; choose one that has it with --set {option.owner}=NAME"
            )


def _check_measured(name: str, cells: Sequence[CellConfig], registry: Registry) -> None:
    """Train a cell of each task for one step; refuse a metric that its record does not have."""
    first = {cell.task.model_dump_json(): cell for cell in reversed(cells)}
    with failed_metrics_counted():
        rehearsed = [_rehearsed(cell, registry) for cell in first.values()]
    for record in rehearsed:
        if record.status == "ok" and name not in record.metrics:
            raise UsageError(
                f"--metric {name}: {record.task_label} is not measured by it; it has "
                f"{', '.join(record.metrics)}"
            )


def _rehearsed(cell: CellConfig, registry: Registry) -> Record:
    """The record of one step, without a kernel."""
    ntk = cell.ntk.model_copy(update={"points": 0})
    return run_cell(cell.shortened(1).model_copy(update={"ntk": ntk}), registry).record


def _draw(one: Searched, trials: int) -> list[str]:
    """Draw the trials of an encoding; returns a note if there are fewer than requested."""
    one.values = draw_settings(
        one.space, trials - 1, one.seed, default=one.default_values, possible=one.possible
    )
    if one.space and not one.values:
        middle = [dimension.middle for dimension in one.space]
        searched = ", ".join(f"{d.name}={d.search}" for d in one.space)
        raise UsageError(
            f"{one.entry.text}: no setting drawn from {searched} can be tried "
            f"({one.refusal(middle)}); give another --space"
        )
    return fewer_trials(one, trials)


def fewer_trials(one: Searched, trials: int) -> list[str]:
    """A note if an encoding has fewer trials than requested."""
    count = len(one.values) + 1
    if count == trials:
        return []
    return [f"{one.entry.text}: {plural(count, 'trial')}, as its space holds no other settings."]
