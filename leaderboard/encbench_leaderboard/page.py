"""A results folder becomes one Markdown page with its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from matplotlib.figure import Figure

from encbench.errors import StoreError, UsageError
from encbench.records import StoredRecord
from encbench.store import Store
from encbench_leaderboard import footer, markdown, style
from encbench_leaderboard.ablation import ABLATION, ablation_table, theorem_sentence
from encbench_leaderboard.conditions import metric_conditions, reasons
from encbench_leaderboard.format import code, details, plain, plural
from encbench_leaderboard.overview import overview
from encbench_leaderboard.plots.contact_sheet import draw_contact_sheet
from encbench_leaderboard.plots.cost import draw_cost
from encbench_leaderboard.plots.curves import draw_curves
from encbench_leaderboard.plots.selection import SHOWN
from encbench_leaderboard.plots.spectra import draw_spectra
from encbench_leaderboard.prediction import prediction
from encbench_leaderboard.reading import how_to_read
from encbench_leaderboard.table import Board, TaskBoard, boards
from encbench_leaderboard.wording import over_tasks_text, statistics_notes

__all__ = ["load", "render"]


def load(directory: Path) -> tuple[Board, list[StoredRecord], Store]:
    """The board of a results folder.

    Raises:
        StoreError: no such folder, or no record in it.
    """
    store = Store(directory)
    records = store.records()
    if not records:
        raise StoreError(
            f"{directory} holds no records, expected records/*/record.json; "
            f"`encbench run -o {directory}` writes them"
        )
    return boards(records), records, store


def render(directory: Path, out: Path | None = None, *, pictures: bool = True) -> Path:
    """Write the leaderboard of a results folder.

    Args:
        directory: the folder of a run.
        out: the Markdown file, ``directory/leaderboard.md`` unless given. Pictures lie beside
            it in a folder of its name without the suffix.
        pictures: draw pictures and link to them.

    Returns:
        ``out``.

    Raises:
        StoreError: no folder, no records, or the page cannot be written.
        UsageError: ``out`` has no suffix, so its pictures' folder would take its name.
    """
    directory = Path(directory)
    board, records, store = load(directory)
    out = directory / "leaderboard.md" if out is None else Path(out)
    if out.suffix == "":
        raise UsageError(f"{out} has no suffix, expected a Markdown file, for example {out}.md")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shown = _draw(board, out) if pictures else {}
        page = _page(board, records, store, shown)
        temporary = out.with_name(f".new-{out.name}")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        raise StoreError(
            f"cannot write {out}: {error.strerror or error}; free space or permissions, "
            "or another file with -o"
        ) from None
    return out


Drawer = Callable[[TaskBoard], Figure | None]


def _draw(board: Board, out: Path) -> dict[tuple[str, str], str]:
    """Draw all pictures; (slug of a task, kind) to the link from the page."""
    folder = out.with_suffix("")
    folder.mkdir(exist_ok=True)
    colours = style.colours(board.entries)
    kinds: dict[str, Drawer] = {
        "sheet": draw_contact_sheet,
        "spectra": lambda task: draw_spectra(task, colours),
        "curves": lambda task: draw_curves(task, colours),
        "cost": lambda task: draw_cost(task, colours),
    }
    links = {}
    with style.quiet():
        for task in board.tasks:
            for kind, draw in kinds.items():
                figure = draw(task)
                file = folder / f"{task.slug}-{kind}.png"
                if figure is None:
                    # Else a picture of an earlier run would seem to belong to this one.
                    file.unlink(missing_ok=True)
                    continue
                style.save(figure, file)
                links[task.slug, kind] = quote(f"{folder.name}/{file.name}")
    return links


def _page(
    board: Board,
    records: Sequence[StoredRecord],
    store: Store,
    links: dict[tuple[str, str], str],
) -> str:
    suite = store.suite_name()
    parts = [f"# Leaderboard{f': {plain(suite)}' if suite else ''}", _summary(board, records)]
    if len(board.groups) > 1:
        parts += ["## Overview", _overview(board)]
    for task in board.tasks:
        parts += _task(task, links)
    parts += ["## Does the spectrum predict quality?", *prediction(board)]
    parts += ["## How to read this page", how_to_read(board)]
    parts += [
        "## Provenance",
        footer.provenance(records, suite),
        details(
            "How to run this again",
            footer.reproduction(records, store.suite(), store.directory.resolve().name),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(board: Board, records: Sequence[StoredRecord]) -> str:
    tally = Counter(stored.record.status for stored in records)
    seeds = len({stored.record.cell.seed for stored in records})
    ended = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in tally.most_common())
    text = (
        f"{plural(len(board.entries), 'encoding')}, {plural(len(board.tasks), 'task')}, "
        f"{plural(seeds, 'seed')}: {plural(len(records), 'cell')}, {ended}."
    )
    found = footer.machines(records)
    if len(found) > 1:
        text += (
            f"\n\n**These cells ran on {len(found)} different machines or settings of threads: "
            "their times must not be compared.**"
        )
    return text


def _overview(board: Board) -> str:
    found = overview(board)
    tasks = "\n".join(f"{i}. {code(group.label)}" for i, group in enumerate(found.groups, 1))
    return (
        f"{markdown.overview_table(found)}\n\nTasks:\n\n{tasks}\n\n"
        f"The value is the mean over what finished. {over_tasks_text(found)}"
    )


def _task(task: TaskBoard, links: dict[tuple[str, str], str]) -> list[str]:
    parts = [f"## {code(task.label)}", markdown.standings_table(task)]
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
    notes += statistics_notes(task)
    if notes:
        parts.append(" ".join(notes))
    finished = int((task.standings["n"] > 0).sum())
    best = f" The best {SHOWN} of {finished} are shown." if finished > SHOWN else ""
    name = plain(task.label)
    for kind, alt, caption in (
        (
            "sheet",
            f"{name}: target, predictions, magnified crops and error maps side by side",
            "Top row of a block: target and predictions. Below: the marked window, where the "
            "target varies most, magnified; and the absolute error on one common scale.",
        ),
        (
            "spectra",
            f"{name}: NTK eigenvalues from large to small on a log axis",
            "NTK eigenvalues, first seed. A line stops at the floor; what lies under it is "
            f"counted in the legend.{best}",
        ),
        (
            "curves",
            f"{name}: training loss and {task.primary.title} against the step",
            f"A line a seed, the loss averaged over neighbouring steps; × marks where training "
            f"stopped early.{best}",
        ),
        (
            "cost",
            f"{name}: {task.primary.title} against parameters and seconds of training",
            f"A mark a seed.{best}",
        ),
    ):
        link = links.get((task.slug, kind))
        if link:
            parts.append(f"![{alt}]({link})\n\n*{caption}*")
    beside = markdown.neighbours_table(task)
    if beside:
        parts.append(details("Each encoding beside the next one", beside))
    spectra = markdown.spectra_table(task)
    if spectra:
        parts.append(details("Spectra at the start, middle and end", spectra))
    added = ablation_table(task)
    if added:
        theorem = theorem_sentence(task) or ""
        parts.append(
            details("What the encoding adds to the kernel", f"{ABLATION}\n\n{added}\n\n{theorem}")
        )
    settings = markdown.settings_table(task)
    if settings:
        parts.append(details("Settings that are not the same for all", settings))
    parts.append(details("Time and memory", markdown.cost_table(task)))
    return parts
