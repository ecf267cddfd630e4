"""Predictions of the networks: pictures, functions of one variable, and a table of thumbnails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from encbench.results.records import StoredRecord
from encbench.results.value_text import fixed, quantity, value_text
from encbench_leaderboard.board.facts import Facts
from encbench_leaderboard.board.overview import Overview
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import (
    Axis,
    Figure,
    Panel,
    Pictures,
    PictureTable,
    Series,
    Thumbnail,
    Tile,
    picture_size,
    truth_limits,
)
from encbench_leaderboard.report.figures.selection import (
    MAX_ENTRIES,
    SHOWN,
    best_note,
    finished_with_arrays,
    first_cells,
    has_arrays,
)
from encbench_leaderboard.report.format import code, listed, plain

TARGET = "target"
TRAINING = "training"
"""Pictures that all records of a task share: the target, and the training data if they differ from
it."""
PREDICTION = "prediction"
FIRST = (TARGET, PREDICTION, "error")
OF_VALUES = {"psnr", "psnr_held_out", "ms_ssim", "depth_psnr"}
"""Metrics of tasks whose pictures show the values themselves, not a colour map of them."""
PREFIX = "line."
LINE_PANELS = 4
LINE_POINTS = 1000
"""Maximum number of points of a line: more than a panel is wide [px]."""
FEWEST_COLUMNS = 3
ROWS = 100
COLUMNS = 16
THUMBNAIL_POINTS = 200
"""Maximum number of points of a line in a thumbnail."""


def sheet(task: TaskBoard) -> Pictures | None:
    """The target and all pictures of the best entries, from the first seed that finished. An entry
    without a readable prediction of the target's size is left out and named in the caption. None if
    no entry has one. For a category, the pictures of its first target."""
    if task.targets:
        first = sheet(task.targets[0])
        # the label is last, since pages capitalize the first letter of titles
        return first and replace(first, title=f"{first.title}: {task.targets[0].label}")
    target: Tile | None = None
    size: tuple[int, int] | None = None
    tiles: list[Tile] = []
    training: list[Tile] = []
    missing: dict[str, str] = {}
    shown = 0
    for entry in task.standings["entry"]:
        facts = task.facts_of_entry(entry)
        stored = next((one.stored for one in facts if _complete(one)), None)
        if stored is None:
            missing[entry] = _why_without(facts)
            continue
        if target is None:
            size = picture_size(stored.path / f"{TARGET}.png")
            if size is None:
                missing[entry] = _damaged(stored, TARGET)
                continue
            target = Tile(stored.path / f"{TARGET}.png", TARGET, None)
            if TRAINING in _names(stored):
                training = [Tile(stored.path / f"{TRAINING}.png", TRAINING, None)]
        made = picture_size(stored.path / f"{PREDICTION}.png")
        if made != size:
            missing[entry] = (
                "of another size than the target" if made else _damaged(stored, PREDICTION)
            )
            continue
        caption = _caption(task, stored)
        tiles += [
            Tile(stored.path / f"{name}.png", name, entry, caption)
            for name in _names(stored)
            if name not in (TARGET, TRAINING)
            and (name == PREDICTION or picture_size(stored.path / f"{name}.png"))
        ]
        shown += 1
        if shown == MAX_ENTRIES:
            break
    if target is None or not tiles:
        return None
    named = " / ".join(plain(metric.title) for metric in task.metrics[:2])
    differences = bool(OF_VALUES & {metric.name for metric in task.metrics})
    errors = (
        "absolute error on one common square-root scale"
        if differences
        else "error as the task draws it"
    )
    trained_on = ", what was trained on (grey where nothing was)" if training else ""
    return Pictures(
        "sheet",
        "target, predictions and errors side by side",
        f"The target, and the prediction of each encoding with its {named}."
        f"{_without_picture(missing)}",
        [target, *tiles, *training],
        f"Top row of a block: target{trained_on} and predictions. Below: the marked window, where "
        f"the target varies most, magnified; and the {errors}.",
        differences,
    )


def _complete(one: Facts) -> bool:
    return one.status == "ok" and set(_names(one.stored)) >= {TARGET, PREDICTION}


def _why_without(facts: Sequence[Facts]) -> str:
    finished = [one.stored for one in facts if one.status == "ok"]
    if not finished:
        return _ends_in_words(facts)
    lost = (
        _damaged(stored, name)
        for stored in finished
        for name in (TARGET, PREDICTION)
        if f"{name}.png" in stored.damaged
    )
    return next(lost, "none recorded")


def _ends_in_words(facts: Sequence[Facts]) -> str:
    return " or ".join(sorted({one.status.replace("_", " ") for one in facts}))


def _without_picture(missing: dict[str, str]) -> str:
    if not missing:
        return ""
    named = [f"{code(entry)} ({plain(why)})" for entry, why in missing.items()]
    return f" Without a picture: {listed(named, SHOWN)}."


def _names(stored: StoredRecord) -> list[str]:
    """Names of a record's pictures: target, prediction, error, then others."""
    names = {name.removesuffix(".png") for name in stored.files if name.endswith(".png")}
    return [*(name for name in FIRST if name in names), *sorted(names - set(FIRST))]


def _damaged(stored: StoredRecord, name: str) -> str:
    flat = stored.path.parent.name == "records"
    place = "/".join(stored.path.parts[-2 if flat else -3 :])
    return f"{place}/{name}.png is damaged"


def _caption(task: TaskBoard, stored: StoredRecord) -> str:
    """The first two metrics of the cell: "41.2 dB / 0.997"."""
    numbers = []
    for metric in task.metrics[:2]:
        recorded = stored.record.metrics.get(metric.name)
        if recorded is not None and recorded.value is not None:
            if metric.unit != "dB" and not metric.can_collapse:
                numbers.append(quantity(recorded.value, metric))
                continue
            places = 1 if metric.unit == "dB" else 3
            # 0.99987 is no exact fit
            while metric.can_collapse and recorded.value < 1 == round(recorded.value, places):
                places += 1
            numbers.append(f"{fixed(recorded.value, places)} {metric.unit}".rstrip())
    return " / ".join(numbers)


def lines_figure(task: TaskBoard) -> Figure | None:
    """A panel for each line of the task's ``Outcome.lines`` and each of its channels, with the
    truth in grey and a line per entry, from its first seed that finished. The figure has no panels
    if the records have no lines; None for a category, whose targets differ."""
    if task.targets:
        return None
    entries = first_cells(task, finished_with_arrays)
    if not entries:
        return None
    return Figure(
        "lines",
        "the learned function, and its truth",
        "Predictions of the first finished seed of each encoding, which may leave the picture; in "
        f"grey the truth, if there is one.{best_note(task)}",
        lambda: _line_panels(entries),
        {entry: entry for entry in list(entries)[:SHOWN]},
    )


def _line_panels(entries: Mapping[str, StoredRecord]) -> list[Panel]:
    found: dict[tuple[str, int], list[Series]] = {}
    titles: dict[str, tuple[str, str]] = {}
    for entry, stored in entries.items():
        titles |= stored.record.line_titles
        for name, columns in _lines(stored, LINE_POINTS):
            x, made, truth = columns[:, 0], *np.split(columns[:, 1:].T, 2)
            for channel in range(len(made)):
                known = np.isfinite(truth[channel]).any()
                first = [Series("", x, truth[channel], label="truth")] if known else []
                found.setdefault((name, channel), first).append(Series(entry, x, made[channel]))
    several = {name for name, channel in found if channel}
    panels = []
    for (name, channel), series in list(found.items())[:LINE_PANELS]:
        below, left = titles.get(name, ("x", name))
        x_axis = Axis(below, limits=_ends(series[0].x))
        left = f"{left}, channel {channel}" if name in several else left
        limits = None if series[0].entry else truth_limits(series[0].y)
        panels.append(Panel(x_axis, Axis(left, limits=limits), series))
    return panels


def _lines(stored: StoredRecord, most: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and columns x, predictions and truths (n, 1 + 2·O) of each line, with n ≤ ``most``."""
    for name, columns in stored.arrays.items():
        whole = columns.ndim == 2 and len(columns) and columns.shape[1] % 2
        if name.startswith(PREFIX) and whole:
            columns = columns[columns[:, 0].argsort(kind="stable")]
            kept = np.linspace(0, len(columns) - 1, min(most, len(columns))).round().astype(int)
            yield name.removeprefix(PREFIX), columns[kept]


def _ends(x: np.ndarray) -> tuple[float, float] | None:
    """Limits of x from a panel's own points, with a margin: lines may cover different ranges."""
    room = 0.02 * (x[-1] - x[0])
    return (float(x[0] - room), float(x[-1] + room)) if room > 0 else None


def thumbnails(found: Overview) -> PictureTable | None:
    """A row per entry, by mean rank, and a column per task, with the picture or curve of the first
    seed that finished; for a category, of its first target. None for fewer than ``FEWEST_COLUMNS``
    tasks, or if no record has a picture or curve."""
    groups = found.groups[:COLUMNS]
    if len(groups) < FEWEST_COLUMNS:
        return None
    columns = [_column(found, number, group) for number, group in enumerate(groups)]
    rows = [(entry, [column[1].get(entry) for column in columns]) for entry in found.entries[:ROWS]]
    if not any(one and (one.file or one.line is not None) for _, row in rows for one in row):
        return None
    present = ("encodings", ROWS, found.entries), ("tasks", COLUMNS, found.groups)
    left_out = "".join(
        f" The first {most} of {len(items)} {what}."
        for what, most, items in present
        if len(items) > most
    )
    return PictureTable(
        "map",
        "the prediction of each encoding on each task",
        "By mean rank. The value is that of the standings; darker means a better rank on the task. "
        f"The picture is of the first finished seed.{left_out}",
        [(group.label, group.primary.heading) for group in groups],
        [("", [column[0] for column in columns]), *rows],
    )


def _column(
    found: Overview, number: int, group: TaskBoard
) -> tuple[Thumbnail | None, dict[str, Thumbnail]]:
    """Thumbnails of a task's target and of each entry."""
    task = group.targets[0] if group.targets else group
    ranks = dict(zip(found.entries, found.ranks[:, number], strict=True))
    finished = {row["entry"]: row for row in group.rows if row["n"] > 0}
    last = max((ranks[entry] for entry in finished if math.isfinite(ranks[entry])), default=1.0)
    target: Thumbnail | None = None
    made = {}
    for entry in group.standings["entry"]:
        if entry not in finished:
            made[entry] = Thumbnail(_ends_in_words(group.facts_of_entry(entry)))
            continue
        text = value_text(finished[entry][f"metric:{group.primary.name}"], group.primary)
        standing = (last - ranks[entry]) / (last - 1) if last > 1 else math.nan
        facts = task.facts_of_entry(entry)
        stored = next((one.stored for one in facts if one.status == "ok"), None)
        file = _picture(stored, PREDICTION)
        line = None if file else _first_line(stored)
        made[entry] = Thumbnail(text, file, line, standing)
        if target is None and (shown := _picture(stored, TARGET)):
            target = Thumbnail("target", shown)
        elif target is None and line is not None:
            target = Thumbnail("target", line=line[:, [0, 2, 2]])
    return target, made


def _picture(stored: StoredRecord | None, name: str) -> Path | None:
    """A picture of a record; None if there is no readable one."""
    file = stored.path / f"{name}.png" if stored and f"{name}.png" in stored.files else None
    return file if file and picture_size(file) else None


def _first_line(stored: StoredRecord | None) -> np.ndarray | None:
    """x, prediction and truth of the first line's first channel, (n, 3); None without a line."""
    lines = _lines(stored, THUMBNAIL_POINTS) if stored and has_arrays(stored) else iter(())
    columns = next((columns for _, columns in lines), None)
    return None if columns is None else columns[:, [0, 1, 1 + columns.shape[1] // 2]]
