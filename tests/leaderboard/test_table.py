"""Standings from records: which entries are ranked, in which order, over which seeds."""

from __future__ import annotations

import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.standings import TESTED, standings
from encbench_leaderboard.board.table import Board, TaskBoard, boards, metric_conditions
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.render.terminal import rich_table
from encbench_leaderboard.report.blocks import Table
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.report.notes import (
    halved_notes,
    metric_notes,
    statistics_notes,
    unfinished_note,
)
from encbench_leaderboard.report.standings_table import standings_table
from encbench_leaderboard.report.tables import adjacent_table
from rich.console import Console
from scipy.stats import sem, t

from encbench.contracts.metric import MetricValue
from encbench.results.records import ErrorInfo, LearningRate
from tests.leaderboard.results import FLOOR, Results, diverged


def board_of(results: Results) -> Board:
    return boards(results.store.records())


def rows(table: Table | None) -> list[dict[str, str]]:
    """The values of a table as printed, by column title."""
    assert table is not None
    titles = [column.title for column in table.columns]
    return [
        dict(zip(titles, (value.text for value in row.values), strict=True)) for row in table.rows
    ]


def standings_of(task: TaskBoard) -> list[dict[str, str]]:
    return rows(standings_table(task))


def test_entries_are_ranked_best_first(results: Results) -> None:
    for encoding, psnr in (("ffe:levels=4", 25.0), ("identity", 20.0), ("mpe", 41.0)):
        results.add(encoding, psnr=psnr)
    task = board_of(results).tasks[0]
    assert list(task.standings["entry"]) == ["mpe", "ffe:levels=4", "identity"]
    assert list(task.standings["rank"]) == [1, 2, 3]


def test_a_metric_that_is_better_when_lower_ranks_the_lowest_first(results: Results) -> None:
    for encoding, chamfer in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        results.add(
            encoding,
            curve="chamfer",
            metrics={"chamfer": MetricValue(value=chamfer, unit="", direction="lower")},
        )
    task = board_of(results).tasks[0]
    assert list(task.standings["entry"]) == ["b", "c", "a"]
    assert standings_of(task)[0]["chamfer ↓"] == "0.1000"


def test_columns_follow_the_metrics_of_the_task(results: Results) -> None:
    results.add(
        task="occupancy",
        curve="iou",
        metrics={
            "f_score": MetricValue(value=0.5, title="F-score"),
            "iou": MetricValue(value=0.875),
        },
    )
    columns = list(standings_of(board_of(results).tasks[0])[0])
    assert columns.index("IoU ↑") < columns.index("best IoU") < columns.index("F-score ↑")
    assert not any("PSNR" in column for column in columns)


def test_equal_quality_shares_a_rank(results: Results) -> None:
    for encoding, psnr in (("a", 30.0), ("b", 30.0), ("c", 20.0)):
        results.add(encoding, psnr=psnr)
    assert list(board_of(results).tasks[0].standings["rank"]) == [1, 1, 3]


def test_cells_that_did_not_finish_stand_last_with_their_reason_below(results: Results) -> None:
    results.add("aaa", status="diverged", error=diverged(1234), psnr=None)
    results.add(
        "bbb", status="failed", psnr=None, error=ErrorInfo(type="ValueError", message="no\nroom")
    )
    results.add("zzz", psnr=12.0)
    shown = standings_of(board_of(results).tasks[0])
    assert [row["encoding"] for row in shown] == ["zzz", "aaa", "bbb"]
    assert [row["#"] for row in shown] == ["(1)", "–", "–"]
    assert shown[0]["status"] == "ok"
    assert [row["status"] for row in shown[1:]] == ["diverged", "failed"]
    assert unfinished_note(board_of(results).tasks[0]) == (
        "Not finished:\n\n- `aaa`: 1 diverged at step 1,234\n"
        "- `bbb`: 1 failed in training: ValueError: no room"
    )


def test_reasons_are_counted_and_name_no_class_of_encbench(results: Results) -> None:
    own = ErrorInfo(type="PluginError", message="the encoding Flat returned (8,) for 8 points")
    theirs = ErrorInfo(type="OSError", message="encoding 'a' of acme 1.0 failed: OSError: burnt")
    for seed, step in enumerate((3, 3, 4)):
        results.add("a", status="diverged", error=diverged(step), psnr=None, seed=seed)
    for seed, error in enumerate((own, own, theirs), 3):
        results.add("a", status="failed", error=error, psnr=None, seed=seed)
    task = board_of(results).tasks[0]
    assert standings_of(task)[0]["status"] == "3 diverged; 3 failed"
    assert unfinished_note(task).endswith(
        "- `a`: 3 diverged at steps 3 to 4; "
        "2 failed in training: the encoding Flat returned (8,) for 8 points; "
        "1 failed in training: encoding 'a' of acme 1.0 failed: OSError: burnt"
    )


def test_in_a_narrow_terminal_no_status_is_broken_and_times_are_left_out(results: Results) -> None:
    for seed, psnr in enumerate((30.0, 31.0, 35.0)):
        results.add("a_long_name:levels=16", psnr=psnr, seed=seed)
        results.add("late", status="out_of_memory", psnr=None, seed=seed)
    console = Console(width=72, record=True, file=StringIO())
    console.print(rich_table(standings_table(board_of(results).tasks[0]), 72))
    text = console.export_text()
    for words, shown in {"3 out of ": True, " memory ": True, "training": False}.items():
        assert (words in text) == shown


def test_in_a_narrow_terminal_names_are_broken_after_commas_and_otherwise_unchanged(
    results: Results,
) -> None:
    results.add("mpe:resolutions=[16,32],features=2")
    console = Console(width=40, record=True, file=StringIO())
    console.print(rich_table(standings_table(board_of(results).tasks[0]), 40))
    text = console.export_text()
    for words in (" mpe:resolutions=[16,32],  ", " features=2  "):
        assert words in text


def test_what_a_diverged_cell_reached_is_not_shown_as_quality(results: Results) -> None:
    results.add("a", psnr=20.0)
    results.add("b", status="diverged", error=diverged(7), psnr=40.0, best=44.0)
    last = standings_of(board_of(results).tasks[0])[1]
    assert last["PSNR [dB] ↑"] == last["best PSNR"] == last["MS-SSIM ↑"] == "–"


def test_seeds_are_averaged_with_an_interval(results: Results) -> None:
    for seed, psnr in enumerate((30.0, 31.0, 35.0)):
        results.add("a", psnr=psnr, seed=seed)
    results.add("b", psnr=31.0)
    task = board_of(results).tasks[0]
    shown = standings_of(task)
    low, high = t.interval(0.95, 2, 32.0, sem([30.0, 31.0, 35.0]))
    assert shown[0]["PSNR [dB] ↑"] == f"32.00 ± {(high - low) / 2:.2f}"
    assert [row["n"] for row in shown] == ["3", "1"]
    assert shown[1]["PSNR [dB] ↑"] == "31.00"
    notes = " ".join(statistics_notes(task))
    assert "mean ± half of the 95 % t interval" in notes.lower()
    assert "One seed has no interval." in notes


def test_of_six_seeds_the_interval_is_the_same_kind_as_of_two(results: Results) -> None:
    values = [30.0 + seed**2 / 10 for seed in range(6)]
    for seed, psnr in enumerate(values):
        results.add("a", psnr=psnr, seed=seed)
    task = board_of(results).tasks[0]
    low, high = t.interval(0.95, 5, 30.0 + 5.5 / 6, sem(values))
    assert standings_of(task)[0]["PSNR [dB] ↑"] == f"30.92 ± {(high - low) / 2:.2f}"
    assert "95 % t interval over seeds" in " ".join(statistics_notes(task))


def test_what_cannot_be_told_apart_is_printed_as_a_tie(results: Results) -> None:
    values = {
        "best": (40.0, 40.1, 40.2, 40.1),
        "good": (30.0, 30.4, 30.1, 30.2),
        "also": (30.1, 30.2, 30.0, 30.3),
        "last": (20.1, 20.0, 20.2, 20.1),
    }
    for encoding, found in values.items():
        for seed, psnr in enumerate(found):
            results.add(encoding, psnr=psnr, seed=seed, pictures=False)
    task = board_of(results).tasks[0]
    assert [row["#"] for row in standings_of(task)] == ["1", "2–3", "= 2–3", "4"]
    beside = rows(adjacent_table(task))
    assert [row["verdict"] for row in beside] == ["different", "tie", "different"]
    assert beside[0]["p (Holm)"] == "< 0.001"
    gaps = np.array(values["best"]) - np.array(values["good"])
    low, high = t.interval(0.95, 3, gaps.mean(), sem(gaps))
    assert beside[0]["difference [dB]"] == f"{gaps.mean():.2f}"
    assert beside[0]["95 % interval"] == f"{low:.2f} to {high:.2f}"


def test_one_cell_each_is_ranked_by_value_and_said_to_be_untested(results: Results) -> None:
    results.add("a", psnr=30.0)
    results.add("b", psnr=20.0)
    task = board_of(results).tasks[0]
    assert [row["#"] for row in standings_of(task)] == ["(1)", "(2)"]
    assert statistics_notes(task) == ["(1): ordered by mean only; one seed is too few to test."]
    assert adjacent_table(task) is None


def test_a_task_of_thousands_of_entries_tests_the_best_alone(results: Results) -> None:
    metric = MetricInfo("psnr", "dB", "higher")
    stored = [results.add("a", seed=seed, pictures=False, curves=False) for seed in range(2)]
    task = boards(stored).tasks[0]
    entries = 1500
    cells = pd.concat([task.cells] * entries, ignore_index=True)
    cells["entry"] = np.repeat([f"e{i}" for i in range(entries)], 2)
    rng = np.random.default_rng(0)
    cells["metric:psnr"] = np.repeat(np.arange(entries) / 10.0, 2) + rng.normal(0, 0.1, 2 * entries)
    table, pairs = standings(cells, [metric], category=False)
    assert pairs is not None
    assert len(pairs.first) == TESTED * (TESTED - 1) // 2
    assert table["tested"].sum() == TESTED
    assert table["rank_high"].max() == entries
    one = table[table["entry"] == "e700"].iloc[0]
    sample = cells.loc[cells["entry"] == "e700", "metric:psnr"]
    assert one["metric:psnr|low"] == pytest.approx(
        t.interval(0.95, 1, sample.mean(), sem(sample))[0]
    )


def test_only_seeds_that_finished_are_averaged(results: Results) -> None:
    results.add("a", psnr=30.0, seed=0)
    results.add("a", psnr=32.0, seed=1)
    results.add("a", psnr=None, seed=2, status="diverged", error=diverged(5))
    task = board_of(results).tasks[0]
    assert task.standings["metric:psnr"][0] == 31.0
    assert standings_of(task)[0]["status"] == "2 of 3 ok; 1 diverged"


def test_an_eigenvalue_under_the_floor_is_never_a_value(results: Results) -> None:
    results.add("deep", decades=20.0, psnr=30.0)
    results.add("shallow", decades=6.0, psnr=20.0)
    deep, shallow = standings_of(board_of(results).tasks[0])
    assert deep["λ_min"] == "≤ 2.00e-11"
    assert float(shallow["λ_min"]) > FLOOR
    assert deep["resolved rank / size"].endswith("/ 64")
    assert int(deep["resolved rank / size"].split("/")[0]) < 64
    assert shallow["resolved rank / size"] == "64 / 64"


def test_seeds_on_both_sides_of_the_floor_are_told(results: Results) -> None:
    results.add("a", decades=20.0, seed=0)
    results.add("a", decades=6.0, seed=1)
    text = standings_of(board_of(results).tasks[0])[0]["λ_min"]
    assert text.endswith("; 1 of 2 ≤ 2.00e-11")


def test_without_spectra_the_table_has_no_spectrum_columns(results: Results) -> None:
    results.add(points=0)
    columns = list(standings_of(board_of(results).tasks[0])[0])
    assert not any("λ" in column or "rank /" in column for column in columns)


def test_a_metric_without_a_value_is_a_dash(results: Results) -> None:
    results.add("a", metrics={"psnr": MetricValue(value=None, unit="dB")})
    results.add("b", metrics={"psnr": MetricValue(value=math.nan, unit="dB")})
    results.add("c", metrics={"psnr": MetricValue(value=math.inf, unit="dB")})
    results.add("d", psnr=30.0)
    shown = standings_of(board_of(results).tasks[0])
    assert [(r["encoding"], r["PSNR [dB] ↑"]) for r in shown] == [
        ("c", "∞"),
        ("d", "30.00"),
        ("a", "–"),
        ("b", "–"),
    ]


def test_a_condition_of_a_metric_that_holds_for_all_is_said_once(results: Results) -> None:
    results.add("a")
    results.add("b")
    assert metric_conditions(board_of(results).tasks[0]) == ({"ms_ssim": "scales = 3"}, [])


def test_numbers_under_different_conditions_carry_them(results: Results) -> None:
    for encoding, scales in (("a", 3), ("b", 5)):
        value = MetricValue(value=0.9, details={"scales": scales, "window": 11})
        results.add(encoding, metrics={"ms_ssim": value}, curve="ms_ssim")
    shown = standings_of(board_of(results).tasks[0])
    assert {row["MS-SSIM ↑"] for row in shown} == {
        "0.9000 (scales = 3, window = 11)",
        "0.9000 (scales = 5, window = 11)",
    }


def test_one_encoding_under_two_settings_is_two_entries(results: Results) -> None:
    results.add("mpe", training={"epochs": 100, "lr": 0.5}, psnr=30.0)
    results.add("mpe", training={"epochs": 100, "lr": 2.0}, psnr=31.0)
    results.add("ffe", training={"epochs": 100, "lr": 7.0}, psnr=20.0)
    entries = list(board_of(results).tasks[0].standings["entry"])
    assert entries == ["mpe · lr=2.0", "mpe · lr=0.5", "ffe"]


def test_a_setting_that_a_cell_leaves_unset_is_not_shown_as_its_value(results: Results) -> None:
    results.add("mpe", training={"epochs": 100}, psnr=30.0)
    results.add("mpe", training={"steps": 500}, psnr=31.0)
    entries = list(board_of(results).tasks[0].standings["entry"])
    assert entries == ["mpe · steps=500", "mpe · epochs=100"]


def test_seeds_without_a_value_are_told_beside_the_mean_of_the_others(results: Results) -> None:
    for seed, value in enumerate((0.5, 0.7, None)):
        metrics = {"psnr": MetricValue(value=30.0), "gap": MetricValue(value=value)}
        results.add(seed=seed, metrics=metrics)
    shown = standings_of(board_of(results).tasks[0])[0]
    assert shown["gap ↑"] == "0.6000 ± 1.2706; 1 of 3 –"


def test_a_mean_far_smaller_than_its_interval_has_the_interval_s_digits(results: Results) -> None:
    for seed, value in enumerate((1.0, -1.0, 1e-9)):
        gap = MetricValue(value=value, direction="lower", unit="nats")
        results.add(seed=seed, psnr=None, curve="gap", metrics={"gap": gap})
    shown = standings_of(board_of(results).tasks[0])[0]
    assert shown["gap [nats] ↓"] == "0.000 ± 2.484"


def test_a_rate_of_adam_is_not_measured_by_that_of_gradient_descent(results: Results) -> None:
    results.add("a", training={"epochs": 1, "optimizer": "adam"}, psnr=20.0)
    results.add("b", training={"epochs": 1}, psnr=30.0)
    descent, adam = standings_of(board_of(results).tasks[0])
    assert (descent["lr"], descent["lr / lr_crit"]) == ("21.0", "1.50")
    assert (adam["lr"], adam["lr / lr_crit"]) == ("21.0", "–")


def test_the_same_label_on_other_parameters_is_told_apart(results: Results) -> None:
    first = results.add("mpe:levels=2", psnr=30.0)
    second = results.add("mpe:levels=4", psnr=31.0)
    for stored in (first, second):
        ref = stored.record.cell.encoding.model_copy(update={"label": "mine"})
        cell = stored.record.cell.model_copy(update={"encoding": ref})
        results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})
    assert board_of(results).entries == ("mine (asked=levels=2)", "mine (asked=levels=4)")


def relabelled(results: Results, encoding: str, label: str, **options: Any) -> None:
    """A cell of an encoding with a label of the user's."""
    small = {"points": 0, "pictures": False, "curves": False}
    stored = results.add(encoding, **small | options)
    ref = stored.record.cell.encoding.model_copy(update={"label": label})
    cell = stored.record.cell.model_copy(update={"encoding": ref})
    results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})


def test_the_same_label_on_other_encodings_is_told_apart(results: Results) -> None:
    for seed in range(2):
        for encoding in ("identity", "symmetric", "mpe:levels=2", "mpe:levels=4"):
            relabelled(results, encoding, "base", seed=seed)
    board = board_of(results)
    assert board.entries == (
        "base (identity)",
        "base (mpe, asked=levels=2)",
        "base (mpe, asked=levels=4)",
        "base (symmetric)",
    )
    assert list(board.tasks[0].standings["n"]) == [2] * 4


def test_labels_of_settings_are_told_apart_if_two_encodings_have_them(results: Results) -> None:
    for encoding in ("ffe", "mpe"):
        for label, lr in (("slow", 1e-4), ("fast", 1e-2)):
            relabelled(results, encoding, label, training={"lr": lr})
    relabelled(results, "identity", "slow (ffe)")
    names = ("fast (ffe)", "fast (mpe)", "slow (ffe)", "slow (ffe) #2", "slow (mpe)")
    assert board_of(results).entries == names


def test_an_entry_has_one_name_on_all_tasks(results: Results) -> None:
    for task, rates in (("x", (0.1, 0.2)), ("y", (0.2,))):
        for lr in rates:
            results.add("a", task=task, training={"steps": 10 if task == "x" else 20, "lr": lr})
    entries = [set(task.standings["entry"]) for task in board_of(results).tasks]
    # steps differ only between tasks
    assert entries == [{"a · lr=0.1", "a · lr=0.2"}, {"a · lr=0.2"}]


def test_without_a_label_an_encoding_is_named_with_its_parameters(results: Results) -> None:
    stored = results.add("mpe:levels=2")
    ref = stored.record.cell.encoding.model_copy(
        update={"label": None, "parameters": {"levels": 2, "resolutions": None}}
    )
    cell = stored.record.cell.model_copy(update={"encoding": ref})
    results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})
    assert board_of(results).entries == ("mpe(levels=2)",)


def test_the_same_task_on_other_data_is_another_task(results: Results) -> None:
    first = results.add("a")
    second = results.add("a")
    cell = second.record.cell.model_copy(update={"data_hash": "cd" * 32})
    results.store.write(second.record.model_copy(update={"cell": cell}), {}, {})
    labels = [task.label for task in board_of(results).tasks]
    assert labels == [
        "image:image=chelsea (data abababab)",
        "image:image=chelsea (data cdcdcdcd)",
    ]
    assert first.record.cell.data_hash == "ab" * 32


def test_tasks_with_labels_that_differ_in_punctuation_get_files_of_their_own(
    results: Results,
) -> None:
    for task in ("image:image=a/b.png", "image:image=a_b.png", "image:image=写真.png"):
        results.add("a", task=task)
    slugs = [task.slug for task in board_of(results).tasks]
    assert len(set(slugs)) == 3
    assert all(slug.isascii() and "/" not in slug for slug in slugs)


@pytest.mark.parametrize("levels", [(4, 16, 8)])
def test_names_are_in_the_order_of_their_numbers(results: Results, levels: tuple[int]) -> None:
    for level in levels:
        results.add(f"ffe:levels={level}")
    assert [entry[-2:] for entry in board_of(results).entries] == ["=4", "=8", "16"]


def test_damaged_records_are_left_out(results: Results, tmp_path: Path) -> None:
    results.add("a")
    broken = results.add("b")
    (broken.path / "arrays.npz").write_bytes(b"")
    assert list(board_of(results).tasks[0].standings["entry"]) == ["a"]


def test_a_metric_is_headed_by_the_title_its_record_gives(results: Results) -> None:
    value = MetricValue(value=0.2, title="Chamfer-L1", direction="lower")
    results.add("a", curve="chamfer_l1", metrics={"chamfer_l1": value})
    assert board_of(results).tasks[0].primary.heading == "Chamfer-L1 ↓"


def test_values_under_different_conditions_have_no_mean_and_no_order(results: Results) -> None:
    for encoding, quality in (("a", 0.9), ("b", 0.8)):
        for seed in range(2):
            value = MetricValue(value=quality, details={"scales": 3 + seed})
            metrics = {"psnr": MetricValue(value=30.0, unit="dB"), "ms_ssim": value}
            results.add(encoding, seed=seed, metrics=metrics)
            results.add(encoding, seed=seed, metrics=metrics, curve="ms_ssim", task="by:it=1")
    by_ms_ssim, by_psnr = board_of(results).tasks
    for task in (by_ms_ssim, by_psnr):
        shown = standings_of(task)
        assert {row["MS-SSIM ↑"] for row in shown} == {"– (scales = 3 or scales = 4)"}
        assert {row["PSNR [dB] ↑"] for row in shown} == {"30.00 ± 0.00"}
    assert by_ms_ssim.standings["rank"].isna().all()
    assert by_ms_ssim.pairs is None
    assert not any("interval" in note for note in statistics_notes(by_ms_ssim))
    assert list(by_psnr.standings["rank"]) == [1, 1]


def test_one_exact_seed_is_not_the_mean_of_all(results: Results) -> None:
    for seed, psnr in enumerate((30.0, math.inf, 32.0)):
        results.add("lucky", psnr=psnr, seed=seed)
        results.add("good", psnr=40.0 + seed, seed=seed)
    task = board_of(results).tasks[0]
    assert list(task.standings["entry"]) == ["good", "lucky"]
    assert standings_of(task)[1]["PSNR [dB] ↑"] == "34.67; 1 of 3 ∞"  # 42 for ∞
    assert task.standings["metric:psnr|low"].isna()[1]


def test_an_exact_fit_never_lowers_a_rank(results: Results) -> None:
    for seed, (a, b) in enumerate([(30.0, 31.0), (40.0, math.inf), (35.0, 35.5)]):
        results.add("a", psnr=a, seed=seed)
        results.add("b", psnr=b, seed=seed)
    table = board_of(results).tasks[0].standings
    assert list(table["entry"]) == ["b", "a"]
    assert list(table["metric:psnr"]) == [35.5, 35.0]


@pytest.mark.parametrize(("direction", "worst"), [("lower", math.inf), ("higher", -math.inf)])
def test_an_infinitely_bad_value_counts(results: Results, direction: Any, worst: float) -> None:
    sign = math.copysign(1, worst)
    for seed, (a, b) in enumerate([(0.1, 0.2), (math.inf, 0.213), (0.12, 0.226)]):
        for entry, value in (("a", a), ("b", b)):
            metrics = {"error": MetricValue(value=sign * value, direction=direction)}
            results.add(entry, metrics=metrics, curve="error", seed=seed)
    table = board_of(results).tasks[0].standings
    assert list(table["entry"]) == ["b", "a"]
    assert table["metric:error"][1] == worst


def test_a_network_that_fills_nothing_is_marked(results: Results) -> None:
    for seed, iou in enumerate((0.5, 0.0)):
        results.add("a", seed=seed, curve="iou", metrics={"iou": MetricValue(value=iou)})
    task = board_of(results).tasks[0]
    assert standings_of(task)[0]["IoU ↑"].endswith("; 1 of 2 collapsed")
    assert any("Collapsed" in note for note in metric_notes(task, task.metrics))


def test_conditions_stand_where_the_column_is_shown(results: Results) -> None:
    ssim = MetricValue(value=0.9)
    ms_ssim = MetricValue(value=0.8, details={"scales": 3})
    psnr = MetricValue(value=30.0, unit="dB")
    results.add("a", metrics={"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim})
    texts = markdown(describe(*load_board(results.directory)), {}, "page", "page.md")
    assert "MS-SSIM: scales = 3." not in texts.pop("")
    assert any("MS-SSIM: scales = 3." in text for text in texts.values())


def test_entries_whose_automatic_rate_was_halved_are_named(results: Results) -> None:
    for seed, halvings in enumerate((0, 2, 1)):
        rate = LearningRate(value=1.0, critical=2.0, rule="auto", halvings=halvings)
        results.add("grid", seed=seed, learning_rate=rate)
        results.add("plain", seed=seed)
    (note,) = halved_notes(board_of(results).tasks[0])
    assert note.startswith("`grid`: the automatic learning rate was halved up to 2× in 2 cells")


def test_a_users_labels_name_entries_that_differ_in_settings_alone(results: Results) -> None:
    for label, lr in (("ffe", 0.1), ("ffe · tuned", 0.2)):
        relabelled(results, "ffe", label, training={"lr": lr})
    (task,) = boards(results.store.records()).tasks
    assert sorted(task.standings["entry"]) == ["ffe", "ffe · tuned"]
    # one label for two settings does not distinguish them
    results.add("ffe", training={"lr": 0.3}, points=0, pictures=False, curves=False)
    (task,) = boards(results.store.records()).tasks
    assert all("lr=" in entry for entry in task.standings["entry"])


def test_a_metric_that_some_records_lack_says_so(results: Results) -> None:
    value = MetricValue(value=30.0, unit="dB")
    results.add("a", metrics={"psnr": value, "ssim": MetricValue(value=0.9, title="SSIM")})
    results.add("old", metrics={"psnr": value})
    task = board_of(results).tasks[0]
    (note,) = metric_notes(task, task.metrics)
    assert note.startswith("SSIM was not measured (–) in records of `old`: another version of")
