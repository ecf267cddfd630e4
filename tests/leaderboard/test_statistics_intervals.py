"""Intervals of means: what they cover, and what they are made of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from encbench_leaderboard.statistics.bootstrap import (
    RESAMPLES,
    bootstrap_interval,
    expanded_tail,
    resampled_means,
)
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


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_units_get_students_interval(n: int) -> None:
    sample = np.random.default_rng(n).normal(30, 2, n)
    expected = stats.t.interval(0.95, n - 1, sample.mean(), stats.sem(sample))
    assert one(list(sample)) == (pytest.approx(expected[0]), pytest.approx(expected[1]), "t")


def test_six_units_are_resampled_as_if_all_their_resamples_were_drawn() -> None:
    sample = np.array([29.0, 30.0, 30.5, 31.0, 33.0, 39.0])
    means = np.array([np.mean(drawn) for drawn in itertools.product(sample, repeat=6)])
    tail = expanded_tail(6)
    low, high, method = one(list(sample))
    assert method == "bootstrap"
    # a tail of 0.24 % holds 24 of the resamples: the steps between them are 0.1 wide
    assert low == pytest.approx(np.quantile(means, tail), abs=0.15)
    assert high == pytest.approx(np.quantile(means, 1 - tail), abs=0.4)
    assert high - sample.mean() > sample.mean() - low


def test_the_expanded_tail_is_the_plain_one_of_many_units() -> None:
    for n in (6, 10, 40):
        expected = stats.norm.cdf(-stats.t.ppf(0.975, n - 1) * (n / (n - 1)) ** 0.5)
        assert expanded_tail(n) == pytest.approx(expected, rel=1e-9)
    assert expanded_tail(6) < expanded_tail(40) < 0.025
    assert expanded_tail(10**7) == pytest.approx(0.025, abs=1e-6)


def test_equal_values_have_an_interval_without_width() -> None:
    assert one([31.7] * 8)[:2] == (31.7, 31.7)
    assert one([31.7] * 3)[:2] == (31.7, 31.7)


def test_an_infinite_value_has_no_interval() -> None:
    assert one([30.0, math.inf, 31.0])[2] == ""
    assert one([30.0, math.inf, *range(30, 40)])[2] == ""


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


def test_every_resample_is_a_mean_of_drawn_units() -> None:
    # of 0, 1, 10, 100, … each resample's digits say which units it drew how often
    means = resampled_means(np.array([0.0, 1.0, 10.0, 100.0, 1000.0])[None, :, None])[0]
    digits = [int(digit) for mean in means for digit in f"{round(mean * 5):04d}"]
    assert means.shape == (RESAMPLES,)
    assert np.mean(digits) == pytest.approx(1.0, abs=0.02)
    assert np.var(digits) == pytest.approx(0.8, abs=0.03)


def test_images_are_drawn_and_within_them_seeds() -> None:
    """The variance over resamples is the one that two stages have."""
    rng = np.random.default_rng(4)
    values = 30 + rng.normal(0, 1, (12, 1)) + rng.normal(0, 2, (12, 3))
    means = resampled_means(values[None])[0]
    between = values.mean(axis=1).var()
    within = (values.var(axis=1) / 3).mean()
    assert means.mean() == pytest.approx(values.mean(), abs=0.03)
    assert means.var() == pytest.approx((between + within) / 12, rel=0.05)


def test_an_image_with_fewer_seeds_counts_as_much_as_the_others() -> None:
    rng = np.random.default_rng(4)
    values = 30 + rng.normal(0, 1, (12, 1)) + rng.normal(0, 2, (12, 3))
    values[:5, 1:] = np.nan
    means = resampled_means(values[None])[0]
    sizes = (~np.isnan(values)).sum(axis=1)
    within = (np.nanvar(values, axis=1) / sizes).mean()
    of_images = np.nanmean(values, axis=1)
    assert means.mean() == pytest.approx(of_images.mean(), abs=0.03)
    assert means.var() == pytest.approx((of_images.var() + within) / 12, rel=0.05)


def test_many_images_are_resampled_in_blocks_of_bounded_memory() -> None:
    values = np.random.default_rng(0).normal(30, 1, (1, 1500, 1))
    found = intervals(values)[0]
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 1500**0.5, rel=0.06)


def coverage(samples: np.ndarray, truth: float) -> float:
    """Share of intervals of samples (m, units, repeats) that hold the true mean."""
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


def test_the_plain_percentile_interval_of_six_would_be_too_narrow() -> None:
    samples = np.random.default_rng(6).normal(30, 1, (2000, 6))
    means = resampled_means(samples[:, :, None])
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low <= 30) & (high >= 30)) < 0.88
    low, high = bootstrap_interval(samples[:, :, None])
    assert np.mean((low <= 30) & (high >= 30)) > 0.91
