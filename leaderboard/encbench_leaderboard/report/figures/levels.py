"""Which level of an encoding carries which part of the spectrum."""

from __future__ import annotations

from collections.abc import Iterator

from encbench.results.kernel_summary import SplitSummary
from encbench.results.level_areas import BAR, SHARE_AXIS, SHARE_TICKS, stacked_areas
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series
from encbench_leaderboard.report.figures.selection import first_cells
from encbench_leaderboard.report.format import plain

ENTRIES = 4
"""Encodings drawn, each at the start and at the end."""
WHENS = ("start", "end")


def splits_of(stored: StoredRecord) -> dict[str, SplitSummary]:
    """Moment to what was recorded there, of a record whose run asked for it."""
    return {s.when: s.split for s in stored.record.spectra if s.split and s.when in WHENS}


def split_cells(task: TaskBoard) -> dict[str, StoredRecord]:
    """The first cell that has shares of levels, of each of the best entries; none of a category."""
    if task.targets:
        return {}
    found = first_cells(task, lambda one: any(split.parts for split in splits_of(one).values()))
    return dict(list(found.items())[:ENTRIES])


def levels_figure(task: TaskBoard) -> Figure | None:
    """Stacked shares of the network and of each level, of ``split_cells``; None without any."""
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
        lambda: [panel for entry, stored in cells.items() for panel in _panels(entry, stored)],
    )


def _without(task: TaskBoard) -> str:
    """A sentence on encodings that have no levels."""
    reasons = dict.fromkeys(
        split.not_computed
        for stored in task.records
        for split in splits_of(stored).values()
        if not split.parts
    )
    return f" Not drawn: {plain('; '.join(reasons))}." if reasons else ""


def _panels(entry: str, stored: StoredRecord) -> Iterator[Panel]:
    arrays = stored.some_arrays(*(f"levels_{when}" for when in WHENS))
    sizes: dict[str, int] = {summary.when: summary.size for summary in stored.record.spectra}
    y = Axis("share, stacked", limits=(0, 1))
    for when, split in splits_of(stored).items():
        shares = arrays.get(f"levels_{when}")
        series = [
            Series("", a.x, a.high, "area", label=a.label, low=a.low, high=a.high, shade=a.shade)
            for a in stacked_areas(split.parts, shares)
        ]
        if shares is None:  # nothing but the bar of the trace
            x = Axis("", limits=(BAR[0], BAR[1]), ticks=SHARE_TICKS[:1])
            title = f"{entry}, {when}"
        else:
            x = Axis(SHARE_AXIS, limits=(BAR[0], 1), ticks=SHARE_TICKS)
            title = f"{entry}, {when}: {len(shares):,} of {sizes[when]:,} eigenvalues"
        if series:
            yield Panel(x, y, series, title)
