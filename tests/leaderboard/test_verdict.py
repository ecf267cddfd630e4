"""A page's verdict in a sentence, its protocol, and its caveats."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from encbench_leaderboard.board.lead import lead
from encbench_leaderboard.board.table import TaskBoard, boards
from encbench_leaderboard.report.blocks import Text
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.report.notes import metric_notes, statistics_notes
from encbench_leaderboard.report.standings_table import rank_text, standings_columns
from encbench_leaderboard.report.tables import adjacent_table
from encbench_leaderboard.report.verdict import TUNING_GAINS, caveats, protocol, verdict_on

from encbench.contracts.metric import MetricValue
from encbench.results.records import LearningRate
from encbench.runs.tuning_report import Summary, Trial, TunedEncoding, TuneResult
from tests.leaderboard.results import Results, diverged

PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "README"

QUICK = {"points": 0, "pictures": False, "curves": False}


def board_of(results: Results) -> TaskBoard:
    (task,) = boards(results.store.records()).tasks
    return task


def add(results: Results, encoding: str, *values: float, **record: object) -> None:
    """One cell per seed."""
    for seed, psnr in enumerate(values):
        results.add(encoding, psnr=psnr, seed=seed, **QUICK, **record)


def test_a_lead_is_told_with_its_interval_its_test_and_its_cost(results: Results) -> None:
    add(results, "a", 40.0, 41.0, 42.0, 43.0)
    add(results, "b", 30.1, 31.0, 31.9, 33.0)
    text = verdict_on(board_of(results))
    assert text.startswith("**`a` leads**: 10.00 dB (95 % interval 9.87 to 10.13, p < 0.001 after")
    assert "n = 4 seeds) better than `b`" in text
    cost = r"`a` has [\d,]+ parameters and [\d.]+ s of training, `b` has [\d,]+ parameters and"
    assert re.search(cost, text)


def test_one_seed_tells_nothing(results: Results) -> None:
    add(results, "a", 40.0)
    add(results, "b", 30.0)
    text = verdict_on(board_of(results))
    assert text.startswith(
        "**Too few to tell**: one seed is too few to test. `a` has the best PSNR"
    )
    assert "10.00 dB better than `b`" in text
    assert "One seed: another may order them differently." in caveats(board_of(results), None)


def test_what_no_test_tells_apart_does_not_lead(results: Results) -> None:
    add(results, "a", 40.0, 30.0, 35.0)
    add(results, "b", 30.0, 40.0, 34.0)
    add(results, "c", 31.0, 37.0, 33.0)
    text = verdict_on(board_of(results))
    assert text.startswith("**Too few to tell**: 3 seeds do not tell `a`, `b` and `c` apart.")


def test_what_another_leading_entry_is_better_than_does_not_share_the_lead(
    results: Results,
) -> None:
    add(results, "a", 40.0, 30.0, 36.0, 35.0)
    add(results, "b", 33.0, 35.0, 31.0, 34.0)
    add(results, "c", 31.0, 33.01, 29.0, 31.99)
    task = board_of(results)
    assert [rank_text(row) for row in task.rows] == ["1–3", "= 1–2", "2–3"]
    assert verdict_on(task) == (
        "**Too few to tell**: 4 seeds do not tell `a` and `b` apart. The best mean PSNR is "
        "35.25 dB, of `a`. Not told apart from `a`, but worse than another entry: `c` (than `b`, "
        "p < 0.001)."
    )
    add(results, "d", 10.0, 0.0, 6.0, 5.1)
    found = lead(board_of(results))
    assert found is not None
    assert (found.best, found.equal, found.below) == ("a", ["b"], "d")
    assert "**`a` and `b` share the lead**" in verdict_on(board_of(results))


def test_an_entry_that_is_worse_than_one_on_fewer_targets_does_not_share_the_lead(
    results: Results,
) -> None:
    places = range(8)
    on_targets(results, "a", **{f"t{i}": 30.0 + 9 * (i % 2) for i in places})
    on_targets(results, "b", **{f"t{i}": 34.0 + i / 10 for i in places})
    task = on_targets(results, "c", **{f"t{i}": 35.0 + i / 9 for i in places[:7]})
    found = lead(task)
    assert found is not None
    assert (found.best, found.equal, list(found.outdone), found.partly) == ("a", [], ["b"], ["c"])
    assert verdict_on(task).startswith("**Too few to tell**: 8 targets do not tell `a` and `b` ap")
    said = "worse than another entry: `b` (than `c`, p = 0.047). Not compared: `c`, "
    assert said in verdict_on(task)


def test_a_difference_that_does_not_matter_is_none(results: Results) -> None:
    add(results, "a", 40.00, 41.00, 42.00, 43.00)
    add(results, "b", 39.95, 40.95, 41.95, 42.95)
    add(results, "c", 30.0, 31.1, 32.0, 33.0)
    task = board_of(results)
    found = lead(task)
    assert found is not None
    assert (found.best, list(found.equal), found.below) == ("a", ["b"], "c")
    text = verdict_on(task)
    assert text.startswith("**`a` and `b` share the lead**: `a` is 9.97 dB")
    assert "the first 2 differ by less than 0.1 dB" in text


def test_a_small_difference_of_all_entries_is_not_for_want_of_seeds(results: Results) -> None:
    add(results, "a", 40.00, 41.00, 42.00, 43.00)
    add(results, "b", 39.95, 40.951, 41.95, 42.95)
    assert verdict_on(board_of(results)) == (
        "**No lead**: `a` and `b` differ by less than 0.1 dB. "
        "The best mean PSNR is 41.50 dB, of `a`."
    )


def test_of_a_metric_that_should_be_low_the_lowest_leads(results: Results) -> None:
    for encoding, values in {"a": (0.10, 0.11, 0.12, 0.13), "b": (0.30, 0.312, 0.32, 0.33)}.items():
        for seed, value in enumerate(values):
            metric = {"chamfer_l1": MetricValue(value=value, direction="lower")}
            results.add(encoding, seed=seed, curve="chamfer_l1", metrics=metric, **QUICK)
    text = verdict_on(board_of(results))
    assert text.startswith("**`a` leads**: 0.2005 (95 % interval 0.19")


def test_small_errors_have_their_digits(results: Results) -> None:
    for encoding, values in {"a": (2.1e-5, 2.3e-5, 2.2e-5), "b": (4.1e-5, 4.5e-5, 4.2e-5)}.items():
        for seed, value in enumerate(values):
            metric = {"relative_l2": MetricValue(value=value, direction="lower")}
            results.add(encoding, seed=seed, curve="relative_l2", metrics=metric, **QUICK)
    task = board_of(results)
    text = "2.067e-5 (95 % interval 1.780e-5 to 2.354e-5, p = 0.001"
    assert verdict_on(task).startswith(f"**`a` leads**: {text}")
    (quality,) = (c for c in standings_columns(task) if c.column.name == "relative_l2")
    value = quality.value(task.rows[0])
    assert (value.text, value.sort) == ("2.200e-5 ± 0.248e-5", pytest.approx(2.2e-5))


def test_survivors_of_divergence_do_not_lead_as_if_nothing_had_failed(results: Results) -> None:
    add(results, "a", 30.0, 30.1, 30.2, 30.3)
    add(results, "b", 31.0, 31.1)
    add(results, "c", 20.0, 20.1, 20.3, 20.3)
    text, doubts = verdict_on(board_of(results)), " ".join(caveats(board_of(results), None))
    assert text.startswith("**`b` leads**")  # seeds that were never run tell nothing
    assert "finish" not in text + doubts
    for seed in (2, 3, 4):  # nothing finished on seed 4
        results.add("b", seed=seed, status="diverged", error=diverged(3), psnr=None, **QUICK)
    text, doubts = verdict_on(board_of(results)), " ".join(caveats(board_of(results), None))
    assert text.startswith("**`b` leads where it finished**: 1.00 dB")
    failed = "3 of 5 cells of `b` did not finish (diverged)"
    assert text.endswith(f"**Not all finished**: {failed}; means are over the others.")
    assert f"{failed}, some or all of them where others finished." in doubts


def test_a_category_names_failed_cells_as_a_task_does(results: Results) -> None:
    for entry, quality in (("a", 30.0), ("b", 31.0)):
        for place, image in enumerate("xyz"):
            for seed in range(2):
                failed = entry == "b" and seed == 1
                results.add(
                    entry,
                    psnr=quality + place,
                    seed=seed,
                    status="failed" if failed else "ok",
                    task=f"image:image={image}",
                    task_parameters={"image": image, "asked": ""},
                    data_hash=image * 64,
                    **QUICK,
                )
    (category,) = boards(results.store.records()).categories
    text = verdict_on(category)
    assert text.startswith("**`b` leads where it finished**: 1.00 dB")
    assert "3 of 6 cells of `b` did not finish (failed); means are over the others." in text


def test_nothing_that_finished_and_one_alone_have_no_verdict(results: Results) -> None:
    results.add("a", status="diverged", error=diverged(3), psnr=None, **QUICK)
    assert verdict_on(board_of(results)).startswith("**No verdict**: no encoding finished")
    add(results, "b", 31.0)
    only = verdict_on(board_of(results))
    assert only == "**No verdict**: `b` is the only entry, with PSNR 31.00 dB."


def test_the_protocol_says_what_differs(results: Results) -> None:
    add(results, "a", 40.0, training={"optimizer": "adam", "lr": 0.01, "batch_size": 32})
    add(results, "b", 30.0, training={"optimizer": "sgd", "batch_size": 64})
    text = protocol(board_of(results), None)
    assert text.startswith("**Protocol**: no points held out (split = all); adam or sgd, constant")
    assert "of 32 or 64 points" in text
    add(results, "c", 30.0, training={"batch_size": 256}, batch_size=48)
    assert "of 32, 64 or 48 points" in protocol(board_of(results), None)
    assert text.endswith("1 seed.")


DIFFER = "Settings other than the encoding differ, and with them perhaps the order."
SGD, ADAM = {"optimizer": "sgd", "epochs": 100}, {"optimizer": "adam", "lr": 0.01, "epochs": 100}


def rate(value: float) -> LearningRate:
    return LearningRate(value=value, rule="given")


def test_a_ranking_of_optimizers_is_not_announced_as_one_of_encodings(results: Results) -> None:
    add(results, "a", 40.0, 41.0, 42.0, 43.0, training=SGD)
    add(results, "b", 30.1, 31.0, 31.9, 33.0, training=ADAM, learning_rate=rate(0.01))
    add(results, "c", 20.1, 21.0, 21.9, 23.0, training=ADAM, learning_rate=rate(0.01))
    task = board_of(results)
    differ = (
        "`a`: optimizer=sgd, learning rate 1.5 × lr_crit; "
        "the others: optimizer=adam, learning rate 0.0100."
    )
    assert verdict_on(task).endswith(f" **Not only the encodings differ**: {differ}")
    assert caveats(task, None)[0] == DIFFER  # without what the verdict lists


def test_equal_and_swept_settings_are_not_said_to_differ(results: Results) -> None:
    for encoding in ("a", "b"):
        for factor, more in ((1.0, 0), (2.0, 1)):
            sweep = {"lr_factor": factor, "epochs": 100}
            add(results, encoding, 40.0 + more, 41.5 + more, training=sweep)
    assert "Not only" not in verdict_on(board_of(results))
    assert not any("Settings" in doubt for doubt in caveats(board_of(results), None))
    add(results, "c", 50.0, 51.5, training=sweep | {"lr_factor": 3.0}, learning_rate=rate(42.0))
    assert caveats(board_of(results), None)[0] == DIFFER


def test_settings_that_come_to_the_same_values_are_not_said_to_differ(
    results: Results,
) -> None:
    adam = {"optimizer": "adam", "steps": 5}
    as_given = {**adam, "lr": 0.005, "batch_size": 100_000}
    automatic = {**adam, "batch_size": "all"}
    for target, points in (("x", 384), ("y", 512)):
        used: dict[str, Any] = {"batch_size": points, "activation": "relu"}
        used |= {"task": f"image:image={target}", "data_hash": target, "learning_rate": rate(0.005)}
        network = {"activation": "relu"}
        add(results, "a", 40.0, training=as_given, network_settings=network, **used)
        add(results, "b", 30.0, training=automatic, **used)
    found = boards(results.store.records())
    for board in (*found.tasks, *found.categories):
        assert "Not only" not in verdict_on(board)
        assert not any(said.startswith(("Settings", "Batch")) for said in caveats(board, None))
    assert "of 384 points" in protocol(found.tasks[0], None)
    assert "of 384 or 512 points" in protocol(found.categories[0], None)
    used |= {"batch_size": 64, "activation": "tanh", "learning_rate": rate(0.1)}
    network = {"activation": "tanh"}
    add(results, "c", 20.0, training={**adam, "lr": 0.1}, network_settings=network, **used)
    assert verdict_on(boards(results.store.records()).tasks[1]).endswith(
        "**Not only the encodings differ**: `c`: activation=tanh, batch_size=64, "
        "learning rate 0.100; the others: activation=relu, batch_size=512, learning rate 0.00500."
    )


def test_unequal_parameters_and_batches_are_named(results: Results) -> None:
    add(results, "a", 40.0, parameters={"mlp": 1000, "encoding": 0})
    add(results, "b", 30.0, parameters={"mlp": 1000, "encoding": 400})
    said = " ".join(caveats(board_of(results), None))
    assert "trained parameters" not in said
    assert "A step is not of equally many" not in said
    add(results, "c", 30.0, parameters={"mlp": 0, "encoding": 1_501}, training={"batch_size": 7})
    said = " ".join(caveats(board_of(results), None))
    assert "Encodings have from 1,000 to 1,501 trained parameters; `--budget" in said
    assert "Batch sizes differ between encodings" in said


@pytest.mark.parametrize(("points", "warned"), [(100, True), (100_000_000, False)])
def test_a_network_that_can_store_its_target_is_named(
    results: Results, points: int, warned: bool
) -> None:
    add(results, "a", 40.0, training_points=points, out_dim=3)
    add(results, "b", 30.0, training_points=points, out_dim=3)
    said = " ".join(caveats(board_of(results), None))
    assert ("All have at least as many parameters as there are values to fit" in said) is warned


def test_of_a_loss_of_the_tasks_own_points_and_values_are_not_compared(results: Results) -> None:
    for encoding in ("a", "b"):
        known = {"training_points": 99, "out_dim": 1, "own_loss": True}
        results.add(encoding, points=64, task="ct", curves=False, pictures=False, **known)
    said = " ".join(caveats(board_of(results), None))
    assert "Learning rates were not tuned" in said
    for false in ("parameters as there", "λ statistics", "On the published leaderboard"):
        assert false not in said


@pytest.mark.parametrize(("metric", "elsewhere"), [("psnr", True), ("psnr_held_out", False)])
def test_what_is_trained_on_parts_and_measured_on_the_whole_cannot_be_stored(
    results: Results, metric: str, elsewhere: bool
) -> None:
    for encoding, value in (("a", 40.0), ("b", 30.0)):
        metrics = {name: MetricValue(value=value, unit="dB") for name in {"psnr", metric}}
        known = {"training_points": 9, "out_dim": 3, "task_parameters": {"split": "blocks"}}
        results.add(encoding, metrics=metrics, curve="psnr", **known, **QUICK)
    board = board_of(results)
    assert ("split = blocks: measured on the whole target;" in protocol(board, None)) is elsewhere
    assert any("parameters as there are values" in c for c in caveats(board, None)) is not elsewhere


def test_spectra_of_fewer_points_than_were_trained_on_are_named(results: Results) -> None:
    for encoding in ("a", "b"):
        results.add(encoding, points=64, training_points=4096, curves=False, pictures=False)
    said = " ".join(caveats(board_of(results), None))
    assert "λ statistics are of 64 of 4,096 points trained on" in said


def test_encodings_that_were_trained_longer_are_told(results: Results) -> None:
    add(results, "a", 40.0, steps=100)
    add(results, "b", 30.0, steps=100)
    told = "Encodings were not trained for equally many steps."
    assert told not in caveats(board_of(results), None)
    add(results, "c", 20.0, steps=3)
    assert told in caveats(board_of(results), None)


def test_entries_without_a_common_target_are_not_ranked_against_each_other(
    results: Results,
) -> None:
    for name, psnr, steps in (("x", 30.0, 100), ("y", 40.0, 1000)):
        for entry, worse in (("a", 0.0), ("b", 5.0)):
            target = {"task": f"image:image={name}", "data_hash": name, "steps": steps}
            results.add(entry, psnr=psnr - worse, training={"steps": steps}, **target, **QUICK)
    (category,) = boards(results.store.records()).categories
    assert {row["entry"]: rank_text(row) for row in category.rows} == {
        "a · steps=1000": "(1–3)",
        "b · steps=1000": "(2–4)",
        "a · steps=100": "(1–3)",
        "b · steps=100": "(2–4)",
    }
    said = " ".join(caveats(category, None))
    assert "Some encodings share no target: their means are over different targets" in said
    assert "Encodings were not trained for equally many steps." in said
    notes = " ".join(statistics_notes(category))
    assert "(1–2): not compared with entries on other targets." in notes
    assert "5.00 dB better than `b · steps=1000`. Not compared: `a · ste" in verdict_on(category)


def test_entries_with_other_targets_are_not_compared(results: Results) -> None:
    """Means over different targets cannot be compared: "-50 dB better" would be no verdict."""
    for place, name in enumerate(("chelsea", "coffee", "rocket")):
        task = f"image:image={name}"
        results.add("a", psnr=40.0 + place, task=task, data_hash=name, **QUICK)
        results.add("b", psnr=30.0 + place / 2, task=task, data_hash=name, **QUICK)
    results.add("c", psnr=90.0, task="image:image=rocket", data_hash="rocket", **QUICK)
    (category,) = boards(results.store.records()).categories
    text = verdict_on(category)
    assert text.startswith("**`a` leads**: 10.50 dB (95 % interval")
    assert text.endswith("Not compared: `c`, which finished on only some of the targets of `a`.")
    results.add("d", psnr=90.0, task="image:image=cat", data_hash="cat", **QUICK)
    (category,) = boards(results.store.records()).categories
    assert verdict_on(category).endswith(
        "Not compared: `d`, which finished on other targets. "
        "Not compared: `c`, which finished on only some of the targets of `a`."
    )


def on_targets(results: Results, encoding: str, **values: float) -> TaskBoard:
    """One cell per target; the category of all targets so far, if there are two."""
    for name, psnr in values.items():
        results.add(encoding, psnr=psnr, task=f"image:image={name}", data_hash=name, **QUICK)
    found = boards(results.store.records())
    return (*found.categories, *found.tasks)[0]


def test_a_better_mean_over_other_seeds_does_not_lead(results: Results) -> None:
    add(results, "a", 30.0, 30.1, 30.3)
    add(results, "b", 31.0, 31.2, 31.25, 20.0, 20.0, 20.0)
    task = board_of(results)
    text = verdict_on(task)
    assert text.startswith(
        "**No verdict**: `a` has the best mean PSNR, 30.13 dB, but on the seeds that both "
        "finished, `b` is 1.02 dB (95 % interval 0.83 to 1.21, p = 0.002"
    )
    assert text.endswith("n = 3 seeds) better.")
    assert list(task.standings["rank_low"]) == [1, 1]
    assert list(task.standings["rank_high"]) == [2, 2]


def test_the_runner_up_is_the_entry_with_the_smallest_paired_difference(
    results: Results,
) -> None:
    """Not the first by rank: "b" ranks last, because it did not finish on all targets."""
    places = range(8)
    on_targets(results, "a", **{f"t{i}": 30.0 + i for i in places})
    on_targets(results, "c", **{f"t{i}": 25.0 + i + i / 10 for i in places})
    task = on_targets(results, "b", **{f"t{i}": 29.5 + i + i / 100 for i in places[:7]})
    text = verdict_on(task)
    assert text.startswith("**`a` leads**: 0.47 dB (95 % interval")
    assert "n = 7 targets) better than `b`" in text


def test_as_many_targets_are_not_the_same_targets(results: Results) -> None:
    on_targets(results, "a", y=40.0, z=30.1, w=32.05)
    task = on_targets(results, "b", x=22.0, z=32.2, w=34.1)
    text = verdict_on(task)
    assert text.startswith("**No verdict**: `a` has the best mean PSNR, 34.05 dB, but on the targ")
    assert "`b` is 2.08 dB (95 % interval 1.76 to 2.39, p = 0.008" in text


def test_nothing_leads_what_could_not_be_tested(results: Results) -> None:
    add(results, "a", 30.0, 30.5, 30.3, 30.2)
    add(results, "b", 30.2)
    add(results, "c", 20.0, 20.6, 20.2, 20.2)
    text = verdict_on(board_of(results))
    assert text.startswith("**`a` leads the entries that can be tested**: 10.00 dB (95 % interval")
    assert "better than `c`" in text
    assert text.endswith("Not tested against `a`: `b`, with fewer than two seeds in common.")


def test_exact_fits_are_the_reason_for_no_test(results: Results) -> None:
    add(results, "a", math.inf, math.inf, math.inf)
    add(results, "b", 40.0, 41.0, 42.0)
    add(results, "c", 30.0, 31.0, 32.0)
    task = board_of(results)
    assert verdict_on(task) == (
        "**Not tested**: `a` fits exactly, and infinite differences cannot be tested. `a` has the "
        "best PSNR, ∞ dB, ahead of `b` with 41.00 dB."
    )
    table = adjacent_table(task)
    assert table is not None
    assert [row.values[-2].text for row in table.rows] == ["not tested", "different"]


def test_an_exact_fit_counts_in_tests_as_in_means(results: Results) -> None:
    add(results, "a", math.inf, 40.0, 41.0, 42.5, 43.0)  # 43 for ∞
    add(results, "b", math.inf, 30.0, 31.0, 32.0, 33.0)
    add(results, "c", 20.0, 20.1, 20.2, 20.1, 20.0)
    task = board_of(results)
    assert verdict_on(task).startswith(
        "**`a` leads**: 8.10 dB (95 % interval 2.47 to 13.73, p = 0.016 after Holm's correction, "
        "n = 5 seeds) better than `b`"
    )
    table = adjacent_table(task)
    assert table is not None
    shown = [[value.text for value in row.values] for row in table.rows]
    assert shown[0][2:6] == ["8.10", "2.47 to 13.73", "5", "0.016"]
    assert [row[-2] for row in shown] == ["different", "different"]
    (note,) = (note for note in metric_notes(task, task.metrics) if "exact fit" in note)
    assert (
        note == "In means and tests, an exact fit (∞) counts as the best finite value of the table."
    )


def test_two_infinite_errors_are_no_exact_fits(results: Results) -> None:
    for entry, values in (("a", (math.inf, 1.0, 1.0)), ("b", (2.0, math.inf, 2.0))):
        for seed, value in enumerate(values):
            metrics = {"l1": MetricValue(value=value, direction="lower")}
            results.add(entry, metrics=metrics, curve="l1", seed=seed, **QUICK)
    assert verdict_on(board_of(results)) == (
        "**Not tested**: infinite differences cannot be tested. `a` and `b` have the best l1, ∞."
    )


def test_what_finished_on_fewer_targets_is_not_told_to_be_missing(results: Results) -> None:
    on_targets(results, "a", x=20.0, y=40.0)
    task = on_targets(results, "b", x=25.0)
    assert verdict_on(task) == (
        "**No verdict**: no other entry finished on the same targets as `a`, with PSNR 30.00 dB. "
        "Not compared: `b`, which finished on only some of the targets of `a`."
    )


def test_equal_values_of_one_seed_share_the_best(results: Results) -> None:
    add(results, "a", 30.0)
    add(results, "b", 30.0)
    assert verdict_on(board_of(results)) == (
        "**Too few to tell**: one seed is too few to test. `a` and `b` have the best PSNR, "
        "30.00 dB, to within 0.1 dB."
    )
    add(results, "c", 29.0)
    assert "to within 0.1 dB, 1.00 dB better than `c`." in verdict_on(board_of(results))


def test_untested_pairs_that_contradict_the_means_are_told(results: Results) -> None:
    add(results, "a", 30.0, 31.0)
    add(results, "b", 30.4)
    assert verdict_on(board_of(results)) == (
        "**Too few to tell**: `a` and `b` have fewer than two seeds in common, too few to test. "
        "`a` has the best PSNR, 30.50 dB, ahead of `b` with 30.40 dB; but on the seeds that both "
        "finished, `b` is 0.40 dB better."
    )


@pytest.mark.parametrize("splittable", [True, False])
def test_a_task_of_any_name_that_has_a_split_says_that_all_points_were_used(
    results: Results, splittable: bool
) -> None:
    results.add("a", task="theirs", splittable=splittable)
    text = protocol(board_of(results), None)
    assert ("no points held out (split = all)" in text) == splittable


def test_differences_beyond_8_bits_are_named(results: Results) -> None:
    for name, psnr in {"a": 80.0, "b": 70.0, "c": 50.0}.items():
        add(results, name, psnr, psnr + 1)
    doubts = caveats(board_of(results), None)
    assert any(d.startswith("`a` and `b` have smaller errors than rounding") for d in doubts)


@pytest.mark.parametrize(("page", "metric"), [("fit", "psnr"), ("held-out", "psnr_held_out")])
def test_what_tuning_is_said_to_gain_is_what_the_published_page_has(page: str, metric: str) -> None:
    text = (PUBLISHED / f"{page}.md").read_text()
    table = text[text.index("## What tuning changed") : text.index("Standings are those")]
    found = re.findall(r"\| *([+−-][\d.]+) ±", table)
    gains = [float(text.replace("−", "-")) for text in found]
    assert len(gains) == 9
    expected = (min(gains), statistics.median(gains), max(gains))
    assert [round(gain, 1) for gain in expected] == list(TUNING_GAINS[metric])


def test_a_best_setting_at_an_end_of_its_range_is_named(results: Results) -> None:
    def searched(label: str, **values: Any) -> TunedEncoding:
        space = {
            "levels": {"low": 4, "high": 12, "log": False, "choices": None},
            "training.lr": {"low": 1e-4, "high": 1e-2, "log": True, "choices": None},
            "training.batch_size": {"low": None, "high": None, "log": False, "choices": [1, 2, 3]},
        }
        training = {key: values.pop(key) for key in ("lr", "batch_size") if key in values}
        default = Trial(number=0, label="default")
        trial = Trial(number=1, label="t", parameters=values, training=training)
        given = {"label": label, "name": label, "seed": 0, "ranges": {}}
        return TunedEncoding(space=space, trials=[default, trial], best=int(bool(values)), **given)

    add(results, "a", 40.0)
    add(results, "b", 30.0)
    encodings = [
        searched("default"),
        searched("inside", levels=8, lr=1e-3, batch_size=2),
        searched("ends", levels=12, lr=1.1e-4, batch_size=3),
        searched("near", levels=5, lr=9e-3, batch_size=2),
    ]
    targets = {"tune_on": ["x"], "tune_seeds": [0], "report_on": ["y"], "report_seeds": [1]}
    chosen = {"sampler": "sobol", "seed": 0, "trials": 5, "metric": "psnr", "unit": "dB"}
    tuned = TuneResult(
        encbench="1", suite="s", direction="higher", encodings=encodings, **chosen, **targets
    )
    tuned.notes = ["Validated, not tested."]
    said = " ".join(caveats(board_of(results), tuned))
    assert (
        "searched for `ends` (levels=12, lr=0.00011, batch_size=3) and `near` (lr=0.009): a wider"
    ) in said
    assert said.count("Validated, not tested.") == 1


def test_choices_without_order_have_no_end_and_settings_of_one_name_are_told_apart() -> None:
    def at_ends(space: dict[str, Any], **best: dict[str, Any]) -> list[str]:
        trial, given = Trial(number=0, label="t", **best), {"name": "a", "seed": 0, "ranges": {}}
        searched = {"low": None, "high": None, "log": False, "choices": None}
        space = {name: searched | one for name, one in space.items()}
        return TunedEncoding(label="a", space=space, trials=[trial], best=0, **given).at_ends

    batches = {"training.batch_size": {"choices": [64, 256, "all"]}}
    assert at_ends(batches, training={"batch_size": 64}) == []
    assert at_ends(batches, training={"batch_size": "all"}) == []
    assert at_ends({"base": {"choices": [None, 2, 4]}}, parameters={"base": 4}) == []
    omega = {"network.activation.omega": {"low": 1, "high": 60}}
    assert at_ends(omega, network={"activation.omega": 59.5}) == ["omega=59.5"]
    both = {"width": {"low": 1, "high": 9}, "network.width": {"low": 1, "high": 64}}
    assert at_ends(both, parameters={"width": 9}, network={"width": 32}) == ["width=9"]


def test_a_tuned_page_says_what_tuning_gained(results: Results) -> None:
    add(results, "a", 40.0)
    encodings = [
        TunedEncoding(
            **{"label": str(gain), "name": "a", "seed": 0, "space": {}, "ranges": {}, "trials": []},
            gain=Summary(values=[gain], mean=gain),
        )
        for gain in (0.5, 2.0, -8.0)
    ]
    targets = {"tune_on": ["x"], "tune_seeds": [0], "report_on": ["y"], "report_seeds": [1]}
    chosen = {"sampler": "sobol", "seed": 0, "trials": 5, "metric": "l1", "unit": "px"}
    tuned = TuneResult(
        encbench="1", suite="s", direction="lower", encodings=encodings, **chosen, **targets
    )
    text = protocol(board_of(results), tuned)
    assert text.endswith(" gained −2 to 8 px, by encoding (median −0.5).")


def test_an_entry_that_was_not_tuned_with_the_others_is_named(results: Results) -> None:
    add(results, "a", 40.0)
    keys = [stored.record.key for stored in results.store.records()]
    add(results, "b", 30.0)
    given = {"label": "a", "name": "a", "seed": 0, "space": {}, "ranges": {}, "trials": []}
    a = TunedEncoding(**given, tuned=Summary(values=[40.0], mean=40.0, keys=keys))
    targets = {"tune_on": ["x"], "tune_seeds": [0], "report_on": ["y"], "report_seeds": [1]}
    chosen = {"sampler": "sobol", "seed": 0, "trials": 5, "metric": "psnr", "unit": "dB"}
    tuned = TuneResult(
        encbench="1", suite="s", direction="higher", encodings=[a], **chosen, **targets
    )
    board = board_of(results)
    assert "tuned for each encoding but b;" in protocol(board, tuned)
    assert "`b` was not tuned, unlike the others" in " ".join(caveats(board, tuned))
    (results.store.directory / "tune.json").write_text(tuned.model_dump_json(), encoding="utf-8")
    page = describe(*load_board(results.store.directory))
    assert page.blocks[0] == Text("2 encodings, 1 of them tuned, 1 task, 1 seed: 2 cells, 2 ok.")


def test_many_sizes_of_networks_are_a_range(results: Results) -> None:
    for width in (204, 128, 220, 32):
        stored = results.add("a", **QUICK)
        network = stored.record.cell.network.model_copy(update={"width": width})
        cell = stored.record.cell.model_copy(update={"network": network})
        results.store.write(stored.record.model_copy(update={"cell": cell}), {}, {})
    assert "; 2 hidden layers of 32 to 220 units, ntk" in protocol(board_of(results), None)
