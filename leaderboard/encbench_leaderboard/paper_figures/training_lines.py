"""Figures 6, 8 and 10: loss and quality over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from encbench.results.palette import Look
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.paper_figures.described import (
    ARRAYS_LEFT_OUT,
    Described,
    Lacking,
    absent,
    source,
)
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.blocks import Axis
from encbench_leaderboard.report.figures.selection import has_arrays
from encbench_leaderboard.report.figures.training import curves_figure


def epoch_curves(task: TaskBoard, looks: Mapping[str, Look]) -> Described:
    """The page's curves, with epochs on x."""
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
