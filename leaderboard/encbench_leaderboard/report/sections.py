"""A task's or a category's own section of the page."""

from __future__ import annotations

import dataclasses

import pandas as pd

from encbench_leaderboard.board.conditions import metric_conditions, reasons
from encbench_leaderboard.board.pareto import tradeoffs
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.render import markdown
from encbench_leaderboard.render.pictures import Pictures
from encbench_leaderboard.render.plots.contact_sheet import missing_pictures
from encbench_leaderboard.render.plots.cost import cost_caption
from encbench_leaderboard.render.plots.curves import SEEDS
from encbench_leaderboard.render.plots.selection import SHOWN
from encbench_leaderboard.render.plots.spectra import spectra_caption
from encbench_leaderboard.report.ablation import ABLATION, ablation_table, theorem_sentence
from encbench_leaderboard.report.figures.cost import front_text, left_out
from encbench_leaderboard.report.format import code, details, folded, plain, plural
from encbench_leaderboard.report.wording import statistics_notes

__all__ = ["notes_of", "section"]

OPEN = 4
"""Targets of a category up to which each has an open section with all its tables."""
TARGETS = 100
"""Targets of a category that have a section; more make a page that no forge shows."""
ROWS = 200
"""Entries of a task in its tables; of those that did not finish a quarter as many more."""


def section(task: TaskBoard, pictures: Pictures) -> list[str]:
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


def _body(task: TaskBoard, pictures: Pictures, *, full: bool) -> list[str]:
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


def _pictures(task: TaskBoard, pictures: Pictures) -> list[str]:
    finished = int((task.standings["n"] > 0).sum())
    best = f" The best {SHOWN} of {finished:,} are shown." if finished > SHOWN else ""
    name = plain(task.label)
    parts: list[str] = []

    def add(kind: str, alt: str, caption: str) -> bool:
        link = pictures.links.get((task.slug, kind))
        if link:
            parts.append(f"![{name}: {alt}]({link})\n\n*{caption}*")
        return bool(link)

    if add(
        "sheet",
        "target, predictions, magnified crops and error maps side by side",
        "Top row of a block: target and predictions. Below: the marked window, where the "
        "target varies most, magnified; and the absolute error on one common scale.",
    ):
        parts += missing_pictures(task)
    if (task.slug, "spectra") in pictures.links:
        add(
            "spectra",
            "NTK eigenvalues from large to small on a log axis",
            f"{spectra_caption(task)}{best}",
        )
    seeds = f" (the first {SEEDS})" if (task.standings["cells"] > SEEDS).any() else ""
    add(
        "curves",
        f"training loss and {task.primary.title} against the step",
        f"A line a seed{seeds}, the loss averaged over neighbouring steps; × marks where "
        f"training stopped early.{best}",
    )
    if (task.slug, "cost") in pictures.links:
        found = tradeoffs(task)
        add(
            "cost",
            f"{task.primary.title} against parameters, seconds of training and peak memory",
            " ".join([cost_caption(found), *left_out(found)]),
        )
        parts.append(front_text(found))
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
