"""Tests of paired differences, compared with enumeration, scipy and published values."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from encbench_leaderboard.report.format import p_text
from encbench_leaderboard.statistics.holm import holm
from encbench_leaderboard.statistics.pairs import Pairs, compare_all, p_values
from encbench_leaderboard.statistics.sample import Cube, group_means
from encbench_leaderboard.statistics.signflip import SAMPLES, signflip_p, smallest_p
from encbench_leaderboard.statistics.student import detectable, paired_t_p, t_half_width
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, stdtrit

SLEEP = np.array([[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]])
"""Additional hours of sleep, Student's own data (Biometrika 6, 1908)."""
DECIBELS = st.floats(-60, 60, allow_nan=False).map(lambda x: round(x, 3))


def family(values: np.ndarray) -> Pairs:
    """Tests of entries (entries, units, repeats)."""
    return compare_all(Cube(tuple(f"e{i}" for i in range(len(values))), values))


def by_enumeration(differences: np.ndarray) -> float:
    """The sign-flip p of one sample (n,), from all 2ⁿ patterns."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


def holm_by_closure(p: np.ndarray) -> list[float]:
    """Holm as the closure of Bonferroni tests: the maximum over all families of a test."""
    found = []
    for j in range(len(p)):
        rest = [i for i in range(len(p)) if i != j]
        subsets = itertools.chain.from_iterable(
            itertools.combinations(rest, size) for size in range(len(p))
        )
        found.append(
            max(min(1.0, (len(s) + 1) * min(p[j], *(p[i] for i in s), 1.0)) for s in subsets)
        )
    return found


def test_holm_gives_the_values_that_r_gives() -> None:
    # p.adjust(c(0.04, 0.01, 0.03, 0.02, 0.05), "holm") of R 4.3
    adjusted = holm(np.array([0.04, 0.01, 0.03, 0.02, 0.05]))
    assert adjusted == pytest.approx([0.09, 0.05, 0.09, 0.08, 0.09])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]) -> None:
    assert holm(np.array(p)) == pytest.approx(holm_by_closure(np.array(p)))


def test_what_was_not_tested_does_not_count_in_the_correction() -> None:
    adjusted = holm(np.array([math.nan, 0.01, math.nan, 0.2]))
    assert adjusted[[1, 3]] == pytest.approx([0.02, 0.2])
    assert np.isnan(adjusted[[0, 2]]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flips_are_all_tried_also_where_sums_tie(differences: list[int]) -> None:
    # a tenth is not a binary fraction: sums that are mathematically tied differ by rounding
    sample = np.array(differences) / 10
    assert signflip_p(sample[None])[0] == pytest.approx(by_enumeration(sample), abs=1e-12)


@pytest.mark.parametrize("n", [6, 9, 12])
def test_sign_flips_agree_with_scipy(n: int) -> None:
    sample = np.random.default_rng(n).normal(0.4, 1.0, n)
    reference = stats.permutation_test(
        (sample, np.zeros(n)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert signflip_p(sample[None])[0] == pytest.approx(reference.pvalue, abs=1e-12)


def test_fifteen_pairs_are_still_flipped_exactly() -> None:
    # all of one sign: only the observed pattern and its negative are as extreme, of 2¹⁵
    assert signflip_p(np.ones((1, 15)))[0] == 2.0**-14


def test_random_sign_flips_come_near_all_of_them() -> None:
    rng = np.random.default_rng(5)
    samples = rng.normal(0.35, 1.0, (4, 17))
    numbers = np.arange(2**17)
    signs = 1.0 - 2.0 * ((numbers[:, None] >> np.arange(17)) & 1)
    for sample, p in zip(samples, signflip_p(samples), strict=True):
        exact = float((np.abs(signs @ sample) >= abs(sample.sum()) - 1e-9).mean())
        assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / SAMPLES) + 1e-4)


def test_thousands_of_pairs_are_flipped_in_bounded_memory() -> None:
    samples = np.random.default_rng(1).normal(0.02, 1.0, (2, 3000))
    expected = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    assert signflip_p(samples) == pytest.approx(expected, abs=0.02)


def test_random_sign_flips_are_never_certain() -> None:
    p = signflip_p(np.full((1, 30), 2.0))[0]
    assert p == smallest_p(30) == 1 / (SAMPLES + 1)


@given(st.lists(DECIBELS, min_size=2, max_size=8))
def test_a_test_does_not_know_which_side_is_first(differences: list[float]) -> None:
    sample = np.array([differences])
    scale = np.array([100.0])
    assert signflip_p(sample) == pytest.approx(signflip_p(-sample))
    assert paired_t_p(sample, scale) == pytest.approx(paired_t_p(-sample, scale))


def test_the_t_test_gives_students_own_result() -> None:
    # t.test(extra ~ group, sleep, paired = TRUE) of R: p = 0.002833, 0.7001142 to 2.4598858
    assert paired_t_p(SLEEP, np.array([5.0]))[0] == pytest.approx(0.002833, abs=1e-6)
    half = t_half_width(SLEEP)[0]
    assert (1.58 - half, 1.58 + half) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_t_test_agrees_with_scipy(n: int) -> None:
    samples = np.random.default_rng(n).normal(0.5, 1.0, (20, n))
    expected = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    assert paired_t_p(samples, np.full(20, 40.0)) == pytest.approx(expected, rel=1e-9)


def test_differences_that_never_vary_are_certain_and_no_difference_is_none() -> None:
    # 30.1 − 30 is not exactly 0.1: the remaining spread is rounding
    gaps = np.array([[30.1 - 30.0, 40.1 - 40.0, 50.1 - 50.0], [0.0, 0.0, 0.0]])
    assert list(paired_t_p(gaps, np.array([50.1, 50.0]))) == [0.0, 1.0]


@pytest.mark.parametrize("n", [5, 8])
def test_rounding_and_constant_differences_need_no_test(n: int) -> None:
    iou = np.linspace(0.7, 0.8, n)
    noise = iou + 1.1e-16 * np.arange(2, n + 2)
    found = family(np.stack([iou, noise, iou + 0.1])[:, :, None])
    assert found.p.tolist() == [1.0, 0.0, 0.0]
    assert found.difference[0] == 0.0


def test_34_pairs_show_half_a_deviation() -> None:
    # Cohen 1988; statsmodels' TTestPower().solve_power(0.5, power=0.8, alpha=0.05) is 33.367
    assert detectable(1.0, 34) < 0.5 < detectable(1.0, 33)
    assert detectable(3.0, 34) == pytest.approx(3 * detectable(1.0, 34))
    assert math.isnan(detectable(1.0, 1))


@pytest.mark.parametrize("n", [2, 3, 10, 40, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 300])
def test_what_a_test_could_have_shown_agrees_with_scipys_root_finder(n: int, alpha: float) -> None:
    quantile = stdtrit(n - 1, 1 - alpha / 2)
    root = brentq(lambda c: nctdtr(n - 1, c, quantile) - 0.2, 0.0, 2 * quantile + 10, xtol=1e-13)
    assert detectable(1.0, n, alpha) == pytest.approx(root / math.sqrt(n), rel=1e-9)


@pytest.mark.parametrize("pairs", [45, 1000, 4950, 19_900])
def test_two_units_of_very_many_pairs_could_have_shown_only_a_huge_difference(pairs: int) -> None:
    # One degree of freedom: P((Z + c)/|W| > t) integrated over W, also where scipy's noncentral t
    # has no number any more.
    alpha = 0.05 / pairs
    quantile = stdtrit(1, 1 - alpha / 2)
    centrality = detectable(1.0, 2, alpha) * math.sqrt(2)
    w, step = np.linspace(0, 12, 2_000_001, retstep=True)
    density = np.sqrt(2 / np.pi) * np.exp(-(w**2) / 2)
    power = 1 - (density * ndtr(quantile * w - centrality)).sum() * step
    assert power == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize(("n", "alpha"), [(2, 0.05), (3, 0.01), (8, 0.05)])
def test_what_could_have_been_shown_is_shown_in_four_of_five_tries(n: int, alpha: float) -> None:
    shift = detectable(1.0, n, alpha)
    samples = np.random.default_rng(n).normal(shift, 1.0, (20_000, n))
    found = paired_t_p(samples, np.full(20_000, 1.0)) <= alpha
    assert found.mean() == pytest.approx(0.8, abs=0.012)


def test_few_pairs_take_the_t_test_and_more_take_sign_flips() -> None:
    for n, method in ((1, ""), (2, "t"), (5, "t"), (6, "sign-flip"), (16, "sampled sign-flip")):
        gaps = np.random.default_rng(n).normal(1.0, 1.0, (1, n))
        p, methods = p_values(gaps, np.array([40.0]))
        assert methods[0] == method
        assert np.isnan(p[0]) == (n == 1)


def test_a_test_that_could_never_be_significant_after_correction_is_not_asked() -> None:
    # 7 entries are 21 pairs: 21 · 2/2⁸ = 0.16, so sign flips of 8 seeds cannot be significant
    rng = np.random.default_rng(3)
    for seeds, method in ((8, "t"), (10, "sign-flip")):
        values = 20.0 + np.arange(7)[:, None, None] + rng.normal(0, 0.01, (7, seeds, 1))
        found = family(values)
        assert set(found.method) == {method}
        assert found.significant().all()


def test_a_p_of_five_percent_is_significant_and_none_above() -> None:
    found = dataclasses.replace(
        family(np.ones((3, 2, 1))), adjusted=np.array([0.05, 0.051, np.nan])
    )
    assert found.significant().tolist() == [True, False, False]


def test_pairs_are_compared_only_where_both_finished() -> None:
    nan = math.nan
    values = np.array([[30.0, 32.0, nan, 50.0], [29.0, 31.5, 10.0, nan]])[:, :, None]
    found = family(values)
    assert found.units[0] == 2
    assert found.difference[0] == pytest.approx(0.75)
    assert found.deviation[0] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert found.p[0] == pytest.approx(stats.ttest_1samp([1.0, 0.5], 0.0).pvalue)


def test_seeds_of_one_image_are_one_observation() -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(0.5, 1.0, 4)
    seeds = rng.normal(0.0, 0.1, (4, 50))
    values = np.stack([30 + images[:, None] + seeds, np.full((4, 50), 30.0)])
    found = family(values)
    means = (images[:, None] + seeds).mean(axis=1)
    assert found.units[0] == 4
    assert found.p[0] == pytest.approx(stats.ttest_1samp(means, 0.0).pvalue)


def test_means_of_groups_stand_in_the_order_of_their_first_rows() -> None:
    values = np.array([[1.0, math.nan], [0.0, 5.0], [3.0, 7.0]])
    found = group_means(values, np.array([9, 4, 9]))
    assert found.tolist() == [[2.0, 7.0], [0.0, 5.0]]


def test_without_a_common_unit_nothing_is_tested() -> None:
    nan = math.nan
    found = family(np.array([[30.0, nan, nan], [nan, 31.0, nan]])[:, :, None])
    assert found.units[0] == 0
    assert np.isnan(found.p[0])
    assert np.isnan(found.difference[0])


def test_an_infinite_value_is_not_tested() -> None:
    found = family(np.array([[math.inf, 50.0], [30.0, 31.0], [math.inf, 50.0]])[:, :, None])
    assert np.isnan(found.p[:1]).all()
    # the difference of ∞ and ∞ counts as 0
    assert found.difference[1] == 0.0


def test_two_infinite_values_of_one_seed_do_not_hide_the_other_seeds() -> None:
    values = np.array([[math.inf, 40.0, 41.0, 42.5, 43.0], [math.inf, 30.0, 31.0, 32.0, 33.0]])
    expected = stats.ttest_1samp([0.0, 10.0, 10.0, 10.5, 10.0], 0.0).pvalue
    assert family(values[:, :, None]).p[0] == pytest.approx(expected)  # 0.0162


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.integers(2, 12))
def test_what_is_added_to_both_changes_nothing(seed: int, shift: float, units: int) -> None:
    values = np.random.default_rng(seed).normal(30, 2, (3, units, 2))
    one, other = family(values), family(values + shift)
    assert one.p == pytest.approx(other.p, abs=1e-9)
    assert one.difference == pytest.approx(other.difference, abs=1e-9)


def test_equal_encodings_are_told_apart_in_one_table_of_twenty_at_most() -> None:
    rng = np.random.default_rng(11)
    for seeds in (3, 10):
        tables = 400
        wrong = sum(
            family(rng.normal(30, 1, (5, seeds, 1))).significant().any() for _ in range(tables)
        )
        assert wrong / tables <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0498, "0.0498"), (0.05004, "0.05004"), (0.05, "0.050"), (0.0312, "0.031"), (0.9, "0.900")],
)
def test_a_p_value_is_not_rounded_to_the_level_of_the_test(p, text):
    assert p_text(p) == text
