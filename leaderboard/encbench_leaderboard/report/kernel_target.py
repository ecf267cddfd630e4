"""Relate kernels to the target, to training and to quality."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter

import numpy as np

from encbench.errors import plural, with_minus
from encbench.results.kernel_summary import LinearizedTraining
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.correlation import (
    TOO_FEW,
    Correlation,
    correlations,
    mean_rho,
)
from encbench_leaderboard.board.facts import NUMBERS, STATISTICS, WHENS, Facts
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.report.blocks import (
    Axis,
    Block,
    Figure,
    Fold,
    Panel,
    Series,
    Style,
    Table,
    Text,
    Value,
)
from encbench_leaderboard.report.columns import (
    NO_VALUE,
    Source,
    Standing,
    described,
    fill,
    mean_of_reached,
    mean_of_some,
    numbers,
    texts,
)
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_note,
    first_cells,
    has_arrays,
    thinned,
)
from encbench_leaderboard.report.format import MISSING, code, count, plain, significant, span
from encbench_leaderboard.report.tables import by_moment

LEVELS = (25, 30, 35)
ABOUT = (
    "*Alignment* is the cosine between kernel and target, ⟨K, Y Yᵀ⟩ / (‖K‖ ‖Y Yᵀ‖), both minus "
    "their means. Gradient descent learns the target's component along an eigenvector at a speed "
    "proportional to the eigenvalue: energy in the leading eigenvectors is learned first. *Drift* "
    "is ‖K − K_start‖ / ‖K_start‖. *lr / lr_crit*: below 1, full-batch gradient descent on the "
    "network linearized there is stable."
)
PREDICTED = (
    "Steps until the mean squared error reaches the given PSNR (data range 1): predicted by the "
    "kernel at the start for gradient flow with these learning rates, and measured on the training "
    "loss; means over cells. The prediction is made at {points} of the training points: with fewer "
    "points, there is less detail to learn, and the predicted steps are too few."
)
CENTRED = 2
"""Column of ``energy_*`` arrays for the target minus its mean."""
LOSS_POINTS = 150
"""Maximum number of points of a line."""
MOMENTS = ("start", "end")
ENERGIES = [NUMBERS.index(f"{when}:energy_tenth") for when in WHENS]
"""Indices into ``Facts.numbers``."""
SMALLEST = 0.05
"""Minimum distance from the line [ranks] for a prediction to be shown as the worst."""


def kernel_fold(task: TaskBoard) -> Fold | None:
    """Alignment, energies, drift and rates of each entry, and predicted and measured training; None
    if nothing was recorded."""
    table = by_moment("kernel", _columns, task.rows)
    predicted = _predicted(task)
    if table is None and not predicted:
        return None
    kinds = {one.kernels for one in task.facts}
    some = {n for kernels in kinds for kernel in kernels if (n := kernel.energy_points)}
    at = f" Energies are those at {min(some):,} of the kernel's points." if some else ""
    blocks: list[Block] = [Text(ABOUT + at), table] if table else []
    if figure := energy_figure(task):
        blocks.append(figure)
    return Fold("Kernel and target", [*blocks, *predicted])


def _columns(when: str) -> list[Source[Standing]]:
    of = f"{when}:{{}}".format

    def share(name: str, title: str) -> Source[Standing]:
        return described(name, title, partial(_energy, name=of(name), taken=of("taken")))

    return [
        numbers("alignment", "alignment", itemgetter(of("alignment_centred")), "{:.3f}".format),
        share("energy_90", "eigenvectors with 90 % of the energy"),
        share("energy_tenth", "energy in the leading tenth"),
        numbers("drift", "drift", itemgetter(of("drift")), significant),
        numbers("lr_ratio", "lr / lr_crit", itemgetter(of("lr_ratio")), significant),
    ]


def _energy(row: Standing, name: str, taken: str) -> Value:
    known = row[taken] - row[f"{name}|below"]
    found = mean_of_some(row[name], known, row[taken], "{:.1%}".format)
    # the energy in the leading tenth is no cost: cells without it have neither more nor less
    return found if name.endswith("energy_90") else replace(found, sort=found.number)


def _predicted(task: TaskBoard) -> list[Block]:
    found = {
        entry: [one.linearized for one in task.facts_of_entry(entry) if one.linearized]
        for entry in task.standings["entry"]
    }
    reasons = sorted({one.not_predicted for of in found.values() for one in of} - {""})
    made = {e: kept for e, of in found.items() if (kept := [o for o in of if not o.not_predicted])}
    why = f"Not predicted: {plain('; '.join(reasons))}." if reasons else ""
    if not made:
        return [Text(why)] if why else []
    text = PREDICTED.format(points=span(one.points or 0 for of in made.values() for one in of))
    sources: list[Source[str]] = []
    for level in LEVELS:
        for kind in ("predicted", "measured"):
            of = partial(_steps, made, f"{kind}_{level}")
            sources.append(described(f"{kind}_{level}", f"{level} dB, {kind}", of))
    return [Text(f"{text} {why}".strip()), fill("predicted", sources, made, str)]


def _steps(found: Mapping[str, Sequence[LinearizedTraining]], field: str, entry: str) -> Value:
    return mean_of_reached([getattr(one, field) for one in found[entry]], count)


def energy_figure(task: TaskBoard) -> Figure | None:
    """Cumulative energy and, if predicted, predicted and measured loss of the first cell of each
    entry; None for a category, or if neither was recorded."""
    if task.targets:
        return None
    cells = first_cells(task, _recorded)
    if not cells:
        return None
    # tested on facts, since reading the records of all these cells is slow
    firsts = (next(filter(_recorded, task.facts_of_entry(entry))) for entry in cells)
    predicted = any(_predicts(one.linearized) for one in firsts)
    loss = (
        " Right: the mean squared error that the kernel at the start predicts for gradient flow, "
        "dashed, and the training loss, solid."
    )
    return Figure(
        "energy",
        "cumulative energy of the target in the leading eigenvectors of the kernel",
        "Share of the energy of the target minus its mean in the leading k of M eigenvectors, at "
        "the start (dotted) and at the end (solid), first seed."
        f"{loss * predicted}{best_note(task)}",
        lambda: list(_energy_panels(cells)),
        {entry: entry for entry in list(cells)[:SHOWN]},
        {"dotted": "start", "solid": "end, measured", "dashed": "predicted"}
        if predicted
        else {"dotted": "start", "solid": "end"},
    )


def _recorded(one: Facts) -> bool:
    known = _predicts(one.linearized) or not np.isnan(one.numbers[ENERGIES]).all()
    return known and has_arrays(one.stored)


def _predicts(linearized: LinearizedTraining | None) -> bool:
    return linearized is not None and not linearized.not_predicted


def _energy_panels(cells: dict[str, StoredRecord]) -> Iterator[Panel]:
    energies = [line for entry, stored in cells.items() for line in _energies(entry, stored)]
    x = Axis("k / M, leading eigenvectors", "log")
    if energies:
        yield Panel(x, Axis("share of the energy", limits=(-0.02, 1.02)), energies)
    losses = [line for entry, stored in cells.items() for line in _losses(entry, stored)]
    if losses:
        # a predicted loss can fall to rounding error and must not squeeze the measured ones
        least = min(float(line.y.min(initial=1)) for line in losses if line.label == "measured")
        limits = 0.1 * least, 2 * max(float(line.y.max(initial=0)) for line in losses)
        loss = Axis("mean squared error", "log", limits)
        yield Panel(Axis("optimizer step", "log"), loss, losses)


def _energies(entry: str, stored: StoredRecord) -> Iterator[Series]:
    found = stored.some_arrays("energy_start", "energy_end")
    for name, energy in found.items():
        k, share = energy[:, 0], energy[:, CENTRED]
        known = np.isfinite(share)
        when = name.removeprefix("energy_")
        style: Style = "dotted" if when == "start" else "solid"
        yield Series(entry, k[known] / k[-1], share[known], style=style, label=when)


def _losses(entry: str, stored: StoredRecord) -> Iterator[Series]:
    if not _predicts(stored.record.linearized):
        return
    names = ("linearized_step", "linearized_loss", "loss_step", "loss")
    found = stored.some_arrays(*names)
    if found.keys() != set(names):  # training did not begin
        return
    step, loss = found["linearized_step"][1:], found["linearized_loss"][1:]
    yield Series(entry, step, loss, style="dashed", label="predicted")
    measured = np.isfinite(found["loss"]) & (found["loss"] > 0)
    step, loss = thinned(found["loss_step"][measured], found["loss"][measured], LOSS_POINTS)
    yield Series(entry, step, loss, label="measured")


def prediction(board: Board, most: int) -> list[Block]:
    """Blocks on correlations between spectra and quality; at most ``most`` tasks are listed."""
    several = len(board.tasks) > 1
    found = [{when: correlations(task, when) for when in MOMENTS} for task in board.tasks]
    shown = list(zip(board.tasks, found, strict=True))[:most]
    of_tasks = [block for task, of in shown for block in _of_task(task, of, several)]
    note = Text(
        "Positive ρ means that a larger statistic goes with better quality. The 95 % interval "
        "counts each encoding once, however many tasks, settings and seeds; none is given for ρ = "
        f"±1, nor for fewer than {TOO_FEW} encodings. An eigenvalue below its floor ranks below "
        "every resolved one; – where a statistic is the same in all cells, or was not recorded. "
        "*Predicted worst* is the encoding whose rank in quality is farthest from the line through "
        "the ranks at the end, and by how many ranks it is better (+) or worse (−)."
    )
    if len(board.tasks) == 1:
        return [*of_tasks, note]
    about = Text(
        "Spearman's rank correlation ρ between a statistic of the spectrum and quality, taken "
        f"within each task and averaged over the tasks with at least {TOO_FEW} cells of "
        f"{TOO_FEW} encodings."
    )
    mean = {when: mean_rho((of[when] for of in found), when) for when in MOMENTS}
    means = _table("mean ρ", mean, several=True)
    which = "Each task" if len(shown) == len(board.tasks) else f"The first {most:,} tasks"
    return [about, means, Fold(which, of_tasks), note]


def _of_task(
    task: TaskBoard, found: Mapping[str, Sequence[Correlation]], named: bool
) -> list[Block]:
    title = f"{code(task.label)}: " if named else ""
    cells = max(c.cells for of_moment in found.values() for c in of_moment)
    encodings = max(c.encodings for of_moment in found.values() for c in of_moment)
    if not cells:
        return [Text(f"{title}no cell finished with a spectrum.")]
    text = (
        f"{title}Spearman's rank correlation ρ with {plain(task.primary.title)} over "
        f"{plural(cells, 'cell')} of {plural(encodings, 'encoding')}."
    )
    # "too few" depends on the number of cells, not on ρ
    if cells < TOO_FEW or encodings < TOO_FEW:
        text += (
            f" **Too few to say anything: at least {TOO_FEW} cells of {TOO_FEW} encodings are "
            "needed.**"
        )
    if task.cells["end:size"].dropna().nunique() > 1:
        text += " **The kernels differ in size, and eigenvalues depend on it.**"
    by_name = {when: {c.statistic: c for c in of} for when, of in found.items()}
    table = _table("ρ", by_name, several=False)
    # unique on the page, since files are named by it
    name = f"{task.slug}-{table.name}" if named else table.name
    return [Text(text), replace(table, name=name)]


def _table(rho: str, found: Mapping[str, Mapping[str, Correlation]], *, several: bool) -> Table:
    """ρ of each statistic with its interval and the number of cells or tasks, at the start and end;
    and the entry that it predicts worst."""
    number = "tasks" if several else "n"
    sources: list[Source[str]] = [texts("statistic", "statistic", STATISTICS.__getitem__)]
    for when, of in found.items():
        counts = {name: c.tasks if several else c.cells for name, c in of.items()}
        sources += [
            described(f"rho_{when}", f"{rho} at the {when}", partial(_rho, of)),
            numbers(f"n_{when}", f"{number} at the {when}", counts.get, str),
        ]
    sources.append(texts("worst", "predicted worst", partial(_worst, found["end"], several)))
    recorded = [name for name in STATISTICS if any(name in of for of in found.values())]
    return fill("correlation", sources, recorded)


def _rho(found: Mapping[str, Correlation], statistic: str) -> Value:
    c = found.get(statistic)
    if c is None or math.isnan(c.rho):
        return NO_VALUE
    low, high = c.interval
    interval = "" if math.isnan(low) else f" ({_signed(low)} to {_signed(high)})"
    return Value(f"{_signed(c.rho)}{interval}", c.rho)


def _worst(found: Mapping[str, Correlation], several: bool, statistic: str) -> str:
    c = found.get(statistic)
    if c is None or c.too_few or c.worst is None or abs(c.worst.ranks) < SMALLEST:
        return MISSING
    where = f" on {c.worst.task}" if several else ""
    return f"{c.worst.entry}{where}: {_signed(c.worst.ranks, 1)} of {c.worst.cells} ranks"


def _signed(value: float, digits: int = 2) -> str:
    return with_minus(f"{value:+.{digits}f}")
