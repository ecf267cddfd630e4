"""Figures 2, 4, 5 and 11, spectra of the kernel; and 6, 8 and 10, loss and quality over epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from encbench.results.palette import Look
from encbench.results.records import StoredRecord
from encbench_leaderboard.board.spectra_mean import LENGTH
from encbench_leaderboard.board.table import Board, TaskBoard
from encbench_leaderboard.board.theorem import PLAIN
from encbench_leaderboard.paper_figures.described import (
    ARRAYS_LEFT_OUT,
    Described,
    Lacking,
    absent,
    kernel_points,
    source,
)
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.blocks import Axis, Figure, Panel, Series, Style
from encbench_leaderboard.report.figures.selection import SHOWN, best_note, has_arrays
from encbench_leaderboard.report.figures.spectra import (
    STYLES,
    EntrySpectra,
    bound_style,
    kernel_title,
    levels_figure,
    of_one_size,
    spectra_caption,
    spectra_legend,
    spectra_of,
    spectra_panel,
    spectrum_lines,
    split_cells,
)
from encbench_leaderboard.report.figures.training import curves_figure

MAX_CELLS = 10_000
"""Maximum number of cells per entry in a mean over targets."""
KINDS = {"no encoding": 0, "encodings without parameters": 1, "learned encodings": 2}
LATER = ("middle", "end")


def level_shares(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Shares of an encoding's levels in the eigenvalues; not in the paper."""
    block, cells = levels_figure(task), split_cells(task)
    if block is None:
        raise Lacking("no record has shares of levels; run with --set ntk.split=level")
    records = list(cells.values())
    if not block.panels:
        raise Lacking(ARRAYS_LEFT_OUT)
    caption = f"{block.caption} {kernel_points(records)} {source(records)}"
    return Described(caption, records, partial(plot, block, looks))


def with_and_without(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 2."""
    entries = _entries(task)
    kinds = {entry.name: _kind(entry.records[0]) for entry in entries}
    shown = [entry for entry in entries if kinds[entry.name] != 1]
    if 2 not in kinds.values():
        raise Lacking(
            "no encoding with learned values has a spectrum; add one, such as -e mpe, to the run"
        )
    series: list[Series] = []
    for entry in shown:
        parts: dict[str, Style] = {"": "solid"}
        parts |= {"mlp_": "dashed"} if kinds[entry.name] == 2 else {}
        for part, style in parts.items():
            series += _plain(entry, part, ("end",), style, one_size=of_one_size(shown))
    panel = spectra_panel(shown, series, kernel_title(shown))
    missing = [] if 0 in kinds.values() else [f"The network without an encoding: add -e {PLAIN}."]
    styles = {"solid": "whole kernel", "dashed": "without the encoding's own term"}
    what = (
        "Spectrum at the end of training of each network with a learned encoding: of its whole "
        "kernel, and of the kernel without the term of the encoding's own parameters; and of the "
        "network without an encoding. "
    )
    return _described(task, shown, [panel], what, styles, missing, looks)


def three_panels(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 4."""
    entries = _entries(task)
    groups = {kind: [e for e in entries if _kind(e.records[0]) == n] for kind, n in KINDS.items()}
    panels = []
    for kind, members in groups.items():
        one_size = of_one_size(entries)
        series = [
            line
            for entry in members
            for when in LATER
            for line in _plain(entry, "", (when,), STYLES[when], one_size=one_size)
        ]
        if series:
            panels.append(spectra_panel(entries, series, kind))
    empty = ", ".join(kind for kind, members in groups.items() if not members)
    missing = [f"Figure 4 has no panel for {empty}: no spectrum was recorded."] if empty else []
    what = "Spectra in the middle (dashed) and at the end (solid) of training. "
    return _described(
        task, entries, panels, what, {STYLES[when]: when for when in LATER}, missing, looks
    )


def at_start(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 11."""
    entries = _entries(task)
    series = [
        line
        for entry in entries
        for line in _plain(entry, "", ("start",), "solid", one_size=of_one_size(entries))
    ]
    panel = spectra_panel(entries, series, kernel_title(entries))
    return _described(task, entries, [panel], "Spectra before training. ", {}, [], looks, "start")


def means(board: Board, looks: Mapping[str, Look]) -> Described:
    """Figure 5: a panel for each category."""
    found = {
        category.label: (category, entries)
        for category in board.categories
        if (entries := spectra_of(category, MAX_CELLS))
    }
    if not found:
        raise Lacking(
            "means need spectra of several targets: -t image:image=FOLDER,side=128, or several "
            "meshes, with --ntk-points 1024"
        )
    panels = []
    for label, (_, entries) in found.items():
        series = [
            line
            for entry in entries
            for line in spectrum_lines(entry, "", one_size=False, whens=LATER, places=LENGTH)
        ]
        targets = max(len(set(entry.groups)) for entry in entries)
        panels.append(spectra_panel(entries, series, f"{label}: {targets} targets"))
    first, entries = next(iter(found.values()))
    records = [stored for _, of in found.values() for entry in of for stored in entry.records]
    every = [entry for _, of in found.values() for entry in of]
    legend = {entry.name: entry.name for entry in every}
    what = f"Means of spectra over targets, each resampled to {LENGTH:,} values. "
    caption = what + spectra_caption(first, entries, MAX_CELLS)
    missing = [
        text
        for category, of in found.values()
        for text in absent(category, [entry.name for entry in of], "no spectrum")
    ]
    styles = {STYLES[when]: when for when in LATER} | bound_style(every)
    return _figure(
        caption, records, panels, dict(list(legend.items())[:SHOWN]), styles, missing, looks
    )


def _entries(task: TaskBoard) -> list[EntrySpectra]:
    entries = spectra_of(task)
    if not entries:
        if any(one.kernels for one in task.facts):
            raise Lacking(ARRAYS_LEFT_OUT)
        raise Lacking("no spectrum was taken; run the same with --ntk-points 1024")
    return entries[:SHOWN]


def _kind(stored: StoredRecord) -> int:
    if stored.record.cell.encoding.name == PLAIN:
        return 0
    return 2 if stored.record.parameters.get("encoding") else 1


def _plain(
    entry: EntrySpectra, part: str, whens: Sequence[str], style: Style, *, one_size: bool
) -> Iterator[Series]:
    """Yield an entry's lines at some moments in one style, without bands."""
    for line in spectrum_lines(entry, part, one_size=one_size, whens=whens):
        kept: Style = "thin" if line.style == "thin" else style
        yield replace(line, style=kept, low=None, high=None)


def _described(
    task: TaskBoard,
    entries: Sequence[EntrySpectra],
    panels: Sequence[Panel],
    what: str,
    styles: Mapping[str, str],
    missing: Sequence[str],
    looks: Mapping[str, Look],
    when: str = "end",
) -> Described:
    """Describe a figure of panels of the entries of a task.

    Args:
        when: the spectra for which the legend says how much is under the floor.
    """
    if not any(panel.series for panel in panels):
        raise Lacking("no eigenvalue is above its floor, or the cells did not finish")
    records = [stored for entry in entries for stored in entry.records]
    caption = what + spectra_caption(task, entries, band=False) + best_note(task)
    left = [*missing, *absent(task, [e.name for e in spectra_of(task)], "no spectrum")]
    legend = {entry.name: spectra_legend(entry, when) for entry in entries}
    return _figure(
        caption, records, panels, legend, {**styles, **bound_style(entries)}, left, looks
    )


def _figure(
    caption: str,
    records: Sequence[StoredRecord],
    panels: Sequence[Panel],
    legend: Mapping[str, str],
    styles: Mapping[str, str],
    missing: Sequence[str],
    looks: Mapping[str, Look],
) -> Described:
    block = Figure("spectra", "spectra", caption, lambda: panels, legend, styles)
    draw = partial(plot, block, looks, 3 if len(panels) == 3 else 2)
    return Described(
        f"{caption} {kernel_points(records)} {source(records)}", records, draw, missing
    )


def epoch_curves(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """Figure 6: the page's training curves against the epoch."""
    figure = curves_figure(task)
    if figure is None or not figure.panels:
        if any(stored.record.spectra and not has_arrays(stored) for stored in task.records):
            raise Lacking(ARRAYS_LEFT_OUT)
        raise Lacking("no training curve was recorded; run the cells again with --rerun all")
    panels = [
        replace(
            panel,
            x=Axis("epoch"),
            series=[
                replace(line, x=line.other_x["epoch"])
                for line in panel.series
                if "epoch" in line.other_x
            ],
        )
        for panel in figure.panels
    ]
    drawn = {line.entry for panel in panels for line in panel.series}
    if not drawn:
        raise Lacking("the records do not say how many epochs were trained")
    block = replace(figure, build=lambda: panels)
    records = [
        stored for entry in figure.legend if entry in drawn for stored in task.of_entry(entry)
    ]
    caption = (
        f"Training loss (of images the mean squared error) and {task.primary.title} against the "
        f"epoch. {figure.caption} {source(records)}"
    )
    return Described(
        caption, records, partial(plot, block, looks), absent(task, list(drawn), "no curve")
    )
