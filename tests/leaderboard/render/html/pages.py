"""Handmade pages for the HTML renderer: three tasks, eight entries, failures, hostile text."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from encbench_leaderboard.report.blocks import (
    Axis,
    Block,
    Column,
    Figure,
    Fold,
    Heading,
    Page,
    Panel,
    Pictures,
    Row,
    Section,
    Series,
    Table,
    Text,
    Tile,
    Value,
)
from PIL import Image

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>'\"&amp;<!--"
ENTRIES = (
    "identity",
    "ffe:levels=4",
    "ffe:levels=16",
    "mpe:resolutions=[32,64]",
    "hashgrid:levels=8,max_resolution=128,log2_hashmap_size=12",
    "siren",
    f"evil:label={HOSTILE}",
    "huge",
)
TASKS = ("image=chelsea", "image=coffee", f"image={HOSTILE}")
PSNR = (18.5, 25.25, 34.0, 41.0, 38.5, None, 30.0, None)
POINTS = 64
COMMAND = "encbench run --encoding ffe --levels 4 --seed 0"
BIBTEX = "@article{fourier,\n  title = {Fourier Features},\n}"

COLUMNS = (
    Column("rank", "#", help="Range of ranks that the data allow."),
    Column("encoding", "encoding", "code"),
    Column("status", "status", "text", first=False),
    Column("psnr", "PSNR [dB] ↑", help="At the end of training."),
    Column("parameters", "parameters"),
    Column("training", "training [s]"),
    Column("memory", "memory [MiB]", first=False),
    Column("custom", f"custom [{HOSTILE}]", help=HOSTILE, first=False),
    Column("reason", "reason", "text", first=False),
)


def page(folder: Path, *, hostile: bool = True, warnings: bool = True) -> Page:
    """A page with every kind of block; its pictures are written to a folder.

    Args:
        folder: for the pictures.
        hostile: an entry and a task whose names are full of markup.
        warnings: a warning at the top.
    """
    kept = [e for e in ENTRIES if hostile or HOSTILE not in e]
    tasks = [t for t in TASKS if hostile or HOSTILE not in t]
    blocks: list[Block] = []
    if warnings:
        blocks.append(Text("**These cells ran on 2 machines**: times differ.", "warning"))
    blocks += [
        Heading("Overview"),
        Text("*Mean rank* over tasks. See [the paper](https://example.org/paper)."),
        overview(kept),
        Heading("Tasks"),
        *(section(folder, task, place, kept) for place, task in enumerate(tasks)),
        Heading("How to read this page"),
        Text("- **PSNR ↑**: higher is better, in dB.\n- `λ_max`: the largest eigenvalue."),
        Fold("How to run this again", [Text(f"```\n{COMMAND}\n```")]),
    ]
    return Page("Standings of photographs", blocks, kept)


def overview(kept: list[str]) -> Table:
    columns = (Column("encoding", "encoding", "code"), Column("mean_rank", "mean rank ↓"))
    rows = [
        Row([Value(entry), Value(f"{place + 1}.00", place + 1.0)], entry)
        for place, entry in enumerate(kept)
    ]
    return Table("overview", columns, rows)


def section(folder: Path, task: str, place: int, kept: list[str]) -> Section:
    pictures = [Tile(picture(folder, f"target{place}"), "target", None)]
    pictures += [
        Tile(picture(folder, f"{place}-{i}"), "prediction", entry, f"PSNR {PSNR[i]} dB")
        for i, entry in enumerate(kept[:4])
    ]
    return Section(
        f"task-{place}",
        f"image:{task}",
        [
            standings(kept, place),
            Text("Means are of *one* seed.", "note"),
            Fold("Each encoding beside the next one", [overview(kept)]),
            figure("spectra", "NTK spectra", lambda: [spectra(kept)], kept[:5]),
            figure("curves", "training curves", lambda: [curves(kept)], kept[:6]),
            figure("cost", "quality against cost", lambda: costs(kept), kept[:6]),
            Pictures("pictures", "Side by side", "Target and prediction.", pictures),
        ],
        targets=["task-1"] if place == 0 else [],
    )


def figure(name: str, title: str, build: Callable[[], list[Panel]], named: Sequence[str]) -> Figure:
    styles = {"dotted": "start", "solid": "end"} if name == "spectra" else {}
    legend = {entry: f"{entry}\n3 of 64 ≤ floor" for entry in named}
    return Figure(name, title, "What *all* of it means.", build, legend, styles)


def standings(kept: list[str], place: int = 0) -> Table:
    rows = []
    for i, entry in enumerate(kept):
        psnr = PSNR[ENTRIES.index(entry)]
        status = {None: "diverged" if entry == "siren" else "failed"}.get(psnr, "ok")
        shown = None if psnr is None else psnr - place
        values = [
            Value("–", None) if shown is None else Value(f"({i + 1})", i + 1.0),
            Value(entry),
            Value(status),
            Value("–", None) if shown is None else Value(f"{shown:.2f} ± 0.30", shown),
            Value(f"{2000 * (i + 1):,}", 2000.0 * (i + 1)),
            Value(f"{9.5 + i}", 9.5 + i),
            Value(f"{500 + i}", 500.0 + i),
            Value(f"{i} {HOSTILE}", float(i)),
            Value("" if shown is not None else f"in training: no room {HOSTILE}"),
        ]
        rows.append(Row(values, entry, {status: 1}, partial(details, entry, shown)))
    return Table("standings", COLUMNS, rows)


def details(entry: str, psnr: float | None) -> list[Block]:
    cells = Table(
        "cells",
        (Column("seed", "seed"), Column("psnr", "PSNR [dB]"), Column("again", "again", "code")),
        [Row([Value("0", 0.0), Value("–" if psnr is None else f"{psnr:.4f}"), Value(COMMAND)])],
        "Cells",
    )
    return [cells, Text(f"```\n{BIBTEX}\n```")]


def spectra(kept: list[str]) -> Panel:
    index = np.arange(1.0, POINTS + 1)
    series = []
    for i, entry in enumerate(kept[:5]):
        values = 10.0 ** (2 - (i + 1) * index / POINTS * 3)
        seen = values > 1e-9
        for label, factor in (("start", 0.5), ("end", 1.0)):
            series.append(
                Series(
                    entry,
                    index[seen],
                    factor * values[seen],
                    style="solid" if label == "end" else "dotted",
                    label=label,
                    low=0.8 * factor * values[seen] if label == "end" else None,
                    high=1.2 * factor * values[seen] if label == "end" else None,
                    end="" if seen.all() else "cut",
                )
            )
    x, y = Axis("index of the eigenvalue"), Axis("eigenvalue λ", "log")
    return Panel(x, y, series, floor=(1e-9, 1e-8))


def curves(kept: list[str]) -> Panel:
    step = np.arange(1.0, 201)
    series = [
        Series(
            entry,
            step,
            (i + 1) * np.exp(-step / 40) + 1e-3,
            label="seed 0",
            other_x={"epochs": step / 10, "seconds": step * 0.02 * (i + 1)},
            end="stopped" if entry == "siren" else "",
        )
        for i, entry in enumerate(kept)
    ]
    return Panel(Axis("optimizer step"), Axis("training loss", "log"), series)


def costs(kept: list[str]) -> list[Panel]:
    found = [(i, e, PSNR[ENTRIES.index(e)]) for i, e in enumerate(kept)]
    panels = []
    for title, scale in (("parameters", 2000.0), ("training [s]", 9.5)):
        points = [
            Series(
                entry,
                np.array([scale * (i + 1)]),
                np.array([psnr]),
                "points",
                low=np.array([psnr - 0.5]),
                high=np.array([psnr + 0.5]),
                faint=i == 4,
            )
            for i, entry, psnr in found
            if psnr is not None
        ]
        best = [p for p in points if all(q.y < p.y for q in points if q.x < p.x)]
        front = Series(
            "",
            np.concatenate([p.x for p in best]),
            np.concatenate([p.y for p in best]),
            "steps",
            label="Pareto front",
        )
        # A unit comes from a plug-in.
        y = Axis(f"custom {HOSTILE}" if HOSTILE in "".join(kept) else "PSNR [dB] ↑")
        panels.append(Panel(Axis(title, "log"), y, [front, *points], title))
    return panels


def picture(folder: Path, name: str) -> Path:
    """A picture of a gradient, different for each name."""
    file = folder / f"{name}.png"
    rows, columns = np.mgrid[0:48, 0:67]
    shift = zlib.crc32(name.encode())
    values = np.stack([rows * 5 + shift, columns * 3, (rows + columns) * 2], axis=-1) % 256
    with io.BytesIO() as buffer:
        Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
        file.write_bytes(buffer.getvalue())
    return file


def many_entries(entries: int, sections: int, *, seeds: int = 5, drawn: int = 25) -> Page:
    """A page of entries × sections × seeds records, each with its own details."""
    names = [f"ffe:levels={i}" for i in range(entries)]
    rng = np.random.default_rng(0)
    columns = [*COLUMNS, *(Column(f"extra{i}", f"extra {i}", first=False) for i in range(8))]
    cells = (Column("seed", "seed"), Column("psnr", "PSNR [dB]"), Column("key", "key", "code"))

    cite = Text(f"```\n{BIBTEX}\n```")

    def rows() -> list[Row]:
        made = []
        for i, entry in enumerate(names):
            psnr = 20 + 15 * i / entries + rng.normal()
            table = Table(
                "cells",
                cells,
                [
                    Row([Value(str(s), s), Value(f"{psnr:.4f}"), Value(f"{COMMAND} --seed {s}")])
                    for s in range(seeds)
                ],
            )
            numbers = [Value(f"{v:.4f}", float(v)) for v in rng.normal(size=8)]
            values = [
                Value(str(i + 1), i + 1.0),
                Value(entry),
                Value("ok"),
                Value(f"{psnr:.2f}", psnr),
                *(Value(f"{i * k:,}", float(i * k)) for k in (100, 200, 300, 400)),
                Value(""),
                *numbers,
            ]
            made.append(Row(values, entry, {"ok": seeds}, partial(list, [table, cite])))
        return made

    blocks: list[Block] = [
        Section(
            f"task-{s}",
            f"image:image={s:03d}.png",
            [
                Table("standings", columns, rows()),
                figure("spectra", "NTK spectra", lambda: [spectra(names[:drawn])], names[:10]),
                figure("curves", "training curves", lambda: [curves(names[:drawn])], names[:10]),
            ],
        )
        for s in range(sections)
    ]
    return Page("Many records", blocks, names)
