"""The page of a results folder: its text, and its completeness."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import encbench_leaderboard
import numpy as np
import pytest
from encbench_leaderboard.render import pictures as drawing
from encbench_leaderboard.render.markdown import write_markdown
from encbench_leaderboard.render.terminal import verdict_lines
from encbench_leaderboard.report.blocks import Page, Pictures, Section, Table, Text, walk
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.report.format import code, plain, shell_word
from markdown_it import MarkdownIt
from PIL import Image

from encbench.contracts.metric import MetricValue
from encbench.errors import StoreError
from encbench.results.records import ErrorInfo
from encbench.suite.config import PluginRef
from tests.leaderboard.results import Results, diverged, photograph, provenance


def written(results: Results, out: Path | None = None, **options: bool) -> Path:
    described = describe(*load_board(results.directory))
    return write_markdown(described, out or results.directory / "leaderboard.md", **options)


COSTS: dict[str, Any] = {"pictures": False, "curves": False, "points": 0}
"""A cell with only one picture, that of costs; each picture takes half a second."""


@pytest.fixture
def empty_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty files instead of pictures, for tests that look only at their names."""

    def draw(job: Any) -> bool:
        for file in job.files:
            file.write_bytes(b"")
        return True

    monkeypatch.setattr(drawing, "_draw", draw)


named_only = pytest.mark.usefixtures("empty_pictures")


def page(results: Results, **options: bool) -> str:
    return written(results, **options).read_text(encoding="utf-8")


def everything(results: Results, **options: bool) -> str:
    """The page and the pages in its folder."""
    out = written(results, **options)
    files = [out, *sorted(out.with_suffix("").glob("*.md"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def pictures_of(results: Results) -> set[str]:
    return {file.name for file in (results.directory / "leaderboard").glob("*.png")}


def links(text: str) -> list[str]:
    return [unquote(link) for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)]


@named_only
def test_every_picture_that_is_linked_exists_beside_the_page(results: Results) -> None:
    results.add("a", psnr=30.0)
    results.add("b", psnr=31.0, task="image:image=other one", **COSTS)
    found = links(page(results))
    assert len(found) == 4
    assert all((results.directory / link).is_file() for link in found)
    assert {link.split("/")[0] for link in found} == {"leaderboard"}
    folder = results.directory / "leaderboard"
    inner = links((folder / "image-image-chelsea.md").read_text(encoding="utf-8"))
    assert len(inner) == 4
    assert all((folder / link).is_file() for link in inner)
    pages = re.findall(r"\[[^\]]+\]\(([^)]+\.md)\)", page(results))
    assert len(pages) == 3
    assert all((results.directory / unquote(link)).is_file() for link in pages)


@named_only
def test_a_page_elsewhere_has_its_pictures_beside_it(results: Results, tmp_path: Path) -> None:
    results.add(**COSTS)
    out = tmp_path / "site of ours" / "front page.md"
    assert written(results, out) == out
    found = links(out.read_text(encoding="utf-8"))
    assert found
    assert all((out.parent / link).is_file() for link in found)
    assert not (results.directory / "leaderboard").exists()


def test_without_pictures_there_are_no_links_and_no_files(results: Results) -> None:
    results.add()
    assert not links(everything(results, pictures=False))
    assert not pictures_of(results)


@named_only
def test_pictures_of_an_earlier_page_do_not_outlive_their_data(results: Results) -> None:
    stored = results.add(curves=False)
    before = {Path(link).name for link in links(everything(results))}
    results.store.write(stored.record, {}, {})
    after = {Path(link).name for link in links(everything(results))}
    assert len(before) == 3
    assert after == {"image-image-chelsea-cost.png"} == pictures_of(results)


def test_tables_survive_pipes_newlines_and_markup(results: Results) -> None:
    results.add("odd:text=a|b")
    error = ErrorInfo(type="OSError", message="no | such\n<b>file</b> *here* `x` [1](2)")
    results.add("bad", status="failed", error=error, psnr=None)
    text = page(results, pictures=False)
    html = MarkdownIt("commonmark").enable("table").render(text)
    first = html[html.index("<table>") : html.index("</table>")]
    widths = {row.count("<th") + row.count("<td") for row in first.split("<tr>")[1:]}
    assert len(widths) == 1
    assert "<code>odd:text=a|b</code>" in first
    assert (
        "1 failed in training: OSError: no | such &lt;b&gt;file&lt;/b&gt; *here* `x` [1](2)" in html
    )


def test_all_tables_are_whole(results: Results) -> None:
    for seed in range(2):
        results.add("a", seed=seed)
        results.add("b", task="occupancy", curve="iou", metrics={"iou": MetricValue(value=0.5)})
    text = everything(results, pictures=False)
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_several_tasks_get_an_overview_by_mean_rank(results: Results) -> None:
    for task, values in (("t1", (30.0, 20.0)), ("t2", (31.0, 25.0)), ("t3", (18.0, 19.0))):
        for encoding, psnr in zip(("a", "b"), values, strict=True):
            results.add(encoding, task=task, psnr=psnr)
    results.add("c", task="t1", status="diverged", error=diverged(1), psnr=None)
    text = page(results, pictures=False)
    overview = text[text.index("## Overview") : text.index("Tasks:")].splitlines()
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in overview[4:-1]]
    assert lines == [
        ["`a`", "1.33", "3", "30.00", "31.00", "18.00"],
        ["`b`", "1.67", "3", "20.00", "25.00", "19.00"],
        ["`c`", "3.00", "0 of 1", "did not finish", "–", "–"],
    ]


def test_what_ran_on_fewer_tasks_stands_below_in_the_overview(results: Results) -> None:
    for task in ("t1", "t2"):
        results.add("everywhere", task=task, psnr=30.0)
        results.add("there, too", task=task, psnr=29.0)
    results.add("once", task="t1", psnr=31.0)
    text = page(results, pictures=False)
    overview = text[text.index("## Overview") : text.index("Tasks:")]
    assert overview.index("`everywhere`") < overview.index("`once`")


def test_the_only_one_of_its_task_is_not_the_best_of_all(results: Results) -> None:
    results.add("alone", task="t1", psnr=40.0)
    results.add("worse", task="t2", psnr=20.0)
    results.add("better", task="t2", psnr=30.0)
    text = page(results, pictures=False)
    overview = text[text.index("## Overview") : text.index("Tasks:")].splitlines()
    lines = [[c.strip() for c in line.strip("|").split("|")] for line in overview[4:-1]]
    assert lines == [
        ["`better`", "1.00", "1", "–", "30.00"],
        ["`worse`", "2.00", "1", "–", "20.00"],
        ["`alone`", "–", "0", "40.00", "–"],
    ]


def test_one_task_needs_no_overview(results: Results) -> None:
    results.add()
    assert "## Overview" not in page(results, pictures=False)


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_the_page_says_which_kernel_and_how_many_points(results: Results, outputs: str) -> None:
    results.add(outputs=outputs, points=64)
    text = everything(results, pictures=False)
    assert f'"{outputs}":' in text
    assert "N = 64 training points" in text


def test_few_cells_predict_nothing_and_the_page_says_so(results: Results) -> None:
    for place in range(4):
        results.add(f"e{place}", psnr=20.0 + place)
    assert "Too few to say anything" in everything(results, pictures=False)
    results.add("e5", psnr=30.0)
    assert "Too few to say anything" not in everything(results, pictures=False)


def test_times_of_different_machines_are_warned_about(results: Results) -> None:
    results.add("a")
    warning = "times must not be compared"
    assert f"their {warning}" not in page(results, pictures=False)
    results.add("b", provenance=provenance(processor="Xeon 8480"))
    text = page(results, pictures=False)
    assert f"2 different machines or settings of threads: their {warning}" in text
    assert "EPYC 7763" in text
    assert "Xeon 8480" in text


def test_provenance_is_at_the_foot(results: Results) -> None:
    results.add()
    results.store.write_suite({"name": "paper-scaling"})
    text = page(results, pictures=False)
    foot = text[text.index("## Provenance") :]
    for fact in ("encbench: 0.1.0", "torch 2.13.0", "1 thread", "2026-01-05 10:20", "paper-sc"):
        assert fact in foot
    assert text.startswith("# Leaderboard: paper-scaling\n")


def test_the_suite_comes_back_as_it_was(results: Results) -> None:
    results.add()
    suite = {
        "name": 'a "quoted" suite',
        "seeds": [0, 1],
        "encodings": [
            {"name": "identity"},
            {"name": "mpe", "parameters": {"resolutions": [96, 277], "include_input": True}},
        ],
        "tasks": [{"name": "image", "parameters": {"image": "a\\b\n.png"}}],
        "training": {"lr": 0.5, "optimizer": "sgd"},
    }
    results.store.write_suite({**suite, "description": None})
    text = page(results, pictures=False)
    block = text[text.index("```toml") + 7 :]
    found = tomllib.loads(block[: block.index("```")])
    assert found == suite | {"encodings": ["identity", suite["encodings"][1]]}


def test_every_suite_of_a_folder_comes_back(results: Results) -> None:
    suite = {"encodings": ["identity"], "tasks": ["image"]}
    results.store.write_suite({"name": "first", **suite})
    results.add("a")
    results.store.write_suite({"name": "second", **suite, "training": {"epochs": 3}})
    results.add("b")
    text = page(results, pictures=False)
    blocks = [tomllib.loads(part[: part.index("```")]) for part in text.split("```toml")[1:]]
    assert blocks == results.store.suites()
    assert [block["name"] for block in blocks] == ["first", "second"]
    assert "encbench run suite-1.toml -o run\nencbench run suite-2.toml -o run\n" in text
    assert text.startswith("# Leaderboard: first + second")
    assert "does not hold" not in text


def test_commands_name_any_folder(results: Results) -> None:
    names = [
        "run",
        "my run",
        "-run",
        "it's",
        "naïve",
        "\x1b[31m\n",
        os.fsdecode(b"\xe9'\\"),
        "$x`y",
    ]
    words = " ".join(map(shell_word, names))
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True
    )
    given = done.stdout.split(b"\0")[:-1]
    assert [os.fsdecode(name).removeprefix("./") for name in given] == names
    assert not any(name.startswith(b"-") for name in given)
    results.add("a")
    folder = results.directory.rename(results.directory.with_name(names[-2]))
    write_markdown(describe(*load_board(folder)), folder / "page.md", pictures=False)
    text = (folder / "page.md").read_text(encoding="utf-8")
    assert f"encbench leaderboard {shell_word(folder.name)}\n" in text


def test_cells_of_a_suite_that_the_folder_does_not_hold_are_counted(results: Results) -> None:
    suite = {"encodings": ["identity"], "tasks": ["image"]}
    results.store.write_suite({"name": "lost", **suite})
    results.add("a")
    results.add("b")
    results.store.directory.joinpath("run.json").unlink()
    results.store.write_suite({"name": "kept", **suite})
    results.add("c")
    text = page(results, pictures=False)
    assert "Some cells came from suites that the folder does not hold: lost (2)." in text


def test_a_folder_without_a_suite_tells_the_flags(results: Results) -> None:
    results.add("mpe:resolutions=[96,277]", seed=3)
    text = page(results, pictures=False)
    assert (
        "encbench run -e 'mpe:resolutions=[96,277]' -t image:image=chelsea --seed 3 -o run" in text
    )


def test_a_metric_without_a_value_says_why_where_all_columns_are(results: Results) -> None:
    nothing = MetricValue(value=None, details={"reason": "the picture is under 11 pixels"})
    results.add(metrics={"psnr": MetricValue(value=30.0, unit="dB"), "ms_ssim": nothing})
    said = "MS-SSIM has no value (–) where the picture is under 11 pixels."
    assert said not in page(results, pictures=False)
    assert said in everything(results, pictures=False)


def test_only_failures_still_make_a_page(results: Results) -> None:
    results.add("a", status="out_of_memory", psnr=None, points=0, curves=False, pictures=False)
    results.add("b", status="timeout", psnr=None, points=0, curves=False, pictures=False)
    text = everything(results)
    assert not links(text)
    assert "**No verdict**: no encoding finished" in text
    assert "out of memory" in text
    assert "no cell finished with a spectrum" in text


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no results folder") as caught:
        load_board(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_a_folder_without_records_is_one_line(results: Results) -> None:
    with pytest.raises(StoreError, match="holds no records") as caught:
        load_board(results.directory)
    assert "\n" not in str(caught.value)


def test_a_page_that_cannot_be_written_leaves_the_old_one(results: Results) -> None:
    results.add()
    blocked = results.directory / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot write"):
        written(results, blocked / "out.md")
    assert blocked.read_text() == "a file, not a folder"


@named_only
def test_the_same_records_make_the_same_page(results: Results) -> None:
    for place in range(3):
        results.add(f"e{place}", psnr=20.0 + place, curves=False, points=0)
    first = page(results)
    pictures = {p.name: p.read_bytes() for p in (results.directory / "leaderboard").iterdir()}
    assert page(results) == first
    assert pictures == {
        p.name: p.read_bytes() for p in (results.directory / "leaderboard").iterdir()
    }


@named_only
def test_the_hook_renders_after_a_run_and_leaves_an_empty_one_alone(
    results: Results, caplog: pytest.LogCaptureFixture
) -> None:
    encbench_leaderboard.encbench_run_finished(results.directory, [])
    assert not (results.directory / "leaderboard.md").exists()
    stored = results.add(**COSTS)
    with caplog.at_level("INFO", "encbench"):
        encbench_leaderboard.encbench_run_finished(results.directory, [stored])
    drawing, verdict, *paths = caplog.messages
    assert drawing == "leaderboard: drawing the page"
    assert verdict.startswith("No verdict: ")
    assert len(paths) == 2
    assert (results.directory / "leaderboard.md").exists()


@named_only
def test_after_a_run_of_many_tasks_a_line_says_where_the_verdicts_are(
    results: Results, caplog: pytest.LogCaptureFixture
) -> None:
    for place in range(4):
        task, cheap = f"kind{place}:size=1", {"points": 0, "pictures": False, "curves": False}
        stored = results.add("a", task=task, data_hash=str(place), **cheap)
        if place in (2, 3):
            caplog.clear()
            with caplog.at_level("INFO", "encbench"):
                encbench_leaderboard.encbench_run_finished(results.directory, [stored])
            assert len(caplog.messages) == (6 if place == 2 else 4)
    assert caplog.messages[1] == "verdicts on 4 tasks: see the page"


@pytest.mark.parametrize("label", [r"a\*b", "a|b", r"a\|b", "a`b", "&amp;", "**a**"])
def test_a_verdict_in_plain_text_has_labels_as_they_are(label: str) -> None:
    text = f"**{code(label)} leads**: {plain('50 % < a*b_')}"
    assert verdict_lines(Page("", [Text(text, "verdict")], ()), 1) == [
        f"{label} leads: 50 % < a*b_",
    ]


def test_listing_the_verb_loads_nothing_heavy() -> None:
    code = (
        "import sys, encbench_leaderboard, encbench_leaderboard.verb;"
        "print([m for m in ('pandas', 'matplotlib', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["arrays.npz", "error.png", "prediction.png"])
def test_a_file_damaged_to_the_same_size_is_left_out_in_one_line_and_the_rest_is_drawn(
    results: Results, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    points = 64 if name == "arrays.npz" else 0  # each figure takes half a second
    for encoding, psnr in (("sound", 31.0), ("damaged", 30.0)):
        stored = results.add(encoding, psnr=psnr, curves=False, points=points)
        pictures = dict.fromkeys(("target", "prediction", "error"), photograph(48, 64))
        results.store.write(stored.record, dict(stored.arrays), pictures)
    file = stored.path / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING, "encbench"):
        text = everything(results)
    (said,) = caplog.messages
    assert said.startswith(f"leaving out {file}, which is damaged; to make it again, remove its")
    assert "30.00" in text, "its numbers are right"
    assert {Path(link).name.rpartition("-")[2] for link in links(text)} >= {
        "spectra.png" if points else "cost.png",
        "sheet.png",
    }
    blocks = list(walk(describe(*load_board(results.directory)).blocks))
    (shown,) = (block for block in blocks if isinstance(block, Pictures))
    drawn = {tile.file for tile in shown.tiles}
    assert file not in drawn
    assert ((file.parent / "error.png") in drawn) == (name == "arrays.npz"), shown.caption
    named = f"`damaged` (records/ce/{file.parent.name}/prediction.png is damaged)"
    assert (named in shown.caption) == (name == "prediction.png")


def add_image(
    results: Results,
    encoding: str,
    image: str,
    *,
    seed: int = 0,
    psnr: float = 30.0,
    **content: Any,
) -> None:
    """One cell of a category: tasks that differ only in their image."""
    stored = results.add(encoding, task=f"image:image={image}", psnr=psnr, seed=seed, **content)
    task = PluginRef(
        name="image",
        distribution="encbench",
        version="0.1.0",
        parameters={"image": image, "side": 64},
        label=f"image:image={image},side=64",
    )
    data_hash = hashlib.sha256(image.encode()).hexdigest()
    cell = stored.record.cell.model_copy(update={"task": task, "data_hash": data_hash})
    pictures = {
        name: np.asarray(Image.open(path))
        for name in ("target", "prediction")
        if (path := stored.picture(name))
    }
    record = stored.record.model_copy(update={"cell": cell})
    results.store.write(record, dict(stored.arrays), pictures)


@named_only
def test_a_category_stands_before_its_images(results: Results) -> None:
    for image in ("x", "y"):
        add_image(results, "a", image, curves=False)
        add_image(results, "b", image, psnr=20.0, curves=False)
    text = page(results)
    headings = re.findall(r"^#{2,3} `.*`$", text, flags=re.MULTILINE)
    assert headings == ["## `image:image=*,side=64`"]
    for image in ("x", "y"):
        link = f"[image:image={image},side=64](leaderboard/image-image-{image}-side-64.md)"
        assert link in text
    kinds = [Path(link).stem.rpartition("-")[2] for link in links(text)]
    assert kinds == ["sheet", "spectra", "cost"]
    assert len(pictures_of(results)) == 3 + 3 + 3
    assert "geometric mean over the targets" in text


@named_only
def test_many_images_have_pages_and_only_the_first_are_drawn(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MAX_ALL_DRAWN", 3)
    for number in range(3):
        add_image(results, "a", f"i{number}", **COSTS)
    text = everything(results)
    for number in range(3):
        assert f"# `image:image=i{number},side=64`" in text
    drawn = {Path(link).stem.rsplit("-", 1)[0] for link in links(text)}
    assert drawn == {"image-image-side-64-all", "image-image-i0-side-64"}
    assert "Pictures of 2 tasks are left out" in text
    assert "--all-pictures" in text
    every = everything(results, all_pictures=True)
    assert len({Path(link).stem.rsplit("-", 1)[0] for link in links(every)}) == 4
    assert "are left out because there are many" not in every
    # pictures that are no longer drawn are removed
    assert links(everything(results)) == links(text)
    assert pictures_of(results) == {Path(link).name for link in links(text)}


def test_a_long_table_is_folded_after_the_best(results: Results) -> None:
    for place in range(30):
        results.add(f"e{place}", psnr=50.0 - place, **COSTS)
    text = page(results, pictures=False)
    first, rest = text.split("<summary>10 more rows</summary>", 1)
    assert first.count("| `e") == 20
    assert "`e19`" in first
    assert "`e20`" in rest.split("</details>")[0]
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert max(len(table.splitlines()) for table in tables) <= 27


def test_hundreds_of_encodings_do_not_make_a_page_that_no_forge_shows(results: Results) -> None:
    for place in range(210):
        results.add(f"e{place}", psnr=50.0 - place / 10, **COSTS)
    results.add("late", status="timeout", psnr=None, **COSTS)
    text = page(results, pictures=False)
    assert "10 of 211 rows are not shown." in text
    assert "`late`" in text, "failures are not what is left out"
    assert "`e199`" in text
    assert "`e200`" not in text.split("## Does the spectrum")[0]


def test_each_damaged_record_is_reported_once(
    results: Results, caplog: pytest.LogCaptureFixture
) -> None:
    results.add("a")
    bad = results.add("b")
    (bad.path / "record.json").write_text("{")
    page(results, pictures=False)
    assert caplog.text.count(bad.path.name) == 1


def standings(results: Results) -> Table:
    found = [b for b in describe(*load_board(results.directory)).blocks if isinstance(b, Section)]
    return next(block for block in found[0].blocks if isinstance(block, Table))


def test_six_columns_are_shown_first(results: Results) -> None:
    results.add("a", psnr=30.0)
    results.add("b", status="diverged", error=diverged(3), psnr=None)
    table = standings(results)
    assert [column.title for column in table.columns if column.first] == [
        *("#", "encoding", "PSNR [dB] ↑", "MS-SSIM ↑", "parameters", "training [s]")
    ]
    assert len({column.name for column in table.columns}) == len(table.columns)
    assert all(len(row.values) == len(table.columns) for row in table.rows)
    assert [row.statuses for row in table.rows] == [{"ok": 1}, {"diverged": 1}]


def test_a_metric_named_like_a_column_keeps_a_column_of_its_own(results: Results) -> None:
    value = MetricValue(value=0.5)
    results.add("a", curve="rank", metrics={"rank": value, "status": value})
    table = standings(results)
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)


def test_a_row_sorts_by_its_number_and_not_by_its_text(results: Results) -> None:
    results.add("deep", decades=20.0, psnr=30.0)
    results.add("shallow", decades=6.0, psnr=9.0)
    table = standings(results)
    place = next(i for i, column in enumerate(table.columns) if column.name == "lambda_minimum")
    deep, shallow = (row.values[place] for row in table.rows)
    assert deep.text.startswith("≤")
    assert deep.sort == 0.0
    assert isinstance(shallow.sort, float)
    assert shallow.sort > 0


def test_a_row_opens_to_its_cells_their_commands_and_its_source(results: Results) -> None:
    for seed in range(2):
        results.add("ffe:levels=4", psnr=30.0 + seed, seed=seed)
    error = ErrorInfo(type="ValueError", message="no\nroom")
    results.add("gone:levels=2", status="failed", error=error, psnr=None)
    table = standings(results)
    ffe, gone = (row.details() for row in table.rows)
    cells = next(block for block in ffe if isinstance(block, Table) and block.name == "cells")
    titles = [column.name for column in cells.columns]
    first = dict(zip(titles, (value.text for value in cells.rows[1].values), strict=True))
    assert (first["seed"], first["quality"], first["status"]) == ("1", "31.00", "ok")
    assert first["again"] == "encbench rerun run cell0002"
    spectra = next(block for block in ffe if isinstance(block, Table) and block.name == "spectra")
    assert [row.values[0].text for row in spectra.rows] == ["start", "middle", "end"]
    said = "\n".join(block.markdown for block in ffe if isinstance(block, Text))
    assert "ffe of encbench 0.1.0" in said
    assert "```bibtex\n@" in said
    cells = next(block for block in gone if isinstance(block, Table) and block.name == "cells")
    assert "in training: ValueError: no room" in [value.text for value in cells.rows[0].values]
    assert not any("bibtex" in block.markdown for block in gone if isinstance(block, Text))


def test_details_are_built_when_they_are_looked_at(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.add("a")
    built = []
    monkeypatch.setattr(
        "encbench_leaderboard.report.build.entry_details",
        lambda task, folder, row, machines: built.append(row["entry"]) or [],
    )
    table = standings(results)
    assert not built
    assert not table.rows[0].details()
    assert built == ["a"]
