"""Quality during training, and how well a ranking generalizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.board.against import against
from encbench_leaderboard.board.budget import Course, Until, courses, slowdowns, values_of
from encbench_leaderboard.board.facts import MetricInfo
from encbench_leaderboard.board.table import TaskBoard, boards
from encbench_leaderboard.render import style
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.figures.selection import common_note, finished_note
from encbench_leaderboard.report.figures.training import profile_figure
from encbench_leaderboard.report.tables import budget_table
from encbench_leaderboard.statistics.stability import improvement, split_half
from scipy.stats import mannwhitneyu, spearmanr

from encbench.contracts.metric import MetricValue
from encbench.results.palette import colours
from tests.leaderboard.results import Results, provenance


def task_with_curves(results: Results) -> TaskBoard:
    """Two encodings and seeds; "slow" takes twice the seconds, and never gets to 35 dB."""
    for encoding, best, pace in (("fast", 40.0, 0.01), ("slow", 32.0, 0.02)):
        for seed in range(2):
            results.add(
                encoding,
                psnr=best + seed / 10,
                seed=seed,
                points=0,
                pictures=False,
                curve_seconds=[round(pace * step, 3) for step in np.linspace(1, 1000, 40)],
            )
    (task,) = boards(results.store.records()).tasks
    return task


def test_time_to_a_value_is_that_of_the_first_point_at_it(results: Results) -> None:
    task = task_with_curves(results)
    found = courses(task)
    assert list(found) == ["fast", "slow"]
    course = found["fast"][0]
    place = next(i for i, value in enumerate(course.value) if value >= 30.0)
    assert course.steps_to(30.0) == course.step[place]
    assert course.seconds_to(30.0) == pytest.approx(0.01 * course.step[place], abs=1e-3)
    assert course.value[place - 1] < 30.0
    assert found["slow"][0].seconds_to(35.0) == math.inf
    assert course.after(1.0) == course.value[-1]
    assert course.after(0.1) == course.value[np.flatnonzero(course.step <= 100)[-1]]
    table = budget_table(task, found)
    assert table is not None
    cells = {c.name: v.text for c, v in zip(table.columns, table.rows[1].values, strict=True)}
    assert cells["seconds_35"] == "–"
    assert cells["steps_30"] != "–"


def test_records_without_seconds_have_steps_alone(results: Results) -> None:
    results.add("a", points=0, pictures=False)
    (task,) = boards(results.store.records()).tasks
    table = budget_table(task, courses(task))
    assert table is not None
    names = [column.name for column in table.columns]
    assert "steps_25" in names
    assert "seconds_25" not in names


def test_times_of_different_machines_are_not_compared(results: Results) -> None:
    seconds = [0.01 * step for step in range(40)]
    for encoding, processor in (("a", "EPYC 7763"), ("b", "Xeon 8480")):
        there = provenance(processor=processor)
        results.add(encoding, pictures=False, curve_seconds=seconds, provenance=there)
    (task,) = boards(results.store.records()).tasks
    assert not any(
        len(course.seconds) for of_entry in courses(task).values() for course in of_entry
    )


def test_a_profile_is_of_times_over_the_fastest_of_each_unit(results: Results) -> None:
    task = task_with_curves(results)
    found = courses(task)
    ratios = slowdowns(found, 30.0)
    times = {e: [c.seconds_to(30.0) for c in of] for e, of in found.items()}
    assert ratios["fast"] == pytest.approx([1.0, 1.0])
    assert ratios["slow"] == pytest.approx(
        [b / a for a, b in zip(times["fast"], times["slow"], strict=True)]
    )
    assert slowdowns(found, 35.0)["slow"].tolist() == [math.inf, math.inf]
    assert slowdowns(found, 99.0) == {}
    figure = profile_figure(task, found)
    assert figure is not None
    last = figure.panels[-1]
    assert (last.title, last.y.title) == ("PSNR ≥ 35 dB", "share of 2 seeds")
    heights = {series.entry: series.y[-1] for series in last.series}
    assert heights == {"fast": 1.0, "slow": 0.0}
    with style.quiet():
        drawn = plot(figure, colours(list(figure.legend)))
    assert drawn is not None
    assert {line.get_drawstyle() for line in drawn.axes[0].lines} == {"steps-post"}


def test_values_to_reach_are_those_of_the_curves_if_the_fixed_ones_do_not_serve() -> None:
    low = MetricInfo("l1", "", "lower")
    curves = {entry: [1.0, last] for entry, last in {"a": 2.21e-5, "b": 3e-2, "c": 4.3e-4}.items()}
    found = {
        entry: [Course("", np.array([0, 10]), np.empty(0), np.array(of), sign=low.sign)]
        for entry, of in curves.items()
    }
    assert values_of(low, found) == [3e-2, 4.3e-4, 2.3e-5]
    assert [found["c"][0].steps_to(value) for value in values_of(low, found)] == [10, 10, math.inf]
    snr = MetricInfo("snr", "dB", "higher")
    found = {e: [Course("", np.arange(2), np.empty(0), np.array(of))] for e, of in curves.items()}
    for reached, expected in ((-5.55, [-5.6, 2.2e-5, 3e-2]), (25.0, [25.0, 30.0, 35.0])):
        found["c"] = [Course("", np.ones(1), np.empty(0), np.array([reached]))]
        assert list(values_of(snr, found)) == expected
    assert not values_of(snr, {})


def test_what_an_untrained_network_has_is_no_value_to_reach() -> None:
    low = MetricInfo("l1", "", "lower")
    found = {
        entry: [Course("", np.array([0, 5, 10]), np.empty(0), np.array(of), sign=low.sign)]
        for entry, of in {"learns": [1.0, 0.1, 0.01], "never": [1.0, 1.2, 1.1]}.items()
    }
    assert values_of(low, found) == [0.01]


@pytest.mark.parametrize(("value", "text"), [(-7.0, "−7"), (3.1e-05, "3.1e-5"), (1.2e6, "1.2e6")])
def test_values_to_reach_are_spelt_as_in_the_cells(value: float, text: str) -> None:
    until = Until.of(f"steps_to_{value:g}")
    assert until == Until("steps", value)
    assert until.heading(MetricInfo("l1", "", "lower")).endswith(f" {text}")


def test_a_metric_that_should_be_low_has_times_to_quality(results: Results) -> None:
    for encoding, last in (("a", 2e-3), ("b", 4e-3)):
        for seed in range(2):
            metrics = {"l1": MetricValue(value=last, direction="lower", title="L1")}
            curve = {"curve": np.array([1.0, last]), "curve_step": np.array([0.0, 10.0])}
            given = {"metrics": metrics, "more_arrays": curve, "curve_seconds": (0.0, 1.0)}
            results.add(encoding, seed=seed, curve="l1", curves=False, pictures=False, **given)
    (task,) = boards(results.store.records()).tasks
    assert texts_of(task, "a")["steps_0.002"] == "10"
    assert texts_of(task, "b")["steps_0.002"] == "–"
    figure = profile_figure(task, courses(task))
    assert figure is not None
    assert [panel.title for panel in figure.panels] == ["L1 ≤ 0.004", "L1 ≤ 0.002"]


def on_image(
    results: Results, encoding: str, image: str, values: list[float], seed: int = 0, **record: Any
) -> None:
    """A cell with that quality after 0, 10, … steps and 0, 1, … seconds."""
    curve = {"curve": np.array(values), "curve_step": 10 * np.arange(len(values))}
    results.add(
        encoding,
        psnr=values[-1],
        seed=seed,
        points=0,
        pictures=False,
        curves=False,
        task=f"image:image={image}",
        task_parameters={"image": image, "asked": ""},
        data_hash=image * 64,
        more_arrays=curve,
        curve_seconds=tuple(range(len(values))),
        **record,
    )


def texts_of(task: TaskBoard, entry: str) -> dict[str, str]:
    table = budget_table(task, courses(task))
    assert table is not None
    (row,) = (row for row in table.rows if row.entry == entry)
    return {c.name: v.text for c, v in zip(table.columns, row.values, strict=True)}


def test_a_cell_that_failed_never_reached_a_value(results: Results) -> None:
    for image in "ab":
        for seed, last in enumerate((31.0, 31.0, 29.0)):
            on_image(results, "slow", image, [10.0, last], seed)
            status = "diverged" if seed else "ok"
            on_image(results, "unstable", image, [10.0, 31.0], seed, status=status)
            on_image(results, "sure", image, [10.0, 31.0], seed)
            on_image(results, "stopped", image, [10.0, 31.0], seed)
        on_image(results, "stopped", image, [10.0], 3, status="interrupted")
    (task,) = boards(results.store.records()).categories
    ratios = slowdowns(courses(task), 30.0)
    assert {entry: np.isfinite(ratio).tolist() for entry, ratio in ratios.items()} == {
        "sure": [True, True],
        "slow": [False, False],
        "stopped": [True, True],
        "unstable": [False, False],
    }
    assert texts_of(task, "unstable")["steps_30"] == "10 (2 of 6)"
    assert texts_of(task, "unstable")["after_1"] == "31.00"
    figure = profile_figure(task, courses(task))
    assert figure is not None
    assert "how often it reached the value at all with all its seeds." in figure.caption
    costs = against(results.store.records(), "training.epochs", "steps_to_30")
    assert [line.encoding for line in costs.relations[0].lines] == ["stopped", "sure"]


def test_encodings_are_compared_on_the_targets_that_they_share(results: Results) -> None:
    for image, last in {"a": 26.0, "b": 36.0, "c": 36.0}.items():
        for encoding in ("everywhere", "here"):
            on_image(results, encoding, image, [10.0, last])
    on_image(results, "easy", "b", [10.0, 33.0])
    (task,) = boards(results.store.records()).categories
    found = courses(task)
    assert {len(ratios) for ratios in slowdowns(found, 25.0).values()} == {3}
    table = budget_table(task, found)
    assert table is not None
    assert [row.entry for row in table.rows] == ["everywhere", "here"]
    assert common_note(found, "target") == " Left out, because not run on all of these: `easy`."
    for encoding in ("easy", "easier"):
        on_image(results, encoding, "c", [10.0, 33.0])
    on_image(results, "easier", "b", [10.0, 33.0])
    (task,) = boards(results.store.records()).categories
    assert texts_of(task, "everywhere")["after_1"] == "36.00"
    note = common_note(courses(task), "target")
    assert note == " Over 2 of 3 targets, the same for all encodings."


def test_quality_after_some_steps_is_over_targets_that_all_finished(results: Results) -> None:
    """The target on which "a" diverged is the hardest: without it, "a" would be ahead of "b"."""
    for image, last in {"a": 30.0, "b": 40.0, "c": 40.0, "d": 40.0}.items():
        status = "diverged" if image == "a" else "ok"
        on_image(results, "a", image, [10.0, last], status=status)
        on_image(results, "b", image, [10.0, last + 0.5])
    (task,) = boards(results.store.records()).categories
    assert [texts_of(task, entry)["after_1"] for entry in "ab"] == ["40.00", "40.50"]
    assert texts_of(task, "a")["steps_30"] == "10 (3 of 4)"
    assert common_note(courses(task), "target") == ""
    assert finished_note(courses(task)) == (
        " Qualities after parts of the steps are over 3 of these 4 targets, on which all encodings "
        "with a value finished."
    )


def test_an_entry_that_failed_on_targets_of_all_others_has_no_such_quality(
    results: Results,
) -> None:
    for image in "abcd":
        for encoding in ("sure", "safe", "steady"):
            on_image(results, encoding, image, [10.0, 30.0])
        status = "ok" if image == "a" else "diverged"
        on_image(results, "unstable", image, [10.0, 31.0], status=status)
    (task,) = boards(results.store.records()).categories
    assert texts_of(task, "unstable")["after_1"] == "–"
    assert texts_of(task, "unstable")["steps_30"] == "10 (1 of 4)"
    assert finished_note(courses(task)) == (
        " No quality after parts of the steps, for want of finished cells: `unstable`."
    )


def test_nothing_is_known_before_the_first_evaluation_of_training() -> None:
    step, value = np.array([0, 25, 100]), np.array([10.0, 25.0, 31.0])
    course = Course("", step, np.empty(0), value)
    assert math.isnan(course.after(0.1))
    assert (course.after(0.3), course.after(1.0)) == (25.0, 31.0)
    assert math.isnan(replace(course, step=step + 20).after(0.1))


def test_improvement_is_the_u_statistic_over_its_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, (3, 5)).round(1), rng.normal(0, 1, (3, 4)).round(1)
    each = [mannwhitneyu(x, y).statistic / (5 * 4) for x, y in zip(a, b, strict=True)]
    assert improvement(a, b, higher=True) == pytest.approx(np.mean(each))
    assert improvement(a, b, higher=False) == pytest.approx(1 - np.mean(each))
    a[0], b[1, 0] = np.nan, np.nan
    each = [mannwhitneyu(a[1], b[1, 1:]).statistic / 15, mannwhitneyu(a[2], b[2]).statistic / 20]
    assert improvement(a, b, higher=True) == pytest.approx(np.mean(each))
    assert math.isnan(improvement(a[:1], b[:1], higher=True))


def test_split_halves_are_all_the_splits() -> None:
    means = np.random.default_rng(1).normal(size=(5, 6))
    rhos, same = [], []
    for part in itertools.combinations(range(6), 3):
        rest = [unit for unit in range(6) if unit not in part]
        one, other = means[:, part].mean(axis=1), means[:, rest].mean(axis=1)
        rhos.append(spearmanr(one, other).statistic)
        same.append(one.argmin() == other.argmin())
    rho, share = split_half(means, higher=False)
    assert rho == pytest.approx(np.mean(rhos))
    assert share == pytest.approx(np.mean(same))
