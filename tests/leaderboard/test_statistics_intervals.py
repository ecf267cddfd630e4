"""Intervals of means: their coverage, and their units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from encbench_leaderboard.statistics.intervals import intervals
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats


def one(values: list[float]) -> tuple[float, float, str]:
    found = intervals(np.array(values)[None, :, None])[0]
    return found.low, found.high, found.method


def test_one_cell_has_no_interval() -> None:
    low, high, method = one([30.0])
    assert math.isnan(low)
    assert math.isnan(high)
    assert method == ""


def test_nothing_has_no_mean() -> None:
    found = intervals(np.full((1, 2, 3), math.nan))[0]
    assert (found.units, found.method) == (0, "")
    assert math.isnan(found.mean)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 20, 1500])
def test_any_number_of_units_gets_students_interval(n: int) -> None:
    sample = np.random.default_rng(n).normal(30, 2, n)
    expected = stats.t.interval(0.95, n - 1, sample.mean(), stats.sem(sample))
    assert one(list(sample)) == (pytest.approx(expected[0]), pytest.approx(expected[1]), "t")


def test_equal_values_have_an_interval_without_width() -> None:
    assert one([31.7] * 8)[:2] == (31.7, 31.7)
    assert one([31.7] * 3)[:2] == (31.7, 31.7)


def test_an_infinite_value_has_no_interval() -> None:
    assert one([30.0, math.inf, 31.0])[2] == ""
    assert one([30.0, math.inf, *range(30, 40)])[2] == ""


def test_an_infinite_value_makes_the_mean_infinite() -> None:
    rows = [[30.0, math.inf, 32.0], [math.inf] * 3, [30.0, 31.0, 32.0]]
    found = intervals(np.array(rows)[:, :, None])
    assert [each.mean for each in found] == [math.inf, math.inf, 31.0]
    assert [each.method for each in found] == ["", "", "t"]


def test_what_did_not_finish_is_left_out() -> None:
    nan = math.nan
    assert one([30.0, nan, 31.0, 33.0]) == one([30.0, 31.0, 33.0])
    sample = [30.0, 31.0, 33.0, 29.0, 30.5, 32.0, 31.2]
    assert one([nan, *sample]) == one(sample)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 3))
def test_the_other_sign_gives_the_other_end(seed: int, units: int, repeats: int) -> None:
    values = np.random.default_rng(seed).normal(30, 2, (1, units, repeats))
    here, there = intervals(values)[0], intervals(-values)[0]
    assert (there.low, there.high) == pytest.approx((-here.high, -here.low), abs=1e-9)
    assert here.low <= here.mean <= here.high
    moved = intervals(values + 5.0)[0]
    assert (moved.low, moved.high) == pytest.approx((here.low + 5, here.high + 5), abs=1e-9)


def test_the_same_cells_give_the_same_interval_whoever_stands_beside() -> None:
    rows = np.random.default_rng(1).normal(30, 2, (4, 7, 2))
    together = intervals(rows)
    alone = [intervals(row[None])[0] for row in rows]
    assert [i.low for i in together] == pytest.approx([i.low for i in alone], rel=1e-12)


def test_an_image_with_fewer_seeds_counts_as_much_as_the_others() -> None:
    rng = np.random.default_rng(4)
    values = 30 + rng.normal(0, 1, (12, 1)) + rng.normal(0, 2, (12, 3))
    values[:5, 1:] = np.nan
    of_images = np.nanmean(values, axis=1)
    expected = stats.t.interval(0.95, 11, of_images.mean(), stats.sem(of_images))
    found = intervals(values[None])[0]
    assert found.mean == pytest.approx(of_images.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(expected)


def coverage(samples: np.ndarray, truth: float) -> float:
    """Share of intervals of samples (m, units, repeats) that contain the true mean."""
    return float(np.mean([i.low <= truth <= i.high for i in intervals(samples)]))


@pytest.mark.parametrize("n", [2, 5, 6, 10, 20])
def test_19_of_20_intervals_hold_the_mean_of_a_normal_distribution(n: int) -> None:
    samples = np.random.default_rng(n).normal(30, 1, (3000, n, 1))
    assert 0.92 < coverage(samples, 30.0) < 0.97


def test_images_with_seeds_are_covered_too() -> None:
    rng = np.random.default_rng(9)
    samples = 30 + rng.normal(0, 1, (1500, 8, 1)) + rng.normal(0, 0.5, (1500, 8, 3))
    assert 0.92 < coverage(samples, 30.0) < 0.98


def test_pooling_the_seeds_of_images_would_be_far_too_sure() -> None:
    rng = np.random.default_rng(10)
    samples = 30 + rng.normal(0, 1, (500, 6, 1)) + rng.normal(0, 0.1, (500, 6, 5))
    assert coverage(samples.reshape(500, 30, 1), 30.0) < 0.7
    assert coverage(samples, 30.0) > 0.9
