"""The verdict on a task in one sentence, its protocol, and its caveats."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np

from encbench.contracts.metric import HELD_OUT
from encbench.errors import plural, with_minus
from encbench.results.value_text import quantity, value_text
from encbench.runs.tuning_report import TuneResult
from encbench.suite.protocol import batch, protocol_parts, rate_in_words, several
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.lead import Lead, failed_alone, lead, smallest_gap
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.columns import Standing
from encbench_leaderboard.report.format import (
    code,
    count,
    p_equals,
    plain,
    seconds,
    significant,
    span,
)
from encbench_leaderboard.report.unequal import unequal, used
from encbench_leaderboard.statistics.sample import shared_units

EIGHT_BITS = 58.9
"""PSNR [dB] of an image rounded to 8 bits, 10 log10(12 · 255²)."""
SPLITTABLE = ("image", "occupancy")
"""Tasks that can hold out points, for records that do not contain this information."""
TUNING_GAINS = {"psnr": (0.6, 5.8, 35.6), "psnr_held_out": (-0.1, 0.6, 10.6)}
"""Smallest, median and largest gain [dB] from tuning rate, batch and size, over the nine encodings
of the published leaderboard (pages fit.md and held-out.md)."""
UNEQUAL = 1.5
"""Ratio of numbers of parameters above which they may determine the order."""
NAMED = 3
"""Maximum number of entries named in a sentence."""


def verdict_on(task: TaskBoard, tuned: TuneResult | None = None) -> str:
    """The leading entry, its lead, the test and the cost; or that there is too little data. Then
    the other entries that are not below it, and settings that differ beyond the encodings."""
    found = lead(task)
    if found is None:
        return "**No verdict**: no encoding finished with a value that can be ranked."
    sentences = [_verdict(task, found), *_other_entries(task, found)]
    leading = {found.best, *found.equal, *found.better}
    if failed := [text for entry, text in _failed(task).items() if entry in leading]:
        sentences.append(f"**Not all finished**: {_listed(failed)}; means are over the others.")
    if differ := unequal(task, _ranked(task), tuned):
        sentences.append(f"**Not only the encodings differ**: {differ}.")
    return " ".join(sentences)


def _ranked(task: TaskBoard) -> list[str]:
    return [row["entry"] for row in task.rows if not math.isnan(row["rank"])]


def _failed(task: TaskBoard) -> dict[str, str]:
    """Of each entry with cells that failed where another one's finished, how many failed in all,
    and why: "4 of 6 cells of `a` did not finish (diverged)"."""
    return {
        entry: f"{status.total()} of {plural(_row(task, entry)['cells'], 'cell')} of {code(entry)} "
        f"did not finish ({' or '.join(sorted(status)).replace('_', ' ')})"
        for entry, status in failed_alone(task).items()
    }


def _verdict(task: TaskBoard, found: Lead) -> str:
    title, best = plain(task.primary.title), code(found.best)
    if found.better:
        return (
            f"**No verdict**: {best} has the best mean {title}, {_mean(task, found.best)}, but on "
            f"the {task.unit}s that both finished, {code(found.better[0])} is "
            f"{_ahead(task, found)} better{_as_well(found.better[1:])}."
        )
    if found.below is None and not found.equal and not found.outdone:
        of = f"{title} {_mean(task, found.best)}"
        if found.elsewhere or found.partly:
            return (
                f"**No verdict**: no other entry finished on the same targets as {best}, with {of}."
            )
        return f"**No verdict**: {best} is the only entry, with {of}."
    if not found.tested:
        return f"{_why_not_tested(task, found)} {_best_by_value(task, found)}."
    together = _named([found.best, *(found.equal or found.outdone)])
    if found.below is None:
        units = plural(int(task.cells["unit"].nunique()), task.unit)
        verdict = f"**Too few to tell**: {units} do not tell {together} apart"
        if found.close:
            verdict = f"**No lead**: {together} {_equal(task, found, f' by {units}')}"
        return f"{verdict}. The best mean {title} is {_mean(task, found.best)}, of {best}."
    together = _named([found.best, *found.equal])
    leads = f"{together} {'share the lead' if found.equal else 'leads'}"
    if {found.best, *found.equal} & failed_alone(task).keys():
        leads += f" where {'they' if found.equal else 'it'} finished"
    if found.few or found.infinite:
        leads += f" {'of ' if found.equal else ''}the entries that can be tested"
    who = f"{best} is " if found.equal else ""
    parts = [f"**{leads}**: {who}{_ahead(task, found)} better than {code(found.below)}"]
    if found.equal:
        first = [row["entry"] for row in task.rows[1 : len(found.equal) + 1]]
        which = "the first" if first == list(found.equal) else "these"
        parts.append(f"{which} {len(found.equal) + 1} {_equal(task, found)}")
    parts.append(_cost(task, found))
    return "; ".join(parts) + "."


def _equal(task: TaskBoard, found: Lead, by: str = "") -> str:
    """Why entries are equal to the best: "are not told apart", "differ by less than 0.1 dB"."""
    differ = f"differ by less than {smallest_gap(task.primary):g} {task.primary.unit}"
    if not found.close:
        return f"are not told apart{by}"
    return differ if found.near else f"are not told apart{by} or {differ}"


def _as_well(entries: Sequence[str]) -> str:
    """ ", and so is `c`"."""
    if not entries:
        return ""
    return f", and so {'is' if len(entries) == 1 else 'are'} {_named(entries)}"


def _other_entries(task: TaskBoard, found: Lead) -> list[str]:
    """Sentences that name the entries that are neither in the lead nor below the best, and why."""
    said = []
    if found.outdone:
        worse = [
            f"{code(entry)} (than {code(other)}, {p_equals(p)})"
            for entry, (other, p) in found.outdone.items()
        ]
        said.append(
            f"Not told apart from {code(found.best)}, but worse than another entry: "
            f"{_listed(worse)}."
        )
    reasons = []
    if found.tested:
        few = f"fewer than two {task.unit}s in common"
        reasons = [(found.few, few), (found.infinite, "infinite differences")]
    said += [
        f"Not tested against {code(found.best)}: {_named(entries)}, with {why}."
        for entries, why in reasons
        if entries
    ]
    some = f"only some of the targets of {code(found.best)}"
    for entries, where in ((found.elsewhere, "other targets"), (found.partly, some)):
        if entries:
            said.append(f"Not compared: {_named(entries)}, which finished on {where}.")
    return said


def _why_not_tested(task: TaskBoard, found: Lead) -> str:
    other = found.below or found.equal[0]
    if other in found.infinite:
        mean = _row(task, found.best)[f"metric:{task.primary.name}"]
        exact = mean == task.primary.sign * math.inf
        why = f"{code(found.best)} fits exactly, and " if exact else ""
        return f"**Not tested**: {why}infinite differences cannot be tested."
    if int(task.cells["unit"].nunique()) == 1:
        return f"**Too few to tell**: one {task.unit} is too few to test."
    both, few = f"{code(found.best)} and {code(other)}", f"fewer than two {task.unit}s in common"
    return f"**Too few to tell**: {both} have {few}, too few to test."


def _best_by_value(task: TaskBoard, found: Lead) -> str:
    """The best by value, for want of tests, and the next one."""
    has, same = "have" if found.equal else "has", smallest_gap(task.primary)
    text = (
        f"{_named([found.best, *found.equal])} {has} the best {plain(task.primary.title)}, "
        f"{_mean(task, found.best)}"
    )
    if found.equal and same:
        text += f", to within {same:g} {task.primary.unit}"
    if found.below is None:
        return text
    assert found.gap is not None
    ahead = found.gap.mean * task.primary.sign
    if ahead > 0 and found.below not in found.infinite:
        return f"{text}, {_ahead(task, found)} better than {code(found.below)}"
    text += f", ahead of {code(found.below)} with {_mean(task, found.below)}"
    if ahead < 0 and found.below not in found.infinite:
        both = f"on the {task.unit}s that both finished"
        text += f"; but {both}, {code(found.below)} is {_ahead(task, found)} better"
    return text


def _row(task: TaskBoard, entry: str) -> Standing:
    return next(row for row in task.rows if row["entry"] == entry)


def _mean(task: TaskBoard, entry: str) -> str:
    return quantity(_row(task, entry)[f"metric:{task.primary.name}"], task.primary)


def _ahead(task: TaskBoard, found: Lead) -> str:
    """ "2.98 dB (95 % interval 0.52 to 5.44, p = 0.027 after Holm's correction, n = 6 targets)": by
    how much the better one of the two is better."""
    assert found.gap is not None, "something is below the best, or better"
    gap = found.gap
    shown = partial(value_text, metric=task.primary, of=gap.largest)
    sign = 1 if gap.mean > 0 else -1
    facts = []
    if gap.method:
        low, high = sorted((sign * gap.low, sign * gap.high))
        facts.append(f"95 % interval {shown(low)} to {shown(high)}")
    if found.p == found.p:
        facts.append(f"{p_equals(found.p)} after Holm's correction")
        facts.append(f"n = {plural(gap.units, task.unit)}")
    how = f" ({', '.join(facts)})" if facts else ""
    return f"{quantity(abs(gap.mean), task.primary, gap.largest)}{how}"


def _cost(task: TaskBoard, found: Lead) -> str:
    assert found.below is not None
    both = []
    for entry in (found.best, found.below):
        row = _row(task, entry)
        parameters = count(row["params_mlp"] + row["params_encoding"])
        both.append(f"{code(entry)} has {parameters} parameters and {seconds(row['training'])} s")
    return " of training, ".join(both)


def _named(entries: Sequence[str]) -> str:
    return _listed(list(map(code, entries)))


def _listed(texts: list[str]) -> str:
    shown = texts[:NAMED]
    if len(texts) > NAMED:
        shown.append(plural(len(texts) - NAMED, "other"))
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def protocol(task: TaskBoard, tuned: TuneResult | None) -> str:
    """The settings that were held equal or varied, in one sentence; and how they were tuned."""
    facts = task.facts
    # thousands of cells share few objects, each of which is examined once
    rates = {
        (id(one.cell.training), one.learning_rate.value): one.cell.training
        for one in facts
        if one.learning_rate
    }
    used = ((training, significant(value)) for (_, value), training in rates.items())
    rate = rate_in_words(used) or "unknown"
    if tuned is not None:
        others = _untuned(task, tuned)
        rate = f"tuned for each encoding{f' but {_listed(others)}' if others else ''}"
    length = f"{span({one.steps for one in facts if one.status == 'ok'} or [0])} steps"
    settings = {(id(one.cell.network), id(one.cell.training)): one.cell for one in facts}
    # next to numbers, "all" can be one of them
    mixed = len({one.cell.training.batch_size for one in facts}) > 1
    batches = (batch(one.cell.training, one.batch_size, number=mixed) for one in facts)
    parts = [
        *_split(facts),
        *protocol_parts(list(settings.values()), rate, length, batches),
        plural(len({one.cell.seed for one in facts}), "seed"),
    ]
    if task.targets:
        parts.append(plural(int(task.cells["unit"].nunique()), "target"))
    how = f" {plain(tuned.protocol)}{_gained(tuned)}" if tuned else ""
    return f"**Protocol**: {plain('; '.join(parts))}.{how}"


def untuned(facts: Sequence[Facts], tuned: TuneResult) -> list[Facts]:
    """The cells that are none of those with tuned settings, for example of a run added later."""
    chosen = tuned.chosen
    return [one for one in facts if chosen and one.stored.outline.key not in chosen]


def _untuned(task: TaskBoard, tuned: TuneResult) -> list[str]:
    """The entries with cells that are not those of a tuning."""
    others = set(map(id, untuned(task.facts, tuned)))
    of = zip(task.cells["entry"], task.facts, strict=True)
    return list(dict.fromkeys(entry for entry, one in of if id(one) in others))


def _gained(tuned: TuneResult) -> str:
    """The gain of tuning over the default settings, in a sentence."""
    sign = 1 if tuned.higher else -1
    means = [each.gain.mean for each in tuned.encodings if each.gain is not None]
    gains = sorted(sign * mean for mean in means if mean is not None and math.isfinite(mean))
    if not gains:
        return ""
    return f" Compared with the default settings, tuning gained {_between(gains, tuned.unit)}."


def _between(gains: Sequence[float], unit: str) -> str:
    """ "0.6 to 35.6 dB, by encoding (median 5.8)"."""
    values = gains[0], np.median(gains), gains[-1]
    low, median, high = (with_minus(f"{value:.3g}") for value in values)
    return f"{low} to {high}{unit and f' {unit}'}, by encoding (median {median})"


def _split(facts: Sequence[Facts]) -> list[str]:
    tasks = {id(one.cell.task): one.cell.task for one in facts}.values()
    splits = {str(task.parameters.get("split", "all")) for task in tasks}
    if splits == {"all"}:
        # "all" is not recorded, so that keys are the same as before splits were introduced
        splittable = any(one.splittable or one.cell.task.name in SPLITTABLE for one in facts)
        return ["no points held out (split = all)"] if splittable else []
    held_out = any(map(_holds_out, facts))
    where = "the points trained on and on those held out" if held_out else "the whole target"
    return [f"split = {several(splits)}: measured on {where}"]


def _holds_out(one: Facts) -> bool:
    return any(measure.info.name.endswith(HELD_OUT) for measure in one.metrics)


def caveats(task: TaskBoard, tuned: TuneResult | None) -> list[str]:
    """Reasons why the order may not reflect the encodings, a sentence each."""
    facts = [one for one in task.facts if one.status == "ok"]
    if not facts or len(task.rows) < 2:
        return []
    found = []
    if unequal(task, _ranked(task), tuned):
        found.append("Settings other than the encoding differ, and with them perhaps the order.")
    if failed := list(_failed(task).values()):
        found.append(
            f"{_listed(failed)}, some or all of them where others finished. Means are over the "
            "other cells, and cells that fail are often the hard ones."
        )
    if int(task.cells["unit"].nunique()) == 1:
        found.append(f"One {task.unit}: another may order them differently.")
    if tuned is None:
        found.append(
            "Learning rates were not tuned for each encoding; at another rate, or with another "
            f"optimizer, the order can change (`encbench tune`).{_gains(task)}"
        )
    else:
        found += _limits_of(task, tuned)
    apart = bool(task.targets) and _without_common_target(task)
    if apart:
        found.append(
            "Some encodings share no target: their means are over different targets, and nothing "
            "orders them."
        )
    steps = task.cells[task.cells["status"] == "ok"].groupby("unit")["steps"].unique()
    # encodings without a common target have no common unit
    if (steps.map(len) > 1).any() or (apart and len(set(np.concatenate(steps.tolist()))) > 1):
        found.append("Encodings were not trained for equally many steps.")
    finished = defaultdict(list)
    for entry, one in zip(task.cells["entry"], task.facts, strict=True):
        if one.status == "ok":
            finished[entry].append(one)
    batches = {used("training.batch_size", of) for of in finished.values()}
    if len(batches) > 1 and len({one.cell.training.batch_size for one in facts}) > 1:
        found.append("Batch sizes differ between encodings, and with them the cost of a step.")
    sizes = [one.parameters for one in facts]
    if max(sizes) > UNEQUAL * min(sizes):
        found.append(
            f"Encodings have from {count(min(sizes))} to {count(max(sizes))} trained parameters; "
            "`--budget parameters=N` gives all the same number."
        )
    full = [
        entry
        for entry in task.standings["entry"]
        if any(map(_fits_by_storing, task.facts_of_entry(entry)))
    ]
    if full and not task.primary.name.endswith(HELD_OUT):
        which = "All" if len(full) == len(task.rows) else _named(full)
        found.append(
            f"{which} {'has' if len(full) == 1 else 'have'} at least as many parameters as there "
            "are values to fit, and may simply store the training points. Held-out points, where "
            "the task has a split (`split=checker`), ask another question."
        )
    if task.primary.name.startswith("psnr"):
        values = {row["entry"]: row[f"metric:{task.primary.name}"] for row in task.rows}
        invisible = [entry for entry, value in values.items() if value > EIGHT_BITS]
        if len(invisible) > 1:
            found.append(
                f"{_named(invisible)} have smaller errors than rounding to 8 bits ({EIGHT_BITS} "
                "dB): differences among them are invisible."
            )
    # with a task's own loss, the kernel's points are not those of an epoch
    of_points = [one for one in facts if not one.own_loss]
    points = sorted({kernel.points for of in {o.kernels for o in of_points} for kernel in of})
    trained = max((one.training_points or 0 for one in of_points), default=0)
    if points and points[-1] < trained:
        found.append(
            f"λ statistics are of {count(points[-1])} of {count(trained)} points trained on; "
            "λ_min and the median depend on that number."
        )
    return found


def _limits_of(task: TaskBoard, tuned: TuneResult) -> list[str]:
    """A tuning's own notes, entries that it left out, and ends of ranges that it chose."""
    found = [plain(note) for note in tuned.notes]
    if others := _untuned(task, tuned):
        found.append(
            f"{_named(others)} {'was' if len(others) == 1 else 'were'} not tuned, unlike the "
            "others: with better settings the order can change."
        )
    if ends := [(each.label, at) for each in tuned.encodings if (at := each.at_ends)]:
        shown = _listed([f"{code(label)} ({', '.join(at)})" for label, at in ends])
        found.append(
            f"The best setting lies at an end of the range that was searched for {shown}: a wider "
            "search may gain more."
        )
    return found


def _without_common_target(task: TaskBoard) -> bool:
    """Whether two ranked entries of a category share no target."""
    ranked = task.standings["entry"][task.standings["rank"].notna()].tolist()
    return not shared_units(task.cells, f"metric:{task.primary.name}", ranked).all()


def _gains(task: TaskBoard) -> str:
    """The gain of tuning on the published leaderboard, for metrics and tasks that it covers."""
    gains = TUNING_GAINS.get(task.primary.name)
    if gains is None or any(one.cell.task.name != "image" for one in task.facts):
        return ""
    return f" On the published leaderboard, tuning gained {_between(gains, 'dB')}."


def _fits_by_storing(one: Facts) -> bool:
    if one.values_to_fit is None:
        return False
    if one.cell.task.parameters.get("split", "all") != "all" and not _holds_out(one):
        return False  # measured on the whole target, but trained on other values
    return one.parameters >= one.values_to_fit
