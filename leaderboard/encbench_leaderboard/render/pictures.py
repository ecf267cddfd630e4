"""The figures of a page as files beside it."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from encbench.errors import UsageError
from encbench_leaderboard.render import style
from encbench_leaderboard.render.contact_sheet import contact_sheet
from encbench_leaderboard.render.plot import plot
from encbench_leaderboard.report.blocks import Figure, Page, Pictures, Section, walk

EVERY = 8
"""Tasks and categories up to which all are drawn; a picture takes half a second."""
FEW = 2
"""Tasks and categories that are drawn where there are more."""
FORMATS = ("png", "svg", "pdf")
KINDS = ("sheet", "spectra", "curves", "cost")
KEPT = 8
"""Figures that wait to be collected, of some 20 MB each."""


def chosen(page: Page, *, every: bool = False) -> list[Section]:
    """The tasks and categories to draw: all where they are few, or else the first. Categories come
    first, for they speak for their tasks, then tasks that are in none, then the first target of
    each category, the second and so on."""
    sections = [block for block in page.blocks if isinstance(block, Section)]
    inside = {name for section in sections for name in section.targets}
    found = sorted(sections, key=lambda section: (not section.targets, section.name in inside))
    return found if every or len(found) <= EVERY else found[:FEW]


def draw(
    page: Page, folder: Path, *, formats: Sequence[str] = ("png",), every: bool = False
) -> Mapping[tuple[str, str], str]:
    """Draw what is chosen into a folder, and remove pictures of an earlier page.

    Returns:
        (name of the section, name of the block) to the link from the page, to the first format.

    Raises:
        OSError: the folder cannot be written.
        UsageError: there is no such format.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"no pictures of format {name!r}, expected {', '.join(FORMATS)}")
    folder.mkdir(exist_ok=True)
    looks = style.colours(page.entries)
    links: dict[tuple[str, str], str] = {}
    kept = set()
    with style.quiet():
        for section in chosen(page, every=every):
            for block in walk(section.blocks):
                if not isinstance(block, Figure | Pictures):
                    continue
                drawn = plot(block, looks) if isinstance(block, Figure) else contact_sheet(block)
                if drawn is None:
                    continue
                stem = f"{section.name}-{block.name}"
                files = style.save(drawn, [folder / f"{stem}.{suffix}" for suffix in formats])
                kept |= set(files)
                links[section.name, block.name] = quote(f"{folder.name}/{files[0].name}")
                # A figure's parts hold one another, and nobody collects them meanwhile.
                if len(links) % KEPT == 0:
                    del drawn
                    gc.collect()
    # An earlier page's picture of what was not drawn now would seem to belong to this one.
    names = [block.name for block in page.blocks if isinstance(block, Section)]
    for name, kind, suffix in itertools.product(names, KINDS, FORMATS):
        file = folder / f"{name}-{kind}.{suffix}"
        if file not in kept:
            file.unlink(missing_ok=True)
    return links
