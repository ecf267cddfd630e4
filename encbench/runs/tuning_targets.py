"""The targets of a tuning, which are tuned on or reported, and the metric that decides."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from encbench.contracts.metric import HELD_OUT, Metric
from encbench.errors import DataError, PluginError, UsageError, did_you_mean
from encbench.plugins.registry import Registry
from encbench.runs.parts import build_task
from encbench.suite.config import CellConfig
from encbench.suite.file import Suite, SuiteEntry
from encbench.suite.plan import plan

logger = logging.getLogger("encbench")


def split_tasks(
    suite: Suite, tune_on: Sequence[str]
) -> tuple[list[SuiteEntry], list[SuiteEntry], list[SuiteEntry]]:
    """Tasks to tune on, tasks to report on, and the encodings, which all tasks share."""
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


def single_cells(suite: Suite, registry: Registry) -> list[CellConfig]:
    """The cells of a suite with one setting per entry.

    Raises:
        UsageError: two entries have the same name, or an entry has several settings.
    """
    texts = [entry.text for entry in suite.encodings]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise UsageError(f"{twice[0]!r} is given twice; give one of them another label")
    cells = plan(suite, registry)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for cell in cells:
        counts[str(cell.encoding.label), target_of(cell)] += 1
    for (label, _), count in counts.items():
        if count > len(set(suite.seeds)):
            raise UsageError(
                f"{label!r} stands for several settings, as a sweep does; tuning searches "
                "values itself: give one value, or --space A|B|C"
            )
    return cells


def target_of(cell: CellConfig) -> str:
    """Text that identifies a cell's target."""
    return f"{cell.task.name} {_text(cell.task.parameters)}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _data(cell: CellConfig, registry: Registry) -> str:
    """Text that identifies a cell's data, which are the same at another size or sample rate."""
    if not cell.data_hash:
        return target_of(cell)
    cls = registry.find("task", cell.task.qualified).load()
    kept = {k: v for k, v in cell.task.parameters.items() if k not in cls.sampling}
    return f"{cell.task.name} {cls.data_hash(**kept) if cls.sampling else cell.data_hash}"


def target_labels(cells: Sequence[CellConfig]) -> list[str]:
    return list(dict.fromkeys(cell.task.shown for cell in cells))


def check_targets(
    trials: Sequence[CellConfig], finals: Sequence[CellConfig], registry: Registry
) -> list[str]:
    """A note if a reported target is also tuned on; raises UsageError if also seeds are equal."""
    tuned, reported = (
        {(_data(cell, registry), cell.seed) for cell in cells} for cells in (trials, finals)
    )
    if not {data for data, _ in tuned} & {data for data, _ in reported}:
        return []
    common = tuned & reported
    if common:
        seed = min(seed for _, seed in common)
        raise UsageError(
            f"seed {seed} would be tuned on and reported on the same target; give other seeds "
            "with --tune-seed or --seed, or another target with --tune-on"
        )
    return [
        "A reported target is also tuned on, with other seeds: this does not show how the tuned "
        "settings do on other targets. --tune-on names one that is not reported."
    ]


def chosen_by_reported_points(
    metric: str,
    facts: Sequence[TargetFacts],
    trials: Sequence[CellConfig],
    finals: Sequence[CellConfig],
    registry: Registry,
) -> list[str]:
    """A note if settings are chosen by the held-out points of a reported target, which are the same
    for all seeds. Metrics without a variant at these points, such as MS-SSIM, are over all points.
    """
    shared = {target_of(cell) for cell in trials} & {target_of(cell) for cell in finals}
    fitted = [one.curve.removesuffix(HELD_OUT) for one in facts if one.curve.endswith(HELD_OUT)]
    if not shared or not fitted or metric + HELD_OUT in registry.named("metric"):
        return []
    return [
        "The settings are chosen by the same held-out points that are reported: these points "
        "validate the choice, and do not test it. To report points that chose nothing, tune on "
        f"another target (--tune-on), or by --metric {fitted[0]}."
    ]


def check_metric(name: str | None, registry: Registry) -> None:
    """Raise UsageError if a metric is named that does not exist."""
    offers = registry.named("metric")
    if name is not None and name not in offers:
        raise UsageError(
            f"unknown metric {name!r}"
            + did_you_mean(name, offers, f"there are: {', '.join(offers)}")
        )


def deciding_metric(
    name: str | None, facts: Sequence[TargetFacts], cells: Sequence[CellConfig], registry: Registry
) -> tuple[str, type[Metric]]:
    """Name and class of the metric that decides; ``check_metric`` has checked the name.

    Raises:
        UsageError: none is given, and the tasks' curves differ.
    """
    offers = registry.named("metric")
    curves = {one.curve for one in facts} or {
        registry.find("task", cell.task.name).load().curve for cell in cells
    }
    if name is None:
        if len(curves) > 1 or not curves <= offers.keys():
            raise UsageError(
                f"name the metric to choose by with --metric; the tasks' curves are of "
                f"{', '.join(sorted(curves))}, and there are: {', '.join(offers)}"
            )
        name = next(iter(curves))
    return name, offers[name].load()


class TargetFacts(NamedTuple):
    """The properties of a task that a tuning needs."""

    curve: str
    """Metric followed during training, which can depend on a parameter such as "split"."""
    in_dim: int
    points: int
    """Number of points of an epoch."""


def facts_of(cells: Sequence[CellConfig], registry: Registry) -> list[TargetFacts]:
    """Facts of each target whose data can be read; the others' cells will record the reason."""
    facts = []
    for cell in {target_of(cell): cell for cell in cells}.values():
        try:
            task = build_task(cell, registry)
            facts.append(TargetFacts(task.curve, int(task.in_dim), int(task.points_per_epoch)))
        except (DataError, PluginError) as error:
            logger.debug("%s: %s", cell.task.label, error)
    return facts


def default_cell(entry: SuiteEntry, cells: Sequence[CellConfig]) -> CellConfig:
    """The first cell of an encoding.

    Raises:
        UsageError: the tasks' optimizers differ, so that learning rates cannot be compared.
    """
    found = [cell for cell in cells if cell.encoding.label == entry.text]
    optimizers = {cell.training.optimizer: cell.task.label for cell in found}
    if len(optimizers) > 1:
        each = " and ".join(f"{task} {optimizer}" for optimizer, task in optimizers.items())
        raise UsageError(
            f"tasks have optimizers of their own ({each}), and a learning rate of one means "
            "nothing to the other; give --optimizer, or tune for one of the tasks"
        )
    return found[0]
