"""Results folders of any number of records, without training anything.

    python -m tests.benchmarks.synthetic DIR 25 400 10

makes 100,000 cells: 25 encodings × 400 images × 10 seeds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from encbench.suite.config import CellConfig, cell_key
from tests.leaderboard.results import Results

POINTS = 256
ORIGINALS = 25
"""Records that the store writes; the others are copies with other numbers."""


def synthetic_cells(encodings: int, images: int, seeds: int) -> Iterator[CellConfig]:
    """Cells as a plan of a folder of photographs has them; there are no such photographs."""
    for image in range(images):
        picture = f"images/{image:03d}.png"
        task = {
            "name": "image",
            "label": f"image:image={picture},side=128",
            "parameters": {"image": picture, "side": 128, "channels": "auto"},
        }
        for levels in range(encodings):
            encoding = {
                "name": "ffe",
                "label": f"ffe:levels={levels}",
                "parameters": {"levels": levels},
            }
            of = {"distribution": "encbench", "version": "0.1.0"}
            one = CellConfig.model_validate(
                {
                    "encoding": encoding | of,
                    "task": task | of,
                    "network": {"width": 512, "depth": 2},
                    "training": {"epochs": 100},
                    "ntk": {"points": POINTS},
                    "data_hash": f"{image:064x}",
                }
            )
            for seed in range(seeds):
                yield one.model_copy(update={"seed": seed})


def write_records(directory: Path, cells: Iterable[CellConfig]) -> int:
    """A finished record of each cell; returns how many.

    The store writes some records with arrays and pictures. Every other one is a copy of one of
    them with another cell, quality and time, whose arrays and pictures are links to the
    original's: on disk it differs from a run's in nothing that a reader sees.
    """
    results = Results(directory)
    originals = [
        results.add(f"ffe:levels={i}", points=POINTS, decades=6.0 + 12.0 * i / ORIGINALS, side=32)
        for i in range(ORIGINALS)
    ]
    texts = [json.loads((r.path / "record.json").read_text(encoding="utf-8")) for r in originals]
    manifests = [json.loads((r.path / "manifest.json").read_text()) for r in originals]
    rng = np.random.default_rng(0)
    made = 0
    for cell in cells:
        made += 1
        levels = cell.encoding.parameters.get("levels", 0)
        original, data, manifest = (of[levels % ORIGINALS] for of in (originals, texts, manifests))
        key = data["key"] = cell_key(cell)
        data["cell"] = cell.model_dump(mode="json")
        data["parameters"] = {"mlp": 265_731, "encoding": 400 * levels}
        data["metrics"]["psnr"]["value"] = 20.0 + levels / 2 + rng.normal(0, 2)
        data["durations"]["training"] = 10 + rng.random()
        folder = results.store.place(key)
        folder.mkdir(parents=True)
        for name in original.files:
            os.link(original.path / name, folder / name)
        content = json.dumps(data).encode()
        (folder / "record.json").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        manifest["record.json"] = {"size": len(content), "sha256": sha256}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    for stored in originals:
        results.store.remove(stored.record.key)
    return made


def settle(directory: Path) -> None:
    """Make all files some seconds old: records that change are not remembered by the index."""
    for folder in (directory / "records").glob("??/*"):
        for file in folder.iterdir():
            os.utime(file, (1e9, 1e9))


if __name__ == "__main__":
    folder, *counts = sys.argv[1:]
    print(write_records(Path(folder), synthetic_cells(*map(int, counts))))
