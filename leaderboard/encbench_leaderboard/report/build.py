"""Build the description of a results folder's page, which every renderer draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from encbench.errors import plural
from encbench.results.records import StoredRecord
from encbench.results.store import Store, load_records
from encbench.runs.tuning_report import TuneResult, earlier_result
from encbench_leaderboard.board.budget import courses
from encbench_leaderboard.board.facts import machines
from encbench_leaderboard.board.overview import overview
from encbench_leaderboard.board.pareto import tradeoffs
from encbench_leaderboard.board.table import Board, TaskBoard, boards
from encbench_leaderboard.report import notes, tables
from encbench_leaderboard.report.blocks import (
    Block,
    Figure,
    Fold,
    Heading,
    Page,
    Section,
    Table,
    Text,
    walk,
)
from encbench_leaderboard.report.details import entry_details
from encbench_leaderboard.report.figures.cost import cost_figure, front_text
from encbench_leaderboard.report.figures.predictions import lines_figure, sheet, thumbnails
from encbench_leaderboard.report.figures.relation import rates_figure
from encbench_leaderboard.report.figures.selection import common_note, finished_note
from encbench_leaderboard.report.figures.spectra import levels_figure, spectra_figure
from encbench_leaderboard.report.figures.training import bands_figure, curves_figure, profile_figure
from encbench_leaderboard.report.format import code, plain, shell_word
from encbench_leaderboard.report.kernel_target import kernel_fold, prediction
from encbench_leaderboard.report.provenance import provenance, reproduction
from encbench_leaderboard.report.standings_table import metric_column, standings_table
from encbench_leaderboard.report.verdict import caveats, protocol, untuned, verdict_on

SECTIONS = 100
"""Maximum number of tasks with a section of their own."""
CURVES = 2000
"""Maximum number of records on a page for which quality curves are read."""
VERDICTS = 12
"""Maximum number of tasks whose verdict is at the top of the page."""


def load_board(directory: Path) -> tuple[Board, Store]:
    """The board and store of a results folder, for ``describe``; after tuning, the board has the
    tuned settings. Damaged arrays and pictures are left out with a warning. StoreError if there is
    no such folder, or no record."""
    found = load_records(directory, check_files=True, listed=True)
    return boards(tuned_records(found, earlier_result(directory))), Store(directory)


def tuned_records(
    records: Sequence[StoredRecord], tuned: TuneResult | None
) -> Sequence[StoredRecord]:
    """The records without those of default settings that tuning replaced, so that each encoding is
    ranked with its best setting; all records if there are no tuned ones yet."""
    if tuned is None:
        return records
    chosen = tuned.chosen
    passed = {key for one in tuned.encodings if one.default for key in one.default.keys} - chosen
    kept = [stored for stored in records if stored.outline.key not in passed]
    return kept if chosen and kept else records


def describe(board: Board, store: Store) -> Page:
    """The page of a results folder: ``describe(*load_board(directory))``."""
    name = store.suite_name()
    folder = shell_word(store.directory.resolve().name)
    tuned = earlier_result(store.directory)
    blocks: list[Block] = [Text(_summary(board, tuned)), Text(_verdicts(board, tuned), "verdict")]
    ran_on = machines(board.facts)
    if len(ran_on) > 1:
        text = (
            f"**These cells ran on {len(ran_on)} different machines or settings of threads: "
            "their times must not be compared.**"
        )
        blocks.append(Text(text, "warning"))
    if tuned is not None and (gains := tables.gains_table(tuned)):
        text = f"{plain(tuned.legend)} Standings are those of the tuned settings."
        blocks += [Heading("What tuning changed"), gains, Text(text, "note")]
    if len(board.groups) > 1:
        blocks += [Heading("Overview"), *_overview(board)]
    if len(board.tasks) > SECTIONS:
        text = (
            f"The first {SECTIONS} of {len(board.tasks):,} tasks have sections of their own; "
            f"means and tests are over all of them. `encbench export {folder} cells.csv` "
            "writes every cell."
        )
        blocks.append(Text(text))
    section = partial(
        _section,
        folder=folder,
        several_machines=len(ran_on) > 1,
        few=len(board.facts) <= CURVES,
        tuned=tuned,
    )
    shown = {id(task) for task in (*board.tasks[:SECTIONS], *board.categories)}
    sections = []
    for group in (group for group in board.groups if id(group) in shown):
        targets = [target for target in group.targets if id(target) in shown]
        sections.append(section(group, targets))
        sections += [section(target, level=3) for target in targets]
    standings = [b for s in sections for b in s.blocks if isinstance(b, Table)]
    blocks += [
        *sections,
        Heading("Provenance"),
        Text(provenance(board.facts, name)),
        Fold("How to run this again", [Text(reproduction(board.facts, store.suites(), folder))]),
    ]
    more = [
        Heading("Does the spectrum predict quality?"),
        *prediction(board, SECTIONS),
        Heading("How to read this page"),
        Text(notes.how_to_read(board, standings)),
    ]
    # in a sweep, lines of a figure are named by encodings without the swept setting
    legends = (block.legend for block in walk(sections) if isinstance(block, Figure))
    entries = dict.fromkeys((*board.entries, *(entry for legend in legends for entry in legend)))
    title = f"Leaderboard: {name}" if name else "Leaderboard"
    descriptions = [str(suite.get("description") or "") for suite in store.suites()]
    about = " ".join(filter(None, dict.fromkeys(descriptions)))
    return Page(title, blocks, tuple(entries), more, about)


def _verdicts(board: Board, tuned: TuneResult | None) -> str:
    """The verdict of each category, and of each task that is in none."""
    groups = board.groups
    if len(groups) == 1:
        return verdict_on(groups[0], tuned)
    lines = [f"- {code(group.label)}: {verdict_on(group, tuned)}" for group in groups[:VERDICTS]]
    if len(groups) > VERDICTS:
        lines.append(f"- {plural(len(groups) - VERDICTS, 'more task')}: see the overview")
    return "\n".join(lines)


def _summary(board: Board, tuned: TuneResult | None) -> str:
    tally = Counter(one.status for one in board.facts)
    seeds = len({one.cell.seed for one in board.facts})
    ended = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in tally.most_common())
    encodings = {one.encoding for one in board.facts}
    number, settings = len(encodings), ""
    if tuned is not None:
        others = {one.encoding for one in untuned(board.facts, tuned)}
        number = len(tuned.encodings) + len(others)
        settings = f", {len(tuned.encodings):,} of them tuned" if others else ", tuned"
    elif len(board.entries) > len(encodings):
        settings = f" under {len(board.entries):,} settings in all"
    return (
        f"{plural(number, 'encoding')}{settings}, {plural(len(board.tasks), 'task')}, "
        f"{plural(seeds, 'seed')}: {plural(len(board.facts), 'cell')}, {ended}."
    )


def _overview(board: Board) -> list[Block]:
    found = overview(board)
    tasks = "\n".join(f"{i}. {code(group.label)}" for i, group in enumerate(found.groups, 1))
    note = Text(notes.overview_note(found), "note")
    return _present(
        tables.overview_table(found), Text(f"Tasks:\n\n{tasks}"), note, thumbnails(found)
    )


def _present(*blocks: Block | None) -> list[Block]:
    """The blocks that are not None."""
    return [block for block in blocks if block is not None]


def _fold(title: str, *blocks: Block | None) -> Fold | None:
    kept = _present(*blocks)
    return Fold(title, kept) if kept else None


def _section(
    task: TaskBoard,
    targets: Sequence[TaskBoard] = (),
    level: int = 2,
    *,
    folder: str,
    several_machines: bool,
    few: bool,
    tuned: TuneResult | None,
) -> Section:
    """The section of a task or category: protocol, standings, notes and figures, and further tables
    in ``more``. ``targets`` have sections of their own; ``few``: few enough records to read curves.
    """
    opened = partial(entry_details, task, folder, machines=several_machines)
    table = standings_table(task, lambda standing: partial(opened, standing))
    first = {column.name for column in table.columns if column.first}
    shown = [metric for metric in task.metrics if metric_column(metric) in first]
    below = [
        *notes.metric_notes(task, shown),
        *notes.held_out_notes(task),
        *notes.halved_notes(task),
        *notes.statistics_notes(task),
    ]
    others = notes.metric_notes(task, [m for m in task.metrics if m not in shown])
    doubts = "\n".join(f"- {doubt}" for doubt in caveats(task, tuned))
    blocks = _present(
        Text(verdict_on(task, tuned), "verdict") if level > 2 else None,
        Text(protocol(task, tuned)),
        Text(f"What could change the order:\n\n{doubts}", "warning") if doubts else None,
        Text(_pooled(task, targets)) if task.targets else None,
        table,
        Text(unfinished, "note") if (unfinished := notes.unfinished_note(task)) else None,
        Text(" ".join(below), "note") if below else None,
        Text(" ".join(others), "note", first=False) if others else None,
        sheet(task),
        lines_figure(task),
        spectra_figure(task),
        cost_figure(task),
    )
    more = _present(
        curves_figure(task),
        front_text(tradeoffs(task)),
        rates_figure(task) if few else None,
        *_folds(task, pooled=level > 2, curves=few),
    )
    return Section(task.slug, task.label, blocks, level, [t.slug for t in targets], more)


def _pooled(task: TaskBoard, targets: Sequence[TaskBoard]) -> str:
    every = len(targets) == len(task.targets)
    own = "each has a section of its own" if every else f"{len(targets):,} have their own section"
    return (
        f"{plural(len(task.targets), 'task')} that differ only in their target, taken together; "
        f"{own}."
    )


def _folds(task: TaskBoard, *, pooled: bool, curves: bool) -> Iterator[Block | None]:
    if adjacent := tables.adjacent_table(task):
        sure = Text(notes.ADJACENT), adjacent, notes.stability_note(task)
        yield _fold("Each encoding and the next one", *sure)
    found = courses(task) if curves else {}
    if budget := tables.budget_table(task, found):
        over = common_note(found, "target") + finished_note(found) if task.targets else ""
        about = f"{notes.BUDGET}{over}"
        yield _fold("Shorter training, and time to quality", Text(about), budget)
    yield profile_figure(task, found)
    if curves and (bands := bands_figure(task)) and bands.panels:
        yield _fold("Error by spatial frequency during training", bands)
    yield _fold("Spectra at the start, middle and end", tables.spectra_table(task.rows))
    yield kernel_fold(task)
    # of a category, the table would show only a cell of the first target
    ablation = None if task.targets else tables.ablation_table(task)
    # left out for a target of a category: the category's table includes it, and reading is slow
    theorem = None if pooled else tables.theorem_table(task)
    yield _fold(
        "What the encoding adds to the kernel",
        ablation and Text(notes.ABLATION),
        ablation,
        levels_figure(task),
        notes.weyl_note(task),
        theorem and Text(notes.THEOREM),
        theorem,
    )
    yield _fold("Settings that are not the same for all", tables.settings_table(task))
    yield _fold("Time and memory", tables.cost_table(task))
