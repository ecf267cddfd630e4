"""A task's or a category's own section of the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pandas as pd

from encbench_leaderboard.board.conditions import metric_conditions, reasons
from encbench_leaderboard.board.pareto import tradeoffs
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.render import markdown
from encbench_leaderboard.report.ablation import ABLATION, ablation_table, theorem_sentence
from encbench_leaderboard.report.blocks import Figure, Pictures
from encbench_leaderboard.report.figures.cost import cost_figure, front_text
from encbench_leaderboard.report.figures.curves import curves_figure
from encbench_leaderboard.report.figures.sheet import sheet
from encbench_leaderboard.report.figures.spectra import spectra_figure
from encbench_leaderboard.report.format import code, details, folded, plain, plural
from encbench_leaderboard.report.wording import statistics_notes

__all__ = ["figures", "notes_of", "section"]

OPEN = 4
"""Targets of a category up to which each has an open section with all its tables."""
TARGETS = 100
"""Targets of a category that have a section; more make a page that no forge shows."""
ROWS = 200
"""Entries of a task in its tables; of those that did not finish a quarter as many more."""


def section(task: TaskBoard, pictures: Mapping[tuple[str, str], str]) -> list[str]:
    """Paragraphs of a task, or of a category followed by its targets."""
    if not task.targets:
        return [f"## {code(task.label)}", *_body(task, pictures, full=True)]
    few = len(task.targets) <= OPEN
    parts = [
        f"## {code(task.label)}",
        f"{plural(len(task.targets), 'task')} that differ in their target alone, "
        f"taken together; each on its own {'follows' if few else 'is folded below'}.",
        *_body(task, pictures, full=True),
    ]
    for target in task.targets[:TARGETS]:
        body = _body(target, pictures, full=few)
        if few:
            parts += [f"### {code(target.label)}", *body]
        else:
            # A code span is not read inside the tag.
            parts.append(details(plain(target.label), "\n\n".join(body)))
    if (more := len(task.targets) - TARGETS) > 0:
        parts.append(f"{plural(more, 'more target')} of this category are not shown one by one.")
    return parts


def _body(task: TaskBoard, pictures: Mapping[tuple[str, str], str], *, full: bool) -> list[str]:
    """Standings, notes and pictures; and, where it is full, further tables."""
    shown, left = _top(task)
    parts = [folded(markdown.standings_table(shown)), *left]
    notes = notes_of(task)
    if notes:
        parts.append(notes)
    parts += _pictures(task, pictures)
    if full:
        parts += _tables(shown)
    return parts


def _top(task: TaskBoard) -> tuple[TaskBoard, list[str]]:
    """The task with the entries that its tables show, and how many were left out."""
    table = task.standings
    if len(table) <= ROWS:
        return task, []
    finished = table["n"] > 0
    kept = pd.concat([table[finished][:ROWS], table[~finished][: ROWS // 4]])
    left = len(table) - len(kept)
    if not left:
        return task, []
    kept = kept.reset_index(drop=True)
    text = f"{plural(left, 'more entry', 'more entries')} of {len(table):,} are not in the tables."
    return dataclasses.replace(task, standings=kept), [text]


def notes_of(task: TaskBoard) -> str:
    """What is said below a task's standings; "" where nothing is."""
    common, mixed = metric_conditions(task)
    titles = {metric.name: metric.title for metric in task.metrics}
    notes = [f"{titles[name]}: {plain(told)}." for name, told in common.items()]
    notes += [
        f"**{titles[name]} was taken under conditions that differ (in brackets): numbers under "
        "different conditions must not be compared.**"
        for name in mixed
    ]
    notes += [
        f"{titles.get(name, name)} has no value (–) where {plain(reason)}."
        for name, reason in reasons(task).items()
    ]
    return " ".join([*notes, *statistics_notes(task)])


def figures(task: TaskBoard) -> list[Figure | Pictures]:
    """What is drawn of a task or category."""
    found = (sheet(task), spectra_figure(task), curves_figure(task), cost_figure(task))
    return [block for block in found if block is not None]


def _pictures(task: TaskBoard, links: Mapping[tuple[str, str], str]) -> list[str]:
    parts: list[str] = []
    for block in figures(task):
        link = links.get((task.slug, block.name))
        if link:
            parts.append(f"![{plain(task.label)}: {block.title}]({link})\n\n*{block.caption}*")
            if block.name == "cost":
                parts.append(front_text(tradeoffs(task)))
    return parts


def _tables(task: TaskBoard) -> list[str]:
    parts: list[str] = []
    beside = markdown.neighbours_table(task)
    if beside:
        parts.append(details("Each encoding beside the next one", folded(beside)))
    spectra = markdown.spectra_table(task)
    if spectra:
        parts.append(details("Spectra at the start, middle and end", folded(spectra, 60)))
    theorem = theorem_sentence(task) or ""
    # Of a category the first cell alone would stand for all targets.
    added = None if task.targets else ablation_table(task)
    if added:
        body = f"{ABLATION}\n\n{folded(added)}\n\n{theorem}"
        parts.append(details("What the encoding adds to the kernel", body))
    elif theorem:
        parts.append(theorem)
    settings = markdown.settings_table(task)
    if settings:
        parts.append(details("Settings that are not the same for all", folded(settings)))
    parts.append(details("Time and memory", folded(markdown.cost_table(task))))
    return parts
