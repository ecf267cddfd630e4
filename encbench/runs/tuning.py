"""Tuning: run the trials of each encoding, and run the best one again on other cells.

The choice depends only on the records of the trials, which are in DIR/trials. DIR itself has the
comparison of default and tuned settings.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from encbench.errors import EncbenchError, UsageError
from encbench.plugins.registry import Registry
from encbench.results.records import Record, StoredRecord
from encbench.results.store import Store
from encbench.runs.trials import Searched, Tuning, fewer_trials
from encbench.runs.tuning_report import (
    TRIALS,
    TUNED,
    Summary,
    Trial,
    TuneResult,
    best_so_far,
    best_trial,
    earlier_result,
    expected_best,
    write_report,
    write_result,
    write_suite_file,
)
from encbench.runs.tuning_targets import target_of
from encbench.suite.config import CellConfig, cell_key
from encbench.suite.file import Suite
from encbench.suite.plan import plan

logger = logging.getLogger("encbench")
RunSuite = Callable[[Suite, Path, bool], Sequence[StoredRecord]]
"""Runs a suite into a folder; the third argument is True for the comparison, which is run last."""


def run_tuning(tuning: Tuning, directory: Path, registry: Registry, run: RunSuite) -> TuneResult:
    """Run the trials, and compare the best of each encoding with its default setting.

    A tuning that was stopped resumes, with the same result.

    Args:
        tuning: the planned tuning.
        directory: results folder of the comparison; trials are recorded in its folder "trials".
        registry: plug-ins to use.
        run: runs a suite into a folder as ``run_suite`` does, the comparison last.

    Returns:
        The result, which is also in tune.json. tune.md shows it, tuned.toml plans the tuned cells.

    Raises:
        UsageError: no trial has a value of the metric.
        EncbenchError: no trial finished.
        StoreError: the folder cannot be written, or is in use. Records already written are kept.
    """

    def records_of(suite: Suite, folder: Path, final: bool = False) -> dict[str, Record]:
        done = run(suite, folder, final)
        return {cell_key(stored.record.cell): stored.record for stored in done}

    if tuning.asked.sampler == "tpe":
        records = _proposed(tuning, lambda suite: records_of(suite, directory / "trials"), registry)
        write_trials(tuning, directory)
    else:
        write_trials(tuning, directory)
        records = records_of(tuning.trial_suite(), directory / "trials")
    result = tuning.asked.model_copy(deep=True)
    cells = _by_label(plan(tuning.trial_suite(), registry))
    best = []
    for one, encoding in zip(tuning.searched, result.encodings, strict=True):
        encoding.trials = _trials_of(one, cells, records, result.metric)
        values = [trial.value for trial in encoding.trials]
        encoding.best = best_trial(values, higher=result.higher)
        summary = expected_best if result.sampler == "sobol" else best_so_far
        encoding.best_of = summary(values, higher=result.higher)
        best.append(encoding.best)
    _check_values(result, records.values())
    final, tuned = tuning.final_suite(best), tuning.final_suite(best, only_tuned=True)
    final_cells = _by_label(plan(final, registry))
    _set_earlier_aside(directory, {cell_key(c) for cs in final_cells.values() for c in cs}, final)
    # written before the run: if this one is killed, the next tuning knows what it reported
    _report(tuning.searched, result, final_cells, {})
    write_result(directory, result)
    write_suite_file(directory / TUNED, tuned)
    _report(tuning.searched, result, final_cells, records_of(final, directory, final=True))
    write_result(directory, result)
    write_report(directory, result)
    return result


def _proposed(
    tuning: Tuning, run: Callable[[Suite], Mapping[str, Record]], registry: Registry
) -> dict[str, Record]:
    """Propose and run trials one by one; fills in their values.

    Each encoding has separate proposals, which depend neither on the other encodings nor on the
    number of cells run at a time.
    """
    from encbench.runs.tpe import Proposals  # an optional extra

    asked = tuning.asked
    proposals = [
        Proposals(one.space, one.seed, one.possible, one.default_values, higher=asked.higher)
        for one in tuning.searched
    ]
    records: dict[str, Record] = {}
    for number in range(asked.trials):
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
            proposal.tell(mean_of(metric_values(cells[entry.text], records, asked.metric)))
    asked.notes += [note for one in tuning.searched for note in fewer_trials(one, asked.trials)]
    return records


def write_trials(tuning: Tuning, directory: Path) -> None:
    """Write DIR/trials.toml, which plans the trials and can be run by ``encbench run`` anywhere."""
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
    """The trials of an encoding with their values; ``cells`` are by label."""
    trials = []
    for number, entry in enumerate(one.trials):
        found = metric_values(cells[entry.text], records, metric)
        trial = Trial(
            number=number,
            label=entry.text,
            keys=[cell_key(cell) for cell in cells[entry.text]],
            value=mean_of(found),
            without_value=found.count(None),
        )
        if number:
            for dimension, value in zip(one.space, one.values[number - 1], strict=True):
                getattr(trial, dimension.section)[dimension.key] = value
        trials.append(trial)
    return trials


def metric_values(
    cells: Sequence[CellConfig], records: Mapping[str, Record], metric: str
) -> list[float | None]:
    """The metric of each cell, as by ``value_of``."""
    return [value_of(records.get(cell_key(cell)), metric) for cell in cells]


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None if it is not defined, see ``Summary.of``."""
    return Summary.of(values).mean


def value_of(record: Record | None, metric: str) -> float | None:
    """The metric of a finished cell; None if the cell did not finish, or the value is missing or
    NaN."""
    if record is None or record.status != "ok" or metric not in record.metrics:
        return None
    value = record.metrics[metric].value
    return None if value is None or math.isnan(value) else value


def _check_values(result: TuneResult, records: Collection[Record]) -> None:
    """Add a note on each encoding without any value; raises if no trial at all has one."""
    empty = [e.label for e in result.encodings if all(t.value is None for t in e.trials)]
    if len(empty) == len(result.encodings):
        there = sorted({name for r in records if r.status == "ok" for name in r.metrics})
        if there:
            raise UsageError(
                f"no trial has a value of the metric {result.metric!r}; give --metric one of "
                f"{', '.join(there)}. The trials are kept"
            )
        error = next((r.error for r in records if r.error is not None), None)
        why = "" if error is None else f"; the first: {' '.join(error.message.split())}"
        raise EncbenchError(f"no trial finished{why}. Their records are kept")
    result.notes += [
        f"{label}: no trial has a value, so the default setting is kept." for label in empty
    ]


def _report(
    searched: Sequence[Searched],
    result: TuneResult,
    cells: Mapping[str, Sequence[CellConfig]],
    records: Mapping[str, Record],
) -> None:
    """Fill in the reported values of each encoding."""
    for one, encoding in zip(searched, result.encodings, strict=True):
        assert encoding.best is not None, "chosen before"
        entries = one.final(encoding.best)
        summaries = [_summary(cells[entry.text], records, result.metric) for entry in entries]
        encoding.default, encoding.tuned = summaries[0], summaries[-1]
        pairs = zip(encoding.default.values, encoding.tuned.values, strict=True)
        gains = [None if a is None or b is None else b - a for a, b in pairs]
        encoding.gain = Summary.of([None if g is None or math.isnan(g) else g for g in gains])


def _summary(cells: Sequence[CellConfig], records: Mapping[str, Record], metric: str) -> Summary:
    """Summary of the means over seeds per target; for a single target, of its seeds' values."""
    targets: dict[str, list[float | None]] = defaultdict(list)
    for cell in cells:
        targets[target_of(cell)].append(value_of(records.get(cell_key(cell)), metric))
    groups = list(targets.values())
    values = groups[0] if len(groups) == 1 else [Summary.of(group).mean for group in groups]
    return Summary.of(values, [cell_key(cell) for cell in cells])


def _set_earlier_aside(directory: Path, wanted: set[str], suite: Suite) -> None:
    """Move records that an earlier tuning reported here, and this one does not, to the trials.

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
