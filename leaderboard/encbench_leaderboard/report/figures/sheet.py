"""The pictures of a task: the target, and each encoding's prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Pictures, Tile
from encbench_leaderboard.report.figures.selection import MOST, SHOWN
from encbench_leaderboard.report.format import code, fixed, plain

TARGET = "target"
TRAINING = "training"
"""Pictures that all records of a task share; the second one is what a network was given, where that
is not the target."""
PREDICTION = "prediction"
FIRST = (TARGET, PREDICTION, "error")
OF_VALUES = {"psnr", "psnr_held_out", "ms_ssim", "depth_psnr"}
"""Metrics of tasks whose pictures have the values themselves, and not colours that stand for
them."""


def sheet(task: TaskBoard) -> Pictures | None:
    """The target, and all pictures of the best entries: of each the first seed that finished. An
    entry without a readable prediction of the target's size is left out, and the caption names it.
    None where no entry has one. Of a category those of its first target."""
    if task.targets:
        first = sheet(task.targets[0])
        # the name last: pages begin titles with a capital letter
        return first and replace(first, title=f"{first.title}: {task.targets[0].label}")
    target: tuple[Path, tuple[int, int]] | None = None
    tiles: list[Tile] = []
    shared: list[Tile] = []
    missing: dict[str, str] = {}
    shown = 0
    for entry in task.standings["entry"]:
        records = task.of_entry(entry)
        finished = [stored for stored in records if stored.record.status == "ok"]
        stored = next((r for r in finished if set(_names(r)) >= {TARGET, PREDICTION}), None)
        if stored is None:
            ends = sorted({r.record.status.replace("_", " ") for r in records})
            lost = [
                _damaged(stored, name)
                for stored in finished
                for name in (TARGET, PREDICTION)
                if f"{name}.png" in stored.damaged
            ]
            missing[entry] = (lost or ["none recorded"])[0] if finished else " or ".join(ends)
            continue
        if target is None:
            size = picture_size(stored.path / f"{TARGET}.png")
            if size is None:
                missing[entry] = _damaged(stored, TARGET)
                continue
            target = stored.path / f"{TARGET}.png", size
            if TRAINING in _names(stored):
                shared.append(Tile(stored.path / f"{TRAINING}.png", TRAINING, None))
        made = picture_size(stored.path / f"{PREDICTION}.png")
        if made != target[1]:
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
        if shown == MOST:
            break
    if target is None or not tiles:
        return None
    named = " / ".join(plain(metric.title) for metric in task.metrics[:2])
    differences = bool(OF_VALUES & {metric.name for metric in task.metrics})
    errors = (
        "and the absolute error on one common scale"
        if differences
        else "and the error as the task draws it"
    )
    return Pictures(
        "sheet",
        "target, predictions and errors side by side",
        f"The target, and the prediction of each encoding with its {named}."
        f"{_without_picture(missing)}",
        [Tile(target[0], TARGET, None), *tiles, *shared],
        f"Top row of a block: target{_of_training(shared)} and predictions. Below: the marked "
        f"window, where the target varies most, magnified; {errors}.",
        differences,
    )


def _of_training(shared: list[Tile]) -> str:
    return ", what was trained on (grey where nothing was)" if shared else ""


def _without_picture(missing: dict[str, str]) -> str:
    if not missing:
        return ""
    named = [f"{code(entry)} ({plain(why)})" for entry, why in missing.items()]
    more = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
    return f" Without a picture: {', '.join(named[:SHOWN])}{more}."


def _names(stored: StoredRecord) -> list[str]:
    """Names of a record's pictures: the target, what the network made, its error, others."""
    names = {name.removesuffix(".png") for name in stored.files if name.endswith(".png")}
    return [*(name for name in FIRST if name in names), *sorted(names - set(FIRST))]


def picture_size(file: Path) -> tuple[int, int] | None:
    """Width and height [px]; None where the file is no picture, or half of one."""
    try:
        # Half a file with other bytes behind it decodes to something; its checksums tell.
        with Image.open(file) as image:
            image.verify()
            return image.size
    # pillow raises all of these
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


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
            places = 1 if metric.unit == "dB" else 3
            numbers.append(f"{fixed(recorded.value, places)} {metric.unit}".rstrip())
    return " / ".join(numbers)
