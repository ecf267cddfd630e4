"""The tables' texts and numbers, before a browser sees them."""

from __future__ import annotations

import math
import re

import numpy as np
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render.html.payload import MOST_CELLS
from encbench_leaderboard.report.wording import rank_text

from encbench.contracts.metric import MetricValue
from encbench.results.records import ErrorInfo
from tests.leaderboard.results import FLOOR, Results, diverged, provenance
from tests.leaderboard.test_html.data import data, page, reasons, texts


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


def test_times_of_two_machines_share_no_plot(results: Results) -> None:
    for place, processor in enumerate(("EPYC 7763", "EPYC 7763", "Xeon 8480")):
        results.add(f"e{place}", psnr=20.0 + place, provenance=provenance(processor=processor))
    panels = data(results)["tasks"][0]["costs"]["panels"]
    assert [panel["label"] for panel in panels] == [
        "parameters",
        "training [s]",
        "training [s]",
        "peak memory [MiB]",
    ]
    assert [len(panel["points"]) for panel in panels] == [3, 2, 1, 3]
    assert "Xeon" in panels[2]["where"]
