"""The table of thumbnails of encodings and tasks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.board.overview import overview
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render import pictures
from encbench_leaderboard.render.html.document import html_page
from encbench_leaderboard.render.markdown import write_markdown
from encbench_leaderboard.report.blocks import PictureTable
from encbench_leaderboard.report.build import describe
from encbench_leaderboard.report.figures.predictions import thumbnails

from tests.leaderboard.results import Results, diverged


def three_tasks(results: Results) -> None:
    """Two tasks with pictures, one with a curve; ffe diverged on the second one."""
    x = np.linspace(0, 1, 300)
    line = {"line.u": np.stack([x, np.sin(x), np.cos(x)], axis=1)}
    few: dict[str, Any] = {"curves": False, "points": 0}  # fewer figures, which are slow to draw
    for place, encoding in enumerate(("identity", "ffe", "mpe")):
        results.add(encoding, task="image:image=cat", psnr=20.0 + place, **few)
        failed = {"status": "diverged", "error": diverged(3)} if encoding == "ffe" else {}
        results.add(encoding, task="image:image=dog", psnr=30.0 - place, **failed, **few)
        more = {"pictures": False, "more_arrays": line}
        results.add(encoding, task="wave", psnr=40.0 + place, **more, **few)


def table_of(results: Results) -> PictureTable | None:
    return thumbnails(overview(boards(results.store.records())))


def test_each_encoding_has_its_value_picture_and_standing_on_each_task(results: Results) -> None:
    three_tasks(results)
    found = table_of(results)
    assert found is not None
    labels = [label for label, _ in found.columns]
    rows = {entry: dict(zip(labels, row, strict=True)) for entry, row in found.rows}
    assert list(rows) == ["", "mpe", "identity", "ffe"]
    cat = {entry: rows[entry]["image:image=cat"] for entry in ("identity", "ffe", "mpe")}
    assert [one and one.text for one in cat.values()] == ["20.00", "21.00", "22.00"]
    assert [one and one.standing for one in cat.values()] == [0.0, 0.5, 1.0]
    assert all(one and one.file and one.file.name == "prediction.png" for one in cat.values())
    failed = rows["ffe"]["image:image=dog"]
    assert failed is not None
    assert (failed.text, failed.file, math.isnan(failed.standing)) == ("diverged", None, True)
    wave, truth = rows["mpe"]["wave"], rows[""]["wave"]
    assert wave is not None
    assert wave.line is not None
    assert truth is not None
    assert truth.line is not None
    assert np.array_equal(wave.line[:, 1], np.sin(wave.line[:, 0]))
    assert np.array_equal(truth.line[:, 1], np.cos(wave.line[:, 0]))


def test_two_tasks_have_no_map(results: Results) -> None:
    for task in ("image:image=cat", "wave"):
        results.add("ffe", task=task)
    assert table_of(results) is None


def test_the_map_is_on_both_pages_and_a_damaged_picture_costs_only_itself(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # other figures are slow to draw, and not looked at
    monkeypatch.setattr(pictures, "MAX_ALL_DRAWN", 0)
    monkeypatch.setattr(pictures, "DRAWN_OF_MORE", 0)
    three_tasks(results)
    records = results.store.records()
    (broken,) = (
        record.path / "prediction.png"
        for record in records
        if record.record.cell.encoding.name == "mpe"
        and record.record.cell.task.label == "image:image=cat"
    )
    broken.write_bytes(b"no picture")
    page = describe(boards(records), results.store)
    out = write_markdown(page, tmp_path / "page.md")
    assert "(page/map.png)" in out.read_text()
    assert (tmp_path / "page" / "map.png").stat().st_size > 5000
    html = html_page(page)
    # two targets, and the rest that is readable
    assert html.count('<img src="data:image/webp;base64,') == 2 + 2 + 2
    assert html.count('<svg viewBox="0 0 100 100"') == 4
    assert ">22.00</small>" in html
    assert html_page(page, pictures=False).count('<img src="data:image/webp') == 0
