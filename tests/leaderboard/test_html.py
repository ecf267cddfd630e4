"""The HTML page: one file that says what the records say, and lets nothing in or out."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from encbench_leaderboard.html import lines, pictures, write_html
from encbench_leaderboard.html.contrast import DARK, LEAST, LIGHT, contrast, themed
from encbench_leaderboard.html.payload import MOST_CELLS, payload
from encbench_leaderboard.html.prose import to_html
from encbench_leaderboard.style import colours
from encbench_leaderboard.table import boards
from encbench_leaderboard.verb import leaderboard
from encbench_leaderboard.wording import rank_text
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from encbench.errors import StoreError, UsageError
from encbench.metrics.base import MetricValue
from encbench.records import ErrorInfo

from .results import FLOOR, Results, diverged, photograph, provenance

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;<!--"


def page(results: Results, **options: Any) -> str:
    return write_html(results.directory, **options).read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    """The data in a page, as the browser's script finds it."""
    start = text.index('id="data">') + len('id="data">')
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found


def data(results: Results, **options: Any) -> dict[str, Any]:
    """The data of a results folder, with a trip through JSON."""
    made = payload(boards(results.store.records()), **options)
    found: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    return found


def floats(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), dtype="<f8")


def texts(task: dict[str, Any], column: str) -> list[str]:
    """A column's texts, from the best entry down; by name or by title."""
    place = next(i for i, c in enumerate(task["columns"]) if column in (c["name"], c["title"]))
    return [row["text"][place] for row in task["rows"]]


def reasons(found: dict[str, Any]) -> list[str]:
    return [found["texts"][row["reason"]] for row in found["tasks"][0]["rows"]]


def test_the_page_refers_to_nothing_outside_itself(results: Results) -> None:
    results.add("a")
    text = page(results)
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    refers = re.findall(r"""(?:src|href|action|srcset|poster)\s*=\s*["']?([^"'\s>]+)""", markup)
    assert {link for link in refers if not link.startswith(("#", "data:"))} == set()
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", text)


def test_the_policy_allows_this_script_and_this_style_and_no_other(results: Results) -> None:
    results.add("a")
    text = page(results)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"


def test_no_attribute_holds_script_or_style(results: Results) -> None:
    results.add("a")
    results.add("b", task="other")
    markup = re.sub(r"<(script|style)[ >].*?</\1>", "", page(results), flags=re.DOTALL)
    assert not re.search(r"<[^>]+\s(on\w+|style)\s*=", markup)


def test_foreign_text_is_text_everywhere(results: Results) -> None:
    results.add(f"a{HOSTILE}", task=f"image:{HOSTILE}")
    results.add(f"a{HOSTILE}", task=f"image:other{HOSTILE}", provenance=provenance(os=HOSTILE))
    error = ErrorInfo(type="ValueError", message=HOSTILE)
    results.add("c", task=f"image:{HOSTILE}", status="failed", error=error, psnr=None)
    results.store.write_suite({"name": HOSTILE})
    text = page(results)
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert "<!--" not in text
    found = data_of(text)
    assert f"a{HOSTILE}" in [entry["label"] for entry in found["entries"]]
    assert any(HOSTILE in told for told in found["texts"])


def test_numbers_read_as_on_the_markdown_page_and_sort_by_their_value(results: Results) -> None:
    results.add("deep", psnr=30.123, decades=20.0)
    results.add("flat", psnr=29.5, decades=6.0)
    task = data(results)["tasks"][0]
    assert texts(task, "metric:psnr") == ["30.12", "29.50"]
    assert texts(task, "metric:ms_ssim") == ["0.6025", "0.5900"]
    assert texts(task, "λ_min")[0] == "≤ 2.00e-11"
    place = next(i for i, c in enumerate(task["columns"]) if c["title"] == "λ_min")
    deep, flat = (row["sort"][place] for row in task["rows"])
    assert deep == 0 < FLOOR < flat
    primary = [row["sort"][0] for row in task["rows"]]
    assert primary == [30.123, 29.5]


def test_means_carry_their_interval_and_ranks_what_tests_allow(results: Results) -> None:
    for seed in range(8):
        for encoding, psnr in (("a", 30.0), ("b", 29.99), ("c", 10.0)):
            results.add(encoding, psnr=psnr + 0.1 * (seed * 7 % 5), seed=seed)
    task = data(results)["tasks"][0]
    mean, interval = texts(task, "metric:psnr")[0].split("\n")
    low, high = (float(n) for n in re.findall(r"[\d.]+", interval))
    values = [30.0 + 0.1 * (seed * 7 % 5) for seed in range(8)]
    assert float(mean) == round(float(np.mean(values)), 2)
    assert min(values) < low < float(mean) < high < max(values)
    standings = boards(results.store.records()).tasks[0].standings
    assert [row["rank_text"] for row in task["rows"]] == [
        rank_text(row) for _, row in standings.iterrows()
    ]
    assert task["rows"][2]["rank_text"] == "3"


def test_infinite_and_missing_numbers_survive_json(results: Results) -> None:
    for encoding, value in (("a", math.inf), ("b", 30.0), ("c", None), ("d", math.nan)):
        results.add(encoding, metrics={"psnr": MetricValue(value=value, unit="dB")})
    task = data(results)["tasks"][0]
    assert texts(task, "metric:psnr") == ["∞", "30.00", "–", "–"]
    sort = [row["sort"][0] for row in task["rows"]]
    assert sort[0] > 1e300
    assert sort[2:] == [None, None]


def test_a_failure_says_its_phase_and_reason_but_no_traceback(results: Results) -> None:
    results.add("fine")
    traceback = "Traceback (most recent call last): secret"
    error = ErrorInfo(type="ValueError", message="no\n room", traceback=traceback)
    results.add("bad", status="failed", error=error, psnr=None)
    results.add("gone", status="diverged", error=diverged(1234), psnr=None)
    found = data(results)
    assert reasons(found) == ["", "in training: ValueError: no room", "at step 1,234"]
    assert [row["status"] for row in found["tasks"][0]["rows"]] == [
        {"ok": 1},
        {"failed": 1},
        {"diverged": 1},
    ]
    assert "secret" not in page(results)


def test_what_a_diverged_cell_reached_is_not_shown_as_quality(results: Results) -> None:
    results.add("a", psnr=20.0)
    results.add("b", status="diverged", error=diverged(7), psnr=40.0, best=44.0)
    task = data(results)["tasks"][0]
    assert texts(task, "metric:psnr")[1] == texts(task, "best")[1] == "–"
    assert task["rows"][1]["cells"][0][3:5] == ["–", "–"]


def test_cells_of_many_seeds_are_cut_and_the_rest_counted(results: Results) -> None:
    for seed in range(MOST_CELLS + 5):
        results.add("a", seed=seed, points=0, curves=False, pictures=False)
    row = data(results)["tasks"][0]["rows"][0]
    assert len(row["cells"]) == MOST_CELLS
    assert row["status"] == {"ok": MOST_CELLS + 5}


@given(st.integers(1, 20_000))
def test_kept_indices_hold_both_ends_and_are_few(size: int) -> None:
    kept = lines.indices(size)
    assert len(kept) <= lines.POINTS
    assert kept[0] == 1
    assert kept[-1] == size
    assert (np.diff(kept) >= 1).all()
    # Dense where spectra bend: the first and the last five are all there.
    ends = set(range(1, min(size, 5) + 1)) | set(range(max(1, size - 4), size + 1))
    assert ends <= set(kept.tolist())


@pytest.mark.parametrize("points", [64, 1024])
def test_a_spectrum_in_the_page_is_the_record_s_to_the_last_bit(
    results: Results, points: int
) -> None:
    stored = results.add("a", points=points, decades=20.0)
    found = data(results)
    drawn = found["tasks"][0]["lines"]["0"]["spectra"]
    for when, part in itertools.product(("start", "middle", "end"), ("", "mlp_")):
        eigenvalues = stored.arrays[f"spectrum_{part}{when}"]
        spectrum = drawn[f"{part}{when}"]
        at = floats(found["index_sets"][spectrum["index"]]).astype(int)
        np.testing.assert_array_equal(floats(spectrum["values"]), eigenvalues[at - 1])
        assert spectrum["size"] == points
        assert spectrum["resolved"] == (eigenvalues > spectrum["floor"]).sum() < points
        assert at[-1] == spectrum["resolved"]


def test_a_curve_in_the_page_is_the_record_s(results: Results) -> None:
    stored = results.add("a")
    drawn = data(results)["tasks"][0]["lines"]["0"]["curves"][0]
    for name in ("loss", "curve"):
        np.testing.assert_array_equal(floats(drawn[name]["step"]), stored.arrays[f"{name}_step"])
        np.testing.assert_array_equal(floats(drawn[name]["value"]), stored.arrays[name])


def test_a_long_curve_keeps_its_mean(results: Results) -> None:
    stored = results.add("a")
    step = np.arange(1.0, 5001.0)
    value = np.exp(-step / 900) + 1e-3
    arrays = {"loss_step": step, "loss": value}
    stored = results.store.write(stored.record, arrays, {})
    loss = lines.curves(stored)["loss"]
    steps, means = floats(loss["step"]), floats(loss["value"])
    assert len(steps) <= lines.POINTS
    assert steps[-1] == 5000
    weights = np.diff(steps, prepend=0)
    assert (means * weights).sum() == pytest.approx(value.sum(), rel=1e-12)


def test_what_a_log_axis_cannot_hold_is_left_out_of_the_loss(results: Results) -> None:
    stored = results.add("a")
    loss = np.array([1.0, 0.0, np.nan, np.inf, 0.5])
    stored = results.store.write(stored.record, {"loss_step": np.arange(5.0), "loss": loss}, {})
    found = lines.curves(stored)["loss"]
    np.testing.assert_array_equal(floats(found["value"]), [1.0, 0.5])
    np.testing.assert_array_equal(floats(found["step"]), [0.0, 4.0])


def test_turns_give_every_task_its_best_first() -> None:
    order = list(lines.turns({7: ["a", "b", "c"], 9: ["d"]}))
    assert order == [(7, "a"), (9, "d"), (7, "b"), (7, "c")]


def test_pictures_are_the_records_files_and_the_target_is_there_once(results: Results) -> None:
    made = [results.add(encoding, psnr=psnr) for encoding, psnr in (("a", 20.0), ("b", 30.0))]
    found = data(results)
    shown = found["tasks"][0]["pictures"]
    assert [(p["name"], p["entry"]) for p in shown] == [
        ("target", None),
        ("prediction", 1),
        ("prediction", 0),
    ]
    files = [made[1].path / "target.png", made[1].path / "prediction.png"]
    for picture, file in zip(shown, [*files, made[0].path / "prediction.png"], strict=True):
        uri = found["pictures"][picture["picture"]]
        assert uri.startswith("data:image/png;base64,")
        assert base64.b64decode(uri.partition(",")[2]) == file.read_bytes()
        assert picture["size"] == [67, 48]


def test_the_best_entries_keep_their_pictures_where_not_all_have_room(results: Results) -> None:
    for place in range(6):
        results.add(f"e{place}", psnr=20.0 + place)
    everything = sum(map(len, data(results)["pictures"]))
    limit = everything // 2
    found = data(results, pictures=limit)
    assert sum(map(len, found["pictures"])) <= limit
    task = found["tasks"][0]
    kept = {p["entry"] for p in task["pictures"] if p["name"] == "prediction"}
    best = [row["entry"] for row in task["rows"]]
    assert kept == set(best[: len(kept)])
    assert 0 < len(kept) < 6
    assert task["pictures_left_out"] == 6 - len(kept)


def test_what_is_no_picture_is_left_out_and_counted(results: Results) -> None:
    stored = results.add("a")
    (stored.path / "prediction.png").write_bytes(b"no picture at all, but long enough to be one")
    album = pictures.collect({0: ["a"]}, lambda task, entry: [stored])
    assert [p["name"] for p in album.shown[0]] == ["target"]
    assert album.left_out == {0: 1}


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == 1.0
    # The grey that the recommendation's own understanding document names as just enough.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_colours_are_the_plots_where_they_stand_out_and_near_them_elsewhere() -> None:
    entries = [f"e{i}" for i in range(25)]
    drawn = colours(entries)
    for entry, (light, dark, marker) in zip(entries, themed(entries), strict=True):
        assert marker == drawn[entry][1]
        for shown, ground in ((light, LIGHT), (dark, DARK)):
            assert contrast(shown, ground) >= LEAST[ground]
            if contrast(drawn[entry][0], ground) >= LEAST[ground]:
                assert shown == drawn[entry][0]


def test_the_grounds_of_the_contrast_are_those_of_the_style_sheet(results: Results) -> None:
    results.add("a")
    assert f"--plot: light-dark({LIGHT}, {DARK})" in page(results)


def test_prose_keeps_foreign_markup_as_text() -> None:
    html = to_html(
        "a <b>bold</b> [x](javascript:alert) ![y](http://z/i.png)\n\n| n |\n|--:|\n| 1 |"
    )
    assert "<b>" not in html
    assert "<a" not in html
    assert "<img" not in html
    assert "style=" not in html
    assert '<td class="num">1</td>' in html


def test_tasks_that_differ_in_their_target_are_pooled_and_stand_first(results: Results) -> None:
    for image, psnr in (("cat", 30.0), ("dog", 20.0)):
        stored = results.add("a", task=f"image:image={image}", psnr=psnr)
        task = stored.record.cell.task.model_copy(update={"parameters": {"image": image}})
        cell = stored.record.cell.model_copy(update={"task": task, "data_hash": image * 20})
        results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})
    found = data(results)["tasks"]
    assert [task["label"] for task in found] == [
        "image:image=*",
        "image:image=cat",
        "image:image=dog",
    ]
    assert found[0]["targets"] == [1, 2]
    assert found[0]["rows"][0]["sort"][0] == 25.0
    assert found[0]["lines"] == {}


def test_times_of_different_machines_are_warned_about(results: Results) -> None:
    results.add("a")
    assert "must not be compared.</strong>" not in page(results)
    results.add("b", provenance=provenance(processor="Xeon 8480"))
    assert "2 different machines or settings of threads: their times must not be" in page(results)


def test_the_same_records_make_the_same_page(results: Results) -> None:
    for place in range(3):
        results.add(f"e{place}", psnr=20.0 + place)
    assert page(results) == page(results)


def test_without_pictures_there_are_none(results: Results) -> None:
    results.add("a")
    assert data_of(page(results, pictures=False))["pictures"] == []


def test_only_failures_still_make_a_page(results: Results) -> None:
    results.add("a", status="timeout", psnr=None, points=0, curves=False, pictures=False)
    found = data_of(page(results))
    assert found["tasks"][0]["rows"][0]["status"] == {"timeout": 1}


def test_a_page_that_cannot_be_written_is_one_line(results: Results) -> None:
    results.add("a")
    blocked = results.directory / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot write"):
        write_html(results.directory, blocked / "out.html")
    with pytest.raises(UsageError, match="is a folder, expected a file"):
        write_html(results.directory, results.directory)


def test_arrays_damaged_to_the_same_size_are_one_clear_error(results: Results) -> None:
    stored = results.add("a")
    file = stored.path / "arrays.npz"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(StoreError, match=r"arrays\.npz is damaged; remove its folder"):
        write_html(results.directory)


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(leaderboard)
    done = CliRunner().invoke(app, [*arguments, "--no-pictures"])
    assert done.exit_code == 0, done.output
    return done.output.replace("\n", " ")


def test_the_verb_writes_both_pages_and_says_so(results: Results, tmp_path: Path) -> None:
    results.add("a")
    told = run(str(results.directory))
    for name in ("leaderboard.md", "leaderboard.html"):
        assert f"wrote {results.directory / name}" in told
        assert (results.directory / name).is_file()
    told = run(str(results.directory), "-o", str(tmp_path / "site" / "front.md"))
    assert f"wrote {tmp_path / 'site' / 'front.html'}" in told
    assert (tmp_path / "site" / "front.html").is_file()


def test_the_verb_can_leave_the_html_page_away(results: Results) -> None:
    results.add("a")
    assert "html" not in run(str(results.directory), "--no-html")
    assert not (results.directory / "leaderboard.html").exists()


def test_a_picture_of_two_tasks_is_stored_once(results: Results) -> None:
    for task in ("image:image=a", "image:image=b"):
        stored = results.add("a", task=task)
        picture = {"target": photograph(20, 30)}
        results.store.write(stored.record, {}, picture)
    found = data(results)
    assert len(found["pictures"]) == 1
    assert [task["pictures"][0]["picture"] for task in found["tasks"]] == [0, 0]
