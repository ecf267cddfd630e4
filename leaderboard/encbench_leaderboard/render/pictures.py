"""Draw the figures of a page into files beside it."""

from __future__ import annotations

import gc
import itertools
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from encbench.results import palette
from encbench.results.palette import Look, colours
from encbench.runs.forked import in_processes
from encbench_leaderboard.report.blocks import (
    Block,
    Figure,
    Page,
    Pictures,
    PictureTable,
    Section,
    walk,
)
from encbench_leaderboard.report.format import link_to

MAX_ALL_DRAWN = 8
"""Maximum number of tasks and categories that are all drawn; a picture takes half a second."""
DRAWN_OF_MORE = 2
"""Number of tasks and categories that are drawn if there are more."""
FORMATS = ("png", "svg", "pdf", "webp")
KINDS = (
    *("sheet", "lines", "spectra", "energy", "levels"),
    *("curves", "bands", "profile", "cost", "rates"),
)
MAX_DRAWERS = 8
"""Maximum number of processes that draw, of about 100 MB each."""
DRAWN_BY = ("panels", "picture_grid", "style")
KEY = b"encbench\0"
END = 12
"""Length of the chunk that ends a PNG [bytes]."""
CHUNK = 12 + len(KEY) + 64


def chosen(page: Page, *, every: bool = False, small: bool = False) -> list[Section]:
    """Return the tasks and categories to draw: all if they are few, else the first
    ``DRAWN_OF_MORE``. Categories come first, since they summarize their tasks, then tasks that are
    in no category, then targets of categories. ``small`` leaves out all targets of categories."""
    groups = {section.name for section in page.groups}
    found = sorted(page.sections, key=lambda one: (not one.targets, one.name not in groups))
    if small:
        return [section for section in found if section.name in groups]
    return found if every or len(found) <= MAX_ALL_DRAWN else found[:DRAWN_OF_MORE]


def draw(
    page: Page,
    folder: Path,
    *,
    formats: Sequence[str] = ("png",),
    every: bool = False,
    small: bool = False,
) -> Mapping[tuple[str, str], str]:
    """Draw the chosen sections into a folder, and remove pictures of an earlier page. A PNG that is
    up to date is not drawn again.

    Returns:
        Links from the page to the pictures in the first format, by (name of the section, or "" for
        the page itself; name of the block).

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(exist_ok=True)
    looks, drawn_by = colours(page.entries), _drawn_by()
    jobs: dict[tuple[str, str], _Job] = {}
    sections = chosen(page, every=every, small=small)
    blocks: list[tuple[str, Block]] = [(s.name, b) for s in sections for b in walk([s])]
    blocks += [("", block) for block in page.blocks]
    for section, block in blocks:
        if isinstance(block, Figure) and block.panels:
            # computed here once; a process that draws gets the data alone
            block = replace(block, build=partial(list, block.panels))
        elif not isinstance(block, Pictures | PictureTable):
            continue
        name = f"{section}-{block.name}" if section else block.name
        files = [folder / f"{name}.{suffix}" for suffix in formats]
        jobs[section, block.name] = _Job(block, looks, files, drawn_by + _shown(block, looks))
    png = list(formats) == ["png"]
    outdated = {n: j for n, j in jobs.items() if not (png and is_current(j.files[0], j.shown))}
    drawn = dict(zip(outdated, _draw_all(list(outdated.values())), strict=True))
    jobs = {name: job for name, job in jobs.items() if drawn.get(name, True)}
    kept = {file for job in jobs.values() for file in job.files}
    # A picture left over from an earlier page would seem to belong to this one.
    names = (section.name for section in page.sections)
    stems = ["map", *(f"{name}-{kind}" for name, kind in itertools.product(names, KINDS))]
    for stem, suffix in itertools.product(stems, FORMATS):
        file = folder / f"{stem}.{suffix}"
        if file not in kept:
            file.unlink(missing_ok=True)
    return {name: link_to(f"{folder.name}/{job.files[0].name}") for name, job in jobs.items()}


@dataclass(frozen=True)
class _Job:
    block: Figure | Pictures | PictureTable
    looks: Mapping[str, Look]
    files: Sequence[Path]
    shown: bytes


def _draw_all(jobs: Sequence[_Job]) -> list[bool]:
    """Draw in several processes; return for each job whether there was something to draw."""
    if not jobs:
        return []
    # takes a second, so it is not imported if every picture is current
    from encbench_leaderboard.render import style

    # Figures hold reference cycles, so each is collected; that is fast with the page's data frozen.
    frozen = gc.get_freeze_count()
    gc.freeze()
    try:
        with style.quiet():
            return list(in_processes(_draw, jobs, MAX_DRAWERS))
    finally:
        if not frozen:  # objects that the caller froze stay frozen
            gc.unfreeze()


def _draw(job: _Job) -> bool:
    """Draw and save one picture; False if there is nothing to draw."""
    from encbench_leaderboard.render import style
    from encbench_leaderboard.render.panels import plot
    from encbench_leaderboard.render.picture_grid import contact_sheet, picture_table

    block = job.block
    match block:
        case Figure():
            drawn = plot(block, job.looks)
        case Pictures():
            drawn = contact_sheet(block)
        case PictureTable():
            drawn = picture_table(block)
    if drawn is None:
        return False
    for file in style.save(drawn, job.files):
        if file.suffix == ".png":
            file.write_bytes(stamped(file.read_bytes(), job.shown))
    del drawn
    gc.collect()
    return True


def _drawn_by() -> bytes:
    """Return what all pictures of a page depend on: versions, and the code that draws."""
    code = [Path(palette.__file__), *(Path(__file__).with_name(f"{name}.py") for name in DRAWN_BY)]
    return json.dumps([version("encbench"), version("matplotlib"), code], default=_plain).encode()


def _shown(block: Figure | Pictures | PictureTable, looks: Mapping[str, Look]) -> bytes:
    """Return what else a picture depends on: data, looks, and pictures of records."""
    shown: list[object] = []
    match block:
        case Figure():
            named = {entry: looks[entry] for entry in block.legend}
            shown += [block.panels, block.legend, named, block.styles]
        case PictureTable():
            shown += [block.columns, block.rows]
        case Pictures():
            drawn = {"prediction"} if block.differences else {"prediction", "error"}
            shown += [tile for tile in block.tiles if tile.entry is None or tile.name in drawn]
    return json.dumps(shown, default=_plain).encode()


def _plain(value: Any) -> object:
    """Convert for JSON: a file to the hash of its bytes, a block to its fields, arrays to lists."""
    if isinstance(value, Path):
        return _hash(value.read_bytes())
    return vars(value) if is_dataclass(value) else value.tolist()


def stamped(png: bytes, shown: bytes) -> bytes:
    """Add to a PNG, in a text chunk before its end, a hash of its bytes and of what it shows."""
    chunk = b"tEXt" + KEY + _hash(shown + png).encode()
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return png[:-END] + length + chunk + check + png[-END:]


def is_current(file: Path, shown: bytes) -> bool:
    """Whether a file is the stamped picture of ``shown``: not edited, truncated or outdated."""
    if not file.is_file():
        return False
    png = file.read_bytes()
    return png == stamped(png[: -END - CHUNK] + png[-END:], shown)


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
