"""Eigenvalue spectra of the NTK, and the shares of an encoding's levels in them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from encbench.errors import plural
from encbench.results.kernel_summary import SpectrumSummary, SplitSummary
from encbench.results.level_areas import BAR, SHARE_AXIS, SHARE_TICKS, stacked_areas
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.facts import WHENS, Facts, Kernel
from encbench_leaderboard.board.spectra_mean import MeanSpectrum, floor_of, mean_spectrum, resolved
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series, Style
from encbench_leaderboard.report.figures.selection import (
    SHOWN,
    best_entries,
    best_note,
    first_cells,
    has_arrays,
    spread,
    thin_index,
)
from encbench_leaderboard.report.format import plain, span

AVERAGED = 40
"""Maximum number of cells per entry that are averaged: one per target before any second one."""
PLACES = 1000
"""Number of places of a mean spectrum: more than a panel is wide [px]."""

STYLES: dict[str, Style] = {
    "start": "dotted",
    "middle": "dashed",
    "end": "solid",
}
SPLIT = 4
"""Maximum number of encodings drawn, each at the start and end."""
PARTS = ("", "mlp_")
"""Prefixes in names of a record's spectra: the whole kernel, and the MLP's part."""
SPLIT_WHENS = ("start", "end")


@dataclass(frozen=True)
class EntrySpectra:
    """The cells of an entry that are drawn, and the unit of each (its seed or target)."""

    name: str
    facts: Sequence[Facts]
    groups: Sequence[Hashable]

    @property
    def records(self) -> list[StoredRecord]:
        return [one.stored for one in self.facts]

    @property
    def kernels(self) -> set[Kernel]:
        return {kernel for one in self.facts for kernel in one.kernels}

    @cached_property
    def eigenvalues(self) -> list[dict[str, np.ndarray]]:
        """Arrays ``spectrum_…`` of each cell; other arrays are not read."""
        names = [f"spectrum_{part}{when}" for part in PARTS for when in WHENS]
        return [stored.some_arrays(*names) for stored in self.records]


def spectra_figure(task: TaskBoard) -> Figure | None:
    """Spectra of K, and of the MLP's part if it was recorded. Several cells are shown as their
    geometric mean (see ``spectra_mean``), with a band at the end of training. Eigenvalues below the
    floor are counted in the legend but not drawn; a mean is thin where it is an upper bound."""
    entries = spectra_of(task)
    if not entries:
        return None
    styles: dict[str, str] = {style: when for when, style in STYLES.items()}
    return Figure(
        "spectra",
        "NTK eigenvalues from large to small on a log axis",
        spectra_caption(task, entries) + best_note(task),
        lambda: _panels(entries),
        {entry.name: spectra_legend(entry) for entry in entries[:SHOWN]},
        styles | bound_style(entries),
    )


def bound_style(entries: Sequence[EntrySpectra]) -> dict[str, str]:
    """The style of upper bounds, if there are means, which alone have bounds."""
    return {"thin": "upper bound"} if any(len(e.facts) > 1 for e in entries) else {}


def spectra_caption(
    task: TaskBoard, entries: Sequence[EntrySpectra], most: int = AVERAGED, *, band: bool = True
) -> str:
    """The caption: the meaning of the lines of the entries, and of the band of a mean."""
    if all(len(entry.facts) == 1 for entry in entries):
        return (
            "NTK eigenvalues, largest first. A line stops at the floor, below which eigenvalues "
            "are rounding noise; the legend counts those."
        )
    over = "the targets, seeds of one averaged first" if task.targets else "the seeds"
    sizes = {kernel.size for entry in entries for kernel in entry.kernels}
    grow = " Eigenvalues grow with the size of the kernel, and these differ in size." * (
        len(sizes) > 1
    )
    largest = max(sum(map(_drawable, task.facts_of_entry(entry.name))) for entry in entries)
    held = "; the band holds the 10th to the 90th percentile at the end of training"
    part = f" At most {most} cells of each encoding are read." * (largest > most)
    return (
        f"NTK eigenvalues, largest first: geometric mean over {over}, resampled to a common "
        f"index{held * band}. Values below their floor (rounding noise) count as the floor, so a "
        "thin line is an upper bound; it stops where fewer than half are above the floor."
        f"{grow}{part}"
    )


def spectra_of(task: TaskBoard, most: int = AVERAGED) -> list[EntrySpectra]:
    """The best entries, with up to ``most`` cells each that have spectra."""
    units = dict(zip(map(id, task.facts), task.cells["unit"], strict=True))

    def chosen(entry: str) -> list[Facts]:
        facts = list(filter(_drawable, task.facts_of_entry(entry)))
        return [facts[i] for i in spread([units[id(one)] for one in facts], most)]

    return [
        EntrySpectra(name, facts, [units[id(one)] for one in facts])
        for name, facts in best_entries(task, chosen)
    ]


def _drawable(one: Facts) -> bool:
    return bool(one.kernels) and has_arrays(one.stored)


def spectra_legend(entry: EntrySpectra, when: str = "end") -> str:
    """The name, and the number or share of eigenvalues below the floor at time ``when``."""
    size = below = 0
    for one in entry.facts:
        moments = [kernel.when for kernel in one.kernels]
        last = when if when in moments else moments[-1]
        whole, resolved = (one.number(f"{last}:{name}") for name in ("size", "resolved_rank"))
        size, below = size + int(whole), below + int(whole - resolved)
    if len(entry.facts) == 1:
        return f"{entry.name}\n{below:,} of {size:,} ≤ floor"
    share = _percent(below, size)
    return f"{entry.name}\nmean of {plural(len(entry.facts), 'cell')}, {share} of values ≤ floor"


def _percent(below: int, size: int) -> str:
    """A share that reads 0% or 100% only if it is exactly that."""
    share = 100 * below / size
    if 0 < share < 0.1:
        return "under 0.1%"
    if 99.9 < share < 100:
        return "over 99.9%"
    return f"{share:.1f}".removesuffix(".0") + "%"


def _panels(entries: Sequence[EntrySpectra]) -> list[Panel]:
    titles = kernel_title(entries), "MLP's part of the kernel alone"
    one_size = of_one_size(entries)
    panels = []
    for part, title in zip(PARTS, titles, strict=True):
        series = [
            line for entry in entries for line in spectrum_lines(entry, part, one_size=one_size)
        ]
        if series:
            panels.append(spectra_panel(entries, series, title))
    return panels


def spectra_panel(entries: Sequence[EntrySpectra], series: Sequence[Series], title: str) -> Panel:
    """A panel with lines of ``spectrum_lines`` and the range of the entries' floors."""
    title_of_x, last = "index of the eigenvalue / size of the kernel", 1
    if of_one_size(entries):
        title_of_x, last = "index of the eigenvalue", entries[0].facts[0].kernels[0].size
    x = Axis(title_of_x, limits=(-0.02 * last, 1.02 * last))
    floors = [
        s.floor
        for entry in entries
        for stored in entry.records
        for s in stored.record.spectra
        if s.floor > 0
    ]
    floor = (min(floors), max(floors)) if floors else None
    return Panel(x, Axis("eigenvalue λ", "log"), series, title, floor)


def of_one_size(entries: Sequence[EntrySpectra]) -> bool:
    """Whether each entry has one cell, and all kernels have the same size: then x is the index,
    else the index as a share of the size."""
    sizes = {kernel.size for entry in entries for kernel in entry.kernels}
    return all(len(entry.facts) == 1 for entry in entries) and len(sizes) == 1


def kernel_title(entries: Sequence[EntrySpectra]) -> str:
    """A panel's title: the kind of kernel and the number of points."""
    kernels = {kernel for entry in entries for kernel in entry.kernels}
    outputs = " and ".join(sorted({kernel.outputs for kernel in kernels}))
    return f"NTK ({outputs} kernel, N = {span(kernel.points for kernel in kernels)} points)"


def _spectra(
    summaries: Sequence[SpectrumSummary], arrays: Mapping[str, np.ndarray], part: str
) -> dict[str, tuple[np.ndarray, float]]:
    """Eigenvalues (M,) and floor by time."""
    return {
        summary.when: (values, floor_of(summary, values, part))
        for summary in summaries
        if len(values := arrays.get(f"spectrum_{part}{summary.when}", np.empty(0)))
    }


def spectrum_lines(
    entry: EntrySpectra,
    part: str,
    *,
    one_size: bool,
    whens: Sequence[str] = WHENS,
    places: int = PLACES,
) -> Iterator[Series]:
    """A line per time, and a second one for a mean that ends in an upper bound.

    Args:
        part: "" for the whole kernel, or "mlp_".
        one_size: whether x is the index; else its share of the kernel's size, as for means.
        places: number of places to which spectra are resampled for a mean.
    """
    spectra = [
        _spectra(stored.record.spectra, arrays, part)
        for stored, arrays in zip(entry.records, entry.eigenvalues, strict=True)
    ]
    for when in whens:
        taken = [i for i, found in enumerate(spectra) if when in found]
        if len(spectra) == 1 and taken:
            yield from _single(entry.name, when, *spectra[0][when], one_size=one_size)
            continue
        # without a floor, rounding noise would be averaged
        taken = [i for i in taken if spectra[i][when][1] > 0]
        if taken:
            groups = [entry.groups[i] for i in taken]
            mean = mean_spectrum([spectra[i][when] for i in taken], groups, length=places)
            yield from _averaged(entry.name, when, mean)


def _single(
    entry: str, when: str, values: np.ndarray, floor: float, *, one_size: bool
) -> Iterator[Series]:
    above = resolved(values, floor)
    if len(above):
        at = thin_index(len(above))
        index = at + 1.0 if one_size else (at + 1.0) / len(values)
        cut = len(above) < len(values)
        style = STYLES[when]
        yield Series(entry, index, above[at], style=style, label=when, end="cut" if cut else "")


def _averaged(entry: str, when: str, mean: MeanSpectrum) -> Iterator[Series]:
    known = int((~np.isnan(mean.mean)).sum())
    certain = known - int(mean.bounded.sum())
    # the bound starts at the last place that all spectra resolve, so that the line has no gap
    for start, stop, bound in ((0, certain, False), (max(certain - 1, 0), known, True)):
        if stop > (certain if bound else 0):
            at = start + thin_index(stop - start)
            cut = stop == known < len(mean.mean)
            yield Series(
                entry,
                mean.place[at],
                mean.mean[at],
                style="thin" if bound else STYLES[when],
                label=f"{when}, upper bound" if bound else when,
                low=mean.low[at] if when == "end" else None,
                high=mean.high[at] if when == "end" else None,
                end="cut" if cut else "",
            )


def splits_of(stored: StoredRecord) -> dict[str, SplitSummary]:
    """The recorded splits of a record by time, if its run requested them."""
    return {s.when: s.split for s in stored.record.spectra if s.split and s.when in SPLIT_WHENS}


def _splits(one: Facts) -> list[Kernel]:
    """Kernels with a split, or with a reason why there is none."""
    return [k for k in one.kernels if k.split is not None and k.when in SPLIT_WHENS]


def split_cells(task: TaskBoard) -> dict[str, StoredRecord]:
    """The first cell with shares of levels, of each of the best entries; none for a category."""
    if task.targets:
        return {}
    found = first_cells(task, lambda one: any(split.split for split in _splits(one)))
    return dict(list(found.items())[:SPLIT])


def levels_figure(task: TaskBoard) -> Figure | None:
    """Stacked shares of the network and of each level, for ``split_cells``; None without any."""
    cells = split_cells(task)
    if not cells:
        return None
    return Figure(
        "levels",
        "shares of the network and of each level of the encoding in the eigenvalues of the kernel",
        "The kernel is the sum of the network's part (grey) and of a part K_l for each level of "
        "the encoding, coarsest first. The share of a part in λ_i is v_iᵀ K_l v_i / λ_i for "
        "eigenvector v_i of the whole kernel, averaged over adjacent eigenvalues above the floor. "
        "Left: the levels' shares of the trace of the encoding's part; the legend has those of "
        "the whole trace. First seed." + _without(task),
        lambda: [
            panel for entry, stored in cells.items() for panel in _level_panels(entry, stored)
        ],
    )


def _without(task: TaskBoard) -> str:
    """A sentence on encodings that have no levels."""
    kinds = dict.fromkeys(kernel for one in task.facts for kernel in _splits(one))
    reasons = dict.fromkeys(kernel.not_split for kernel in kinds if not kernel.split)
    return f" Not drawn: {plain('; '.join(reasons))}." if reasons else ""


def _level_panels(entry: str, stored: StoredRecord) -> Iterator[Panel]:
    arrays = stored.some_arrays(*(f"levels_{when}" for when in SPLIT_WHENS))
    sizes: dict[str, int] = {summary.when: summary.size for summary in stored.record.spectra}
    y = Axis("share, stacked", limits=(0, 1))
    for when, split in splits_of(stored).items():
        shares = arrays.get(f"levels_{when}")
        series = [
            Series("", a.x, a.high, "area", label=a.label, low=a.low, high=a.high, shade=a.shade)
            for a in stacked_areas(split.parts, shares)
        ]
        if shares is None:  # only the bar of the trace
            x = Axis("", limits=(BAR[0], BAR[1]), ticks=SHARE_TICKS[:1])
            title = f"{entry}, {when}"
        else:
            x = Axis(SHARE_AXIS, limits=(BAR[0], 1), ticks=SHARE_TICKS)
            title = f"{entry}, {when}: {len(shares):,} of {sizes[when]:,} eigenvalues"
        if series:
            yield Panel(x, y, series, title)
