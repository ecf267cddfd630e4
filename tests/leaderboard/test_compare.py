"""Comparison of two runs, or of two encodings of one run."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.compare.command import compare
from encbench_leaderboard.compare.page import as_plain, comparison_page, verdict
from encbench_leaderboard.compare.result import (
    Report,
    TaskRow,
    compare_encodings,
    compare_folders,
)
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.report.blocks import Table
from scipy import stats
from typer.testing import CliRunner

from encbench.contracts.metric import MetricValue
from encbench.errors import StoreError, UsageError
from encbench.suite.config import PluginRef, cell_key
from tests.cli.program import here
from tests.leaderboard.results import Results, diverged, provenance


def put(results: Results, encoding: str, seed: int, psnr: float | None, **changes: Any) -> Path:
    """A cell under the key that a run would give it; ``cell`` replaces parts of its cell."""
    replaced, key = changes.pop("cell", {}), changes.pop("key", None)
    options = {"pictures": False, "curves": False, "points": 0, "psnr": psnr, "seed": seed}
    if psnr is None:
        options |= {"status": "diverged", "error": diverged(7)}
    stored = results.add(encoding, **{**options, **changes})
    cell = stored.record.cell.model_copy(update=replaced)
    record = stored.record.model_copy(update={"cell": cell, "key": key or cell_key(cell)})
    results.store.remove(stored.record.key)
    return results.store.write(record, {}, {}).path


def image(name: str) -> dict[str, Any]:
    """The task and data hash of a cell on an image of a folder."""
    ref = PluginRef(
        name="image",
        distribution="encbench",
        version="0.1.0",
        parameters={"image": name, "side": 128},
        label=f"image:image={name},side=128",
    )
    return {"task": ref, "data_hash": f"data of {name}"}


@pytest.fixture
def other(tmp_path: Path) -> Results:
    """A second results folder."""
    (tmp_path / "other").mkdir()
    return Results(tmp_path / "other")


def only(report: Report) -> TaskRow:
    assert len(report.rows) == 1
    return report.rows[0]


def said(report: Report, row: TaskRow | None = None) -> str:
    row = row or only(report)
    return verdict(row.quality[0], row)


def run(*arguments: str, columns: str = "100") -> Any:
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": columns})


def test_the_difference_of_two_encodings_is_tested_over_their_common_seeds(
    results: Results,
) -> None:
    a, b = [30.0, 30.2, 30.1, 29.9], [31.0, 31.3, 31.0, 31.1]
    for seed, (x, y) in enumerate(zip(a, b, strict=True)):
        put(results, "ffe:levels=8", seed, x)
        put(results, "mpe", seed, y)
    report = compare_encodings("ffe:levels=8", "mpe", results.directory)
    quality = only(report).quality[0]
    gaps = np.array(b) - np.array(a)
    low, high = stats.t.interval(0.95, 3, gaps.mean(), stats.sem(gaps))
    assert (quality.difference.low, quality.difference.high) == pytest.approx((low, high))
    assert quality.p == pytest.approx(stats.ttest_rel(b, a).pvalue)
    assert (quality.a, quality.b) == pytest.approx((np.mean(a), np.mean(b)))
    assert (quality.wins_a, quality.wins_b, quality.ties) == (0, 4, 0)
    assert said(report) == "B better"


def test_swapping_the_sides_turns_every_sign_and_nothing_else(results: Results) -> None:
    rng = np.random.default_rng(0)
    for seed in range(7):
        put(results, "a", seed, 30 + rng.normal())
        put(results, "b", seed, 31 + rng.normal())
    here = only(compare_encodings("a", "b", results.directory))
    there = only(compare_encodings("b", "a", results.directory))
    for one, two in zip(here.quality, there.quality, strict=True):
        assert one.difference.mean == pytest.approx(-two.difference.mean)
        assert one.difference.low == pytest.approx(-two.difference.high)
        assert (one.p, one.detectable) == pytest.approx((two.p, two.detectable))
        assert (one.wins_a, one.wins_b) == (two.wins_b, two.wins_a)
    assert here.cost.time.mean == pytest.approx(1 / there.cost.time.mean)


def test_what_is_better_when_lower_wins_with_less(results: Results) -> None:
    for seed in range(4):
        for encoding, value in (("a", 0.5), ("b", 0.1)):
            metrics = {"chamfer": MetricValue(value=value + seed / 1e4, direction="lower")}
            put(results, encoding, seed, 30.0, curve="chamfer", metrics=metrics)
    report = compare_encodings("a", "b", results.directory)
    assert only(report).quality[0].difference.mean < 0
    assert said(report) == "B better"


def test_small_errors_have_their_digits(results: Results) -> None:
    for encoding, values in {"a": (2.1e-5, 2.3e-5, 2.2e-5), "b": (4.1e-5, 4.5e-5, 4.2e-5)}.items():
        for seed, value in enumerate(values):
            metrics = {"relative_l2": MetricValue(value=value, direction="lower")}
            put(results, encoding, seed, 30.0, curve="relative_l2", metrics=metrics)
    page = comparison_page(compare_encodings("a", "b", results.directory))
    shown = markdown(page, {}, "page", "page.md")[""]
    assert "2.200e-5 → 4.267e-5" in shown
    assert "+2.067e-5 [+1.780e-5,\u00a0+2.354e-5]" in shown


def test_noise_is_no_difference_and_says_what_could_have_been_seen(results: Results) -> None:
    for seed, (x, y) in enumerate([(30.0, 30.5), (31.0, 30.2), (30.4, 30.6)]):
        put(results, "a", seed, x)
        put(results, "b", seed, y)
    report = compare_encodings("a", "b", results.directory)
    quality = only(report).quality[0]
    assert said(report) == (
        f"no difference found; 3 pairs detect {quality.detectable:.2f} dB with 80 % power"
    )
    assert quality.detectable > abs(quality.difference.mean)


def test_one_pair_is_not_tested(results: Results) -> None:
    put(results, "a", 0, 30.0)
    put(results, "b", 0, 40.0)
    assert said(compare_encodings("a", "b", results.directory)) == "not tested: one pair"


def test_images_are_pooled_and_each_is_told(results: Results) -> None:
    for place, level in enumerate((20.0, 28.0, 35.0, 41.0, 22.0, 30.0, 26.0)):
        for seed in range(2):
            put(results, "a", seed, level + seed / 10, cell=image(f"{place}.png"))
            put(results, "b", seed, level + seed / 10 + 1 + place / 10, cell=image(f"{place}.png"))
    report = compare_encodings("a", "b", results.directory)
    pooled, *single = report.rows
    assert (pooled.category, pooled.targets, pooled.pairs) == (True, 7, 14)
    assert len(single) == 7
    assert all(row.within and not row.category for row in single)
    quality = pooled.quality[0]
    assert quality.difference.units == 7
    assert quality.difference.mean == pytest.approx(1.3)
    assert quality.adjusted == pytest.approx(2 / 2**7)
    assert said(report, pooled) == "B better"
    # seven tests of tasks are corrected for one another, the category's is on its own
    assert single[0].quality[0].adjusted >= single[0].quality[0].p


def test_cells_that_did_not_finish_are_told_and_left_out(results: Results) -> None:
    for seed, (x, y) in enumerate([(30.0, 31.0), (30.5, None), (None, 31.2), (30.2, 31.4)]):
        put(results, "a", seed, x)
        put(results, "b", seed, y)
    put(results, "a", 9, 30.0)
    report = compare_encodings("a", "b", results.directory)
    assert (report.pairs, only(report).pairs) == (4, 2)
    assert report.not_finished == [
        "image:image=chelsea × a seed 1: A ok, B diverged at step 7",
        "image:image=chelsea × a seed 2: A diverged at step 7, B ok",
    ]
    assert report.only_a == ["image:image=chelsea × a seed 9"]
    assert only(report).quality[0].difference.units == 2


def test_nothing_that_finished_is_not_compared(results: Results) -> None:
    put(results, "a", 0, None)
    put(results, "b", 0, 31.0)
    report = compare_encodings("a", "b", results.directory)
    assert only(report).quality[0].difference.units == 0
    assert said(report) == "not compared: no pair finished with a value"


def test_the_same_run_twice_is_equal_to_the_last_digit(results: Results, other: Results) -> None:
    for seed in range(3):
        for folder in (results, other):
            put(folder, "mpe", seed, 30.0 + seed / 3)
    report = compare_folders(results.directory, other.directory)
    assert (report.pairs, report.equal) == (3, 3)
    assert said(report) == "equal to the last digit"
    assert not report.changes
    done = run(str(results.directory), str(other.directory))
    assert "all of them equal to the last digit" in done.output


def test_what_is_equal_takes_no_part_in_the_correction(results: Results, other: Results) -> None:
    for seed in range(3):
        for folder, change in ((results, 0.0), (other, 0.5 + seed / 10)):
            put(folder, "same", seed, 30.0 + seed)
            put(folder, "changed", seed, 30.0 + seed + change)
            put(folder, "too", seed, 30.0 + seed - change)
    rows = {row.entry: row for row in compare_folders(results.directory, other.directory).rows}
    assert np.isnan(rows["same"].quality[0].p)
    for entry in ("changed", "too"):
        quality = rows[entry].quality[0]
        assert quality.adjusted == pytest.approx(2 * quality.p)


def test_a_difference_in_the_last_digit_is_not_equal(results: Results, other: Results) -> None:
    put(results, "mpe", 0, 30.0)
    put(other, "mpe", 0, float(np.nextafter(30.0, 31.0)))
    report = compare_folders(results.directory, other.directory)
    assert report.equal == 0
    assert not only(report).quality[0].identical


def test_runs_are_matched_across_versions_of_their_plugins(
    results: Results, other: Results
) -> None:
    for seed in range(4):
        old, new = (
            PluginRef(name="mpe", distribution="gridlib", version=version, label="mpe")
            for version in ("0.1.0", "0.2.0")
        )
        libraries = {"torch": "2.14.0", "numpy": "2.1.0", "scipy": "1.15.0"}
        later = provenance(libraries=libraries)
        before = put(results, "x", seed, 30.0 + seed, cell={"encoding": old})
        psnr = 32.0 + seed * 1.01
        after = put(other, "x", seed, psnr, cell={"encoding": new}, provenance=later)
        assert before.name == after.name
    report = compare_folders(results.directory, other.directory)
    assert (report.pairs, report.only_a, report.only_b) == (4, [], [])
    assert said(report) == "B better"
    changed = {change.name: (change.a, change.b, change.pairs) for change in report.changes}
    assert changed["version of torch"] == ("2.13.0", "2.14.0", 4)
    assert changed["version of gridlib"] == ("0.1.0", "0.2.0", 4)


def test_the_cell_of_the_same_version_is_taken_where_a_folder_has_several(
    results: Results, other: Results
) -> None:
    ref = PluginRef(name="mpe", distribution="encbench", version="0.0.9", label="mpe")
    put(results, "mpe", 0, 30.0)
    put(other, "mpe", 0, 30.0)
    later = provenance(started="2027-01-01T00:00:00+00:00")
    # up to schema version 2 keys depended on versions
    put(other, "mpe", 0, 10.0, key="0" * 20, cell={"encoding": ref}, provenance=later)
    report = compare_folders(results.directory, other.directory)
    assert (report.pairs, report.equal) == (1, 1)
    assert len(report.only_b) == 1


def test_cells_under_other_settings_are_not_matched_and_say_which(
    results: Results, other: Results
) -> None:
    put(results, "mpe", 0, 30.0, training={"epochs": 100})
    put(other, "mpe", 0, 35.0, training={"epochs": 200})
    report = compare_folders(results.directory, other.directory)
    assert (report.pairs, report.rows) == (0, [])
    assert report.only_a == ["image:image=chelsea × mpe seed 0 (training.epochs 100, there 200)"]
    assert run(str(results.directory), str(other.directory)).exit_code == 1


def test_cells_of_a_sweep_that_have_no_partner_are_told_apart(
    results: Results, other: Results
) -> None:
    for lr in (0.1, 0.2):
        for seed in range(2):
            put(results, "mpe", seed, 30.0, training={"lr": lr})
    put(other, "mpe", 0, 30.0, training={"lr": 0.1})
    report = compare_folders(results.directory, other.directory)
    names = [name.partition(" (")[0] for name in report.only_a]
    where = "image:image=chelsea × mpe · lr="
    assert names == [f"{where}0.1 seed 1", f"{where}0.2 seed 0", f"{where}0.2 seed 1"]


@pytest.fixture
def longer(results: Results, other: Results) -> Results:
    """The cells of ``results`` with more epochs, all of them 2 dB better."""
    for seed in range(3):
        key = put(results, "a", seed, 30.0 + seed).name
        more = results.store.record(key).record.cell.training.model_copy(update={"epochs": 9})
        put(other, "a", seed, 32.0 + seed, cell={"training": more})
    return other


@pytest.mark.parametrize("setting", ["training.epochs", "training"])
def test_runs_under_other_settings_are_compared_when_that_is_asked_for(
    results: Results, longer: Results, setting: str
) -> None:
    folders = (results.directory, longer.directory)
    apart = compare_folders(*folders)
    assert (apart.pairs, apart.between) == (0, ["training.epochs"])
    report = compare_folders(*folders, [setting])
    assert (report.pairs, report.only_a, report.only_b, report.between) == (3, [], [], [])
    assert only(report).quality[0].difference.mean == 2.0
    (change,) = report.settings
    assert (change.name, change.b, change.pairs) == ("training.epochs", "9", 3)
    hint = "To compare those anyway: --despite training.epochs"
    assert hint in run(*map(str, folders)).output
    asked = run(*map(str, folders), "--despite", setting).output
    assert hint not in asked
    assert "training.epochs: " in asked


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epoch", "did you mean 'training.epochs'?"),
        ("seed", "'seed' is not a setting in which cells may differ; there are network.width"),
        ("", "'' is not a setting"),
    ],
)
def test_what_is_no_setting_is_refused(
    results: Results, longer: Results, setting: str, words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        compare_folders(results.directory, longer.directory, [setting])


def test_a_folder_with_several_values_of_a_setting_is_refused(
    results: Results, longer: Results
) -> None:
    training = results.store.records()[0].record.cell.training
    put(results, "a", 0, 31.0, cell={"training": training.model_copy(update={"epochs": 5})})
    with pytest.raises(UsageError, match=r"× a seed 0: one folder holds .* training\.epochs"):
        compare_folders(results.directory, longer.directory, ["training.epochs"])
    asked = run("a", "b", "--in", str(results.directory), "--despite", "training")
    assert isinstance(asked.exception, UsageError)
    assert "for two folders" in str(asked.exception)


def test_times_of_different_machines_are_refused_with_the_reason(
    results: Results, other: Results
) -> None:
    for seed in range(2):
        put(results, "mpe", seed, 30.0 + seed)
        elsewhere = provenance(machine="elsewhere") if seed else provenance()
        put(other, "mpe", seed, 31.0 + seed, provenance=elsewhere)
    cost = only(compare_folders(results.directory, other.directory)).cost
    assert (cost.timed, cost.untimed) == (1, 1)
    done = run(str(results.directory), str(other.directory))
    assert re.search(r"Not compared, 1 pair: times: A on x86_64.*; B on elsewhere", done.output)
    assert "1 of 2 pairs" in done.output


@pytest.mark.parametrize("change", [{"threads": 2}, {"device": "NVIDIA H200"}])
def test_times_need_the_same_threads_and_device(
    results: Results, other: Results, change: dict[str, Any]
) -> None:
    put(results, "mpe", 0, 30.0)
    put(other, "mpe", 0, 31.0, provenance=provenance(**change))
    cost = only(compare_folders(results.directory, other.directory)).cost
    assert np.isnan(cost.time.mean)
    assert cost.untimed == 1
    assert np.isnan(cost.memory.mean) == ("device" in change)


def test_a_metric_under_other_conditions_is_another_metric(
    results: Results, other: Results
) -> None:
    for folder, scales in ((results, 3), (other, 4)):
        for seed in range(2):
            value = MetricValue(value=0.9, details={"scales": scales if seed else 3})
            put(folder, "mpe", seed, 30.0, curve="ms_ssim", metrics={"ms_ssim": value})
    quality = only(compare_folders(results.directory, other.directory)).quality[0]
    assert quality.difference.units == 1
    assert quality.refused == {"MS-SSIM: A under scales = 3; B under scales = 4": 1}
    done = run(str(results.directory), str(other.directory), "--all")
    assert "Not compared, 1 pair: MS-SSIM: A under scales = 3" in done.output


def test_images_of_different_numbers_of_scales_have_no_common_difference(
    results: Results,
) -> None:
    for place in range(4):
        for encoding, quality in (("a", 0.8), ("b", 0.9)):
            value = MetricValue(value=quality + place / 100, details={"scales": 3 + place % 2})
            metrics = {"ms_ssim": value}
            cell = image(f"{place}.png")
            put(results, encoding, 0, 30.0, curve="ms_ssim", metrics=metrics, cell=cell)
    pooled, *single = compare_encodings("a", "b", results.directory).rows
    assert pooled.category
    assert np.isnan(pooled.quality[0].difference.mean)
    assert said(Report("a", "b", None), pooled) == "not compared: taken under other conditions"
    assert [row.quality[0].difference.mean for row in single] == pytest.approx([0.1] * 4)


def test_ratios_of_time_and_memory_are_geometric(results: Results) -> None:
    for seed, factor in enumerate((2.0, 8.0)):
        put(results, "a", seed, 30.0, durations={"training": 10.0}, peak_memory_bytes=100)
        put(results, "b", seed, 31.0, durations={"training": 10.0 * factor}, peak_memory_bytes=50)
    cost = only(compare_encodings("a", "b", results.directory)).cost
    assert cost.time.mean == pytest.approx(4.0)
    assert cost.time.low * cost.time.high == pytest.approx(16.0)
    assert cost.memory.mean == pytest.approx(0.5)
    assert cost.parameters_a == (265_731, 1000)


def test_every_number_of_the_table_stands_under_its_heading(
    results: Results, other: Results
) -> None:
    for seed in range(3):
        put(results, "ffe:levels=8", seed, 30.25 + seed / 9)
        put(
            other,
            "ffe:levels=8",
            seed,
            31.25 + seed / 8,
            parameters={"mlp": 132_365, "encoding": 1000},
        )
    report = compare_folders(results.directory, other.directory)
    (table,) = (block for block in comparison_page(report).blocks if isinstance(block, Table))
    cells = {
        row.values[1].text: dict(zip((c.name for c in table.columns), row.values, strict=True))
        for row in table.rows
    }
    assert cells["PSNR [dB] ↑"]["sides"].text == "30.36 → 31.38"
    assert cells["parameters"]["sides"].text == "265,731 + 12,000 → 132,365 + 1,000"
    assert cells["parameters"]["difference"].text == "×0.480"
    for name in ("parameters", "peak memory"):
        assert not cells[name]["verdict"].text
    shown = run(str(results.directory), str(other.directory), columns="80").output.splitlines()
    assert max(map(len, shown)) <= 80
    (heading,) = (line for line in shown if "→ B" in line)
    (sides,) = (line for line in shown if "→ 132,365" in line)
    assert sides.rindex("1,000") + 5 == heading.index("→ B") + 3


def test_an_exact_fit_counts_as_in_the_standings(results: Results) -> None:
    for seed, psnr in enumerate((30.0, math.inf, 32.0)):
        put(results, "a", seed, psnr)
        put(results, "b", seed, 29.0 + seed)
        put(results, "c", seed, 34.0)  # the best finite value, which an exact fit counts as
    for pair, better in ((("a", "b"), "A"), (("b", "a"), "B")):
        quality = only(compare_encodings(*pair, results.directory)).quality[0]
        means = {"a": 32.0, "b": 30.0}
        assert (quality.a, quality.b) == tuple(means[name] for name in pair)
        assert abs(quality.difference.mean) == 2.0
        assert quality.method == "t"
        assert getattr(quality, f"wins_{better.lower()}") == 3
    (table,) = (task.standings for task in boards(results.store.records()).tasks)
    assert table.set_index("entry")["metric:psnr"]["a"] == 32.0
    shown = run("a", "b", "--in", str(results.directory), columns="160").stdout
    assert "32.00; 1 of 3 ∞ → 30.00" in shown
    assert "An exact fit (∞) counts as the best finite value of the table." in " ".join(
        shown.split()
    )


@pytest.mark.parametrize(
    ("a", "b", "wins", "outcome"),
    [
        (
            (math.inf, math.inf, math.inf),
            (math.inf, 40.0, 41.0),
            "2:0",
            "not tested: infinite values",
        ),
        ((math.inf, 40.0, 41.0), (50.0, 40.0, 41.0), "1:0", "no difference found"),
        ((30.0, 40.0, 41.0), (30.0 + 4e-15, 40.0, 41.0), "0:0", "equal up to rounding"),
    ],
)
def test_an_exact_fit_wins_over_the_value_that_it_counts_as(
    results: Results, a: tuple[float, ...], b: tuple[float, ...], wins: str, outcome: str
) -> None:
    for seed in range(3):
        put(results, "a", seed, a[seed])
        put(results, "b", seed, b[seed])
    report = compare_encodings("a", "b", results.directory)
    (table,) = (block for block in comparison_page(report).blocks if isinstance(block, Table))
    assert (table.rows[0].values[-2].text, said(report)) == (wins, outcome)


def test_between_folders_an_exact_fit_counts_as_the_best_of_the_compared_cells(
    results: Results, other: Results
) -> None:
    put(results, "c", 0, 60.0)  # without a partner
    for seed, psnr in enumerate((math.inf, 40.0, 41.0)):
        put(results, "a", seed, psnr)
        put(other, "a", seed, 45.0 - seed)
    report = compare_folders(results.directory, other.directory)
    assert only(report).quality[0].a == 42.0
    blocks = comparison_page(report).blocks
    (note,) = (b.markdown for b in blocks if getattr(b, "kind", "") == "note")
    assert "An exact fit (∞) counts as the best finite value of the cells compared here." in note


def test_small_and_large_ratios_of_parameters_are_told_apart(results: Results) -> None:
    for encoding, width in (("a", 1_000), ("b", 2_400_000)):
        put(results, encoding, 0, 30.0, parameters={"mlp": 0, "encoding": width})
    found = {}
    for pair in (("a", "b"), ("b", "a")):
        page = comparison_page(compare_encodings(*pair, results.directory))
        (table,) = (block for block in page.blocks if isinstance(block, Table))
        found[pair] = [row.values[3].text for row in table.rows if "param" in row.values[0].text]
    assert found == {("a", "b"): ["×2,400"], ("b", "a"): ["×0.000417"]}


def test_rows_that_were_not_tested_are_counted_as_such(results: Results) -> None:
    at = {"points": 0, "pictures": False, "curves": False}
    for task, value in {"smooth": 30.0, "equal": 31.0, "failed": None}.items():
        ended = {} if value else {"status": "diverged", "error": diverged(7)}
        results.add("a", task=task, psnr=31.0, **at)
        results.add("b", task=task, psnr=value, **at, **ended)
    page = comparison_page(compare_encodings("a", "b", results.directory))
    assert (
        markdown(page, {}, "page", "page.md")[""]
        .rstrip()
        .endswith(
            "3 rows by their first metric: B better on 0, A better on 0, no difference found on 0, "
            "equal to the last digit on 1, not tested on 1, not compared on 1."
        )
    )


def test_an_infinite_error_makes_the_mean_infinite(results: Results) -> None:
    for seed, error in enumerate((0.1, 0.2, math.inf)):
        for encoding, value in (("a", error), ("b", 0.3)):
            metrics = {"l1": MetricValue(value=value, direction="lower")}
            put(results, encoding, seed, 30.0, metrics=metrics, curve="l1")
    report = compare_encodings("a", "b", results.directory)
    quality = only(report).quality[0]
    assert (quality.a, quality.difference.mean) == (math.inf, -math.inf)
    assert re.search("∞ → 0.3000 +−∞ ", run("a", "b", "--in", str(results.directory)).stdout)
    assert said(report) == "not tested: infinite values"


def test_a_perfect_image_is_infinitely_good_and_not_tested(results: Results) -> None:
    for seed in range(3):
        put(results, "a", seed, 30.0 + seed)
        put(results, "b", seed, float("inf"))
    report = compare_encodings("a", "b", results.directory)
    quality = only(report).quality[0]
    assert quality.wins_b == 3
    assert said(report) == "not tested: infinite values"
    assert as_plain(report)["rows"][0]["quality"][0]["difference"]["mean"] == "inf"


def test_an_encoding_is_named_by_as_much_as_tells_it_apart(results: Results) -> None:
    for levels in (4, 8):
        ref = PluginRef(
            name="ffe",
            distribution="encbench",
            version="0.1.0",
            parameters={"levels": levels, "convention": "paper"},
            label=f"ffe:levels={levels}",
        )
        put(results, "x", 0, 20.0 + levels, cell={"encoding": ref})
    put(results, "mpe", 0, 40.0)
    folder = results.directory
    assert compare_encodings("ffe:convention=paper,levels=4", "mpe", folder).a == "ffe:levels=4"
    assert compare_encodings("ffe:levels=4", "encbench:ffe:levels=8", folder).b == "ffe:levels=8"
    with pytest.raises(UsageError, match=r"'ffe' matches several encodings: ffe:levels=4; ffe:lev"):
        compare_encodings("ffe", "mpe", folder)
    with pytest.raises(UsageError, match=r"no encoding 'mpee' in the folder.*did you mean 'mpe'\?"):
        compare_encodings("mpee", "ffe:levels=4", folder)
    with pytest.raises(UsageError, match="are the same encoding"):
        compare_encodings("mpe", "mpe", folder)


def test_settings_that_differ_between_two_entries_are_told(results: Results) -> None:
    for seed in range(2):
        put(results, "mpe", seed, 30.0, training={"epochs": 100, "lr": 0.5})
        put(results, "mpe", seed, 31.0, training={"epochs": 100, "lr": 2.0})
        put(results, "ffe", seed, 29.0, training={"epochs": 100, "lr": 4.0})
    with pytest.raises(UsageError, match=r"'mpe' and 'ffe' have no task.*: mpe · lr=0\.5; mpe"):
        compare_encodings("mpe", "ffe", results.directory)
    report = compare_encodings("mpe · lr=0.5", "ffe", results.directory)
    assert [(c.name, c.a, c.b, c.pairs) for c in report.settings] == [
        ("training.lr", "0.5", "4.0", 2)
    ]
    assert only(report).quality[0].a == 30.0


def test_encodings_of_one_sweep_are_compared_under_each_of_its_values(results: Results) -> None:
    for lr, gap in ((0.5, 1.0), (2.0, -3.0)):
        for seed in range(3):
            training = {"epochs": 100, "lr": lr}
            put(results, "mpe", seed, 30.0 + seed, training=training)
            put(results, "ffe", seed, 30.0 + 1.1 * seed + gap, training=training)
    report = compare_encodings("mpe", "ffe", results.directory)
    found = [(row.entry, row.pairs, row.quality[0].difference.mean) for row in report.rows]
    assert found == [("lr=0.5", 3, pytest.approx(1.1)), ("lr=2.0", 3, pytest.approx(-2.9))]
    assert not report.settings
    said = run("mpe", "ffe", "--in", str(results.directory)).stdout
    assert " settings " in said
    assert " lr=2.0 " in said
    put(results, "ffe", 0, 29.0, training={"epochs": 100, "lr": 4.0})
    put(results, "mpe", 0, 29.0, training=training, cell=image("x.png"))
    put(results, "mpe", 0, 29.0, training=training | {"lr": 0.5}, cell=image("x.png"))
    report = compare_encodings("mpe", "ffe", results.directory)
    assert [row.entry for row in report.rows if row.pairs] == ["lr=0.5", "lr=2.0"]
    assert report.only_b == ["image:image=chelsea × ffe · lr=4.0 seed 0"]
    assert [name.split()[0] for name in report.only_a] == ["image:image=x.png,side=128"] * 2


def test_only_cells_of_the_entry_that_is_named_are_compared(results: Results) -> None:
    for task, rates in (("x", (0.1, 0.2)), ("y", (0.2,))):
        for seed in range(2):
            for lr in rates:
                put(results, "a", seed, 30.0 + lr, task=task, training={"lr": lr})
            put(results, "b", seed, 31.0, task=task, training={"lr": 0.1})
    report = compare_encodings("a · lr=0.1", "b", results.directory)
    assert report.pairs == 2
    assert report.only_b == ["y × b seed 0", "y × b seed 1"]
    assert compare_encodings("a · lr=0.2", "b", results.directory).pairs == 4


def test_a_label_of_several_encodings_is_refused_with_their_names(results: Results) -> None:
    for name in ("ffe", "mpe"):
        for label, lr in (("slow", 1e-4), ("fast", 1e-2)):
            ref = PluginRef(name=name, distribution="encbench", version="0.1.0", label=label)
            put(results, name, 0, 30.0, training={"lr": lr}, cell={"encoding": ref})
    names = r"'slow' matches several encodings: slow \(ffe\); slow \(mpe\); give one"
    with pytest.raises(UsageError, match=names):
        compare_encodings("slow", "fast", results.directory)
    report = compare_encodings("slow (ffe)", "fast (ffe)", results.directory)
    assert [(c.name, c.a, c.b) for c in report.settings] == [("training.lr", "0.0001", "0.01")]


def test_what_is_no_folder_is_told_how_encodings_are_compared(results: Results) -> None:
    done = run("ffe", "mpe")
    assert isinstance(done.exception, UsageError)
    assert "encbench compare A B --in DIR" in str(done.exception)
    assert "\n" not in str(done.exception)


def test_an_empty_folder_is_one_line(results: Results, other: Results) -> None:
    put(results, "mpe", 0, 30.0)
    with pytest.raises(StoreError, match="holds no records") as caught:
        compare_folders(results.directory, other.directory)
    assert "\n" not in str(caught.value)


def test_json_holds_what_is_printed(results: Results) -> None:
    for seed in range(3):
        put(results, "a", seed, 30.0 + seed / 10)
        put(results, "b", seed, 33.0 + seed / 9)
    done = run("a", "b", "--in", str(results.directory), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    quality = found["rows"][0]["quality"][0]
    assert quality["metric"]["name"] == "psnr"
    assert quality["verdict"] == "B better"
    assert quality["difference"]["mean"] == pytest.approx(3.011, abs=1e-3)
    printed = run("a", "b", "--in", str(results.directory)).output
    assert "+3.01" in printed
    assert "B better" in printed


@pytest.mark.parametrize("columns", [80, 120])
def test_a_line_is_never_longer_than_the_terminal(results: Results, columns: int) -> None:
    for place in range(3):
        for seed in range(2):
            long = "mpe:resolutions=[16,32,64,128,256],features=4,interpolation=smoothstep"
            put(results, "a", seed, 30.0 + seed + place, cell=image(f"{place}.png"))
            put(results, long, seed, 30.5 + place, cell=image(f"{place}.png"))
    folders = (results.directory, results.directory)
    done = here("compare", *folders, "--all", columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 targets" in done.stdout
    assert [line for line in done.stdout.splitlines()[3:] if len(line) > columns] == []


def test_a_comparison_is_a_page_that_any_renderer_can_draw(results: Results) -> None:
    for seed in range(3):
        put(results, "a*b", seed, 30.0 + seed / 10)
        put(results, "b|c", seed, 33.0 + seed / 9)
    page = comparison_page(compare_encodings("a*b", "b|c", results.directory))
    shown = markdown(page, {}, "page", "page.md")[""]
    assert "- A: `a*b`" in shown
    assert "| PSNR [dB] ↑ " in shown
    assert "B better" in shown


def test_folders_without_a_common_cell_are_an_error_that_says_why(results, other):
    put(results, "ffe", 0, 30.0)
    put(other, "ffe", 1, 30.0)
    done = here("compare", results.store.directory, other.store.directory)
    assert done.returncode == 1
    assert "have no cells with the same task, settings and seed" in done.stderr
    assert "0 pairs of cells" in done.stdout
