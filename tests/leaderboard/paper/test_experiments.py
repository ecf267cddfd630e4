"""Experiments for the paper: planned at full scale, run at the smallest, and errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from encbench_leaderboard.paper.experiments import SCALES, experiments, wanted_items
from encbench_leaderboard.paper.reproduce import reproduce
from encbench_leaderboard.paper.synsets import synset_images
from PIL import Image
from typer.testing import CliRunner

from encbench.errors import UsageError
from encbench.plugins.registry import default_registry
from encbench.suite.plan import plan

REGISTRY = default_registry()


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def synsets(tmp_path: Path) -> Path:
    """Three synsets with images of several formats, one of them broken, and one without."""
    folder = tmp_path / "train"
    for name in ("n01/a.png", "n01/b.JPEG", "n02/c.webp", "n03/d.tiff"):
        picture(folder / name)
    (folder / "n03/d.tiff").write_bytes(b"II*\0 cut short")
    (folder / "n04").mkdir()
    return folder


def test_a_synset_gives_one_image_and_what_cannot_be_read_is_named(synsets: Path) -> None:
    found, notes = synset_images(synsets, 100, 16, REGISTRY)
    assert [Path(one["image"]).parent.name for one in found] == ["n01", "n02"]
    assert all(one["side"] == 16 for one in found)
    assert any("d.tiff" in note for note in notes)
    assert any("n04 holds no image" in note for note in notes)
    assert any("2 synsets with an image; 100 are wanted" in note for note in notes)
    assert synset_images(synsets, 100, 16, REGISTRY) == (found, notes)


def test_images_smaller_than_the_side_stay_as_they_are(synsets: Path) -> None:
    found, _ = synset_images(synsets, 1, 64, REGISTRY)
    assert "side" not in found[0]


@pytest.mark.parametrize("inside", [None, "notes.txt"])
def test_a_folder_without_images_is_refused(tmp_path: Path, inside: str | None) -> None:
    folder = tmp_path / "none"
    if inside:
        (folder / "n01").mkdir(parents=True)
        (folder / "n01" / inside).touch()
    with pytest.raises(UsageError, match=r"--images .*[gG]ive a folder"):
        experiments(SCALES["smoke"], ["table2"], folder, (), REGISTRY)


def test_a_misspelt_item_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="'tabel3' is no part of the paper; did you mean 'table3'"):
        wanted_items(["claims,tabel3"])
    assert wanted_items(["figure2", "table3"]) == ["table3", "figure2"]


def test_an_option_without_its_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--images is for table2, which --only table3 leaves out"):
        experiments(SCALES["smoke"], ["table3"], tmp_path, (), REGISTRY)


def test_a_missing_mesh_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match=r"--mesh gone\.ply: .*does not exist"):
        experiments(SCALES["smoke"], ["table4"], None, ["gone.ply"], REGISTRY)


def test_the_laptop_scale_runs_table_3_with_the_paper_s_settings() -> None:
    made, _ = experiments(SCALES["laptop"], ["table3", "tuned"], None, (), REGISTRY)
    assert [one.name for one in made if one.tuning] == ["tuned-fit", "tuned-held-out"]
    cells = {one.name: plan(one.suite, REGISTRY) for one in made if not one.tuning}
    assert {name: len(some) for name, some in cells.items()} == {
        "table3-literal": 6,
        "table3-width": 18,
        "table3-critical": 6,
    }
    for some in cells.values():
        assert {(c.training.epochs, c.training.batch_size, c.network.width) for c in some} == {
            (300, 32, 512)
        }
    assert {c.network.first_layer_scale for c in cells["table3-width"]} == {"width"}
    assert {c.training.lr for c in cells["table3-literal"]} == {100.0}
    assert {c.training.lr for c in cells["table3-critical"]} == {"auto"}


def test_the_command_runs_answers_and_goes_on(tmp_path: Path, monkeypatch) -> None:
    smaller = replace(SCALES["smoke"], changes={"network": {"width": 8}, "training": {"epochs": 2}})
    monkeypatch.setitem(SCALES, "smoke", smaller)
    app = typer.Typer()
    app.command()(reproduce)
    out = tmp_path / "paper"
    asked = ["paper", "--scale", "smoke", "--only", "theorem,table2", "-o", str(out), "-j", "1"]
    planned = CliRunner().invoke(app, [*asked, "-n"])
    assert "table2" in planned.output
    assert "2 trials of 3 encodings, about" in planned.output
    assert not out.exists()
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 0, first.output
    page = (out / "paper.md").read_text(encoding="utf-8")
    assert "A smoke run" in page
    assert "| K = K₀ + K⁺" in page
    assert "MPE k=3 L=2" in page
    assert (out / "paper.html").is_file()
    records = sorted(out.rglob("record.json"))
    again = CliRunner().invoke(app, asked)
    assert again.exit_code == 0, again.output
    assert "have a record already" in again.output
    assert sorted(out.rglob("record.json")) == records
    assert (out / "paper.md").read_text(encoding="utf-8") == page
