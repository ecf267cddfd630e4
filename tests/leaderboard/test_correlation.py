"""Rank correlations between spectrum and quality."""

from __future__ import annotations

import math

import numpy as np
import pytest
from encbench_leaderboard.board.correlation import Correlation, correlations, mean_rho, spearman
from encbench_leaderboard.board.table import boards
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from encbench.contracts.metric import MetricValue
from encbench.results.kernel_summary import TargetSummary
from tests.leaderboard.results import Results, diverged

NUMBERS = st.lists(st.integers(-5, 5), min_size=3, max_size=12)


@given(NUMBERS, NUMBERS)
def test_spearman_agrees_with_scipy_also_on_ties(x: list[int], y: list[int]) -> None:
    size = min(len(x), len(y))
    a, b = np.array(x[:size], dtype=float), np.array(y[:size], dtype=float)
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_spearman_of_a_constant_is_undefined() -> None:
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))


def test_spearman_ranks_infinities() -> None:
    rising = np.array([-np.inf, 0.0, 1.0, np.inf])
    assert spearman(rising, np.arange(4.0)) == pytest.approx(1.0)


def by_name(results: Results, when: str) -> dict[str, float]:
    task = boards(results.store.records()).tasks[0]
    return {c.statistic: c.rho for c in correlations(task, when)}


def test_a_spectrum_that_falls_slower_with_quality_correlates_positively(
    results: Results,
) -> None:
    for place in range(6):
        results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place)
    rho = by_name(results, "end")
    assert rho["median"] == pytest.approx(1.0)
    assert rho["effective_rank"] == pytest.approx(1.0)
    assert math.isnan(rho["maximum"])


def test_a_metric_that_is_better_when_lower_turns_the_sign(results: Results) -> None:
    for place in range(6):
        value = MetricValue(value=1.0 + place, direction="lower")
        results.add(
            f"e{place}", decades=20.0 - 2 * place, curve="chamfer", metrics={"chamfer": value}
        )
    assert by_name(results, "end")["median"] == pytest.approx(-1.0)


def test_eigenvalues_under_the_floor_rank_lowest_and_tied(results: Results) -> None:
    # quality 0, 1 with a median under the floor, then 2, 3 with rising medians
    for psnr, decades in ((20.0, 40.0), (21.0, 44.0), (22.0, 10.0), (23.0, 8.0)):
        results.add(f"e{psnr}", psnr=psnr, decades=decades)
    expected = spearmanr([1, 1, 2, 3], [0, 1, 2, 3]).statistic
    assert by_name(results, "end")["median"] == pytest.approx(expected)


def test_only_cells_that_finished_count(results: Results) -> None:
    for place in range(5):
        results.add(f"e{place}", psnr=20.0 + place)
    results.add("bad", psnr=None, status="diverged", error=diverged(3))
    results.add("blind", psnr=50.0, points=0)
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {c.cells for c in found} == {5}
    assert not any(c.too_few for c in found)


def test_many_seeds_of_few_encodings_are_too_few(results: Results) -> None:
    for seed in range(3):
        for encoding in ("a", "b"):
            results.add(encoding, seed=seed, psnr=20.0 + seed)
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {(c.cells, c.encodings, c.too_few) for c in found} == {(6, 2, True)}


def test_many_settings_of_few_encodings_are_too_few(results: Results) -> None:
    for place in range(12):
        training = {"lr": 0.01 * (1 + place // 2)}
        results.add("ab"[place % 2], psnr=20.0 + place, decades=6.0 + place, training=training)
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {(c.cells, c.encodings, c.too_few) for c in found} == {(12, 2, True)}
    assert math.isnan(found[1].interval[0])


def test_the_mean_over_tasks_leaves_out_tasks_with_too_few_cells(results: Results) -> None:
    for place in range(5):
        results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place, task="up")
        results.add(f"e{place}", psnr=30.0 - place, decades=20.0 - 2 * place, task="down")
        if place < 3:
            results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place, task="few")
    tasks = boards(results.store.records()).tasks
    means = mean_rho((correlations(task, "end") for task in tasks), "end")
    assert (means["median"].rho, means["median"].tasks) == (pytest.approx(0.0, abs=1e-12), 2)
    assert math.isnan(means["maximum"].rho)


def test_values_under_different_conditions_are_not_ranked_together(results: Results) -> None:
    for place, scales in enumerate((5, 5, 5, 3)):
        value = MetricValue(value=0.5 + 0.1 * place, details={"scales": scales})
        results.add(f"e{place}", curve="ms_ssim", metrics={"ms_ssim": value})
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {c.cells for c in found} == {3}


def test_the_interval_counts_encodings_and_covers_what_it_should() -> None:
    rng = np.random.default_rng(0)
    rho, n, inside = 0.6, 12, 0
    true = 6 / math.pi * math.asin(rho / 2)  # Spearman's ρ of a binormal of correlation 0.6
    for _ in range(2000):
        x = rng.standard_normal(n)
        y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal(n)
        low, high = Correlation("median", "end", spearman(x, y), 40, n).interval
        inside += low <= true <= high
    assert 0.93 < inside / 2000 < 0.98
    assert math.isnan(Correlation("median", "end", 1.0, 40, n).interval[0])
    assert math.isnan(Correlation("median", "end", 0.5, 40, 4).interval[0])


def with_alignment(results: Results, name: str, psnr: float, value: float | None) -> None:
    """A cell whose kernel at the end has the given centred alignment."""
    stored = results.add(name, psnr=psnr)
    last = stored.record.spectra[-1]
    last.target = None if value is None else TargetSummary(alignment_centred=value)
    results.store.write(stored.record, stored.arrays, {})


def test_alignment_is_correlated_over_the_cells_that_have_one(results: Results) -> None:
    for place in range(6):
        with_alignment(results, f"e{place}", 20.0 + place, 0.1 * place)
    with_alignment(results, "old", 50.0, None)
    task = boards(results.store.records()).tasks[0]
    assert "alignment_centred" not in {c.statistic for c in correlations(task, "start")}
    found = {c.statistic: c for c in correlations(task, "end")}["alignment_centred"]
    assert (found.rho, found.cells, found.encodings) == (pytest.approx(1.0), 6, 6)


def test_the_worst_prediction_is_the_farthest_from_the_line_through_the_ranks(
    results: Results,
) -> None:
    # ranks of quality by rising alignment: 1 2 3 4 5, and the sixth, expected best, is worst
    for place, psnr in enumerate((21.0, 22.0, 23.0, 24.0, 25.0, 20.0)):
        with_alignment(results, f"e{place}", psnr, 0.1 * place)
    task = boards(results.store.records()).tasks[0]
    worst = {c.statistic: c for c in correlations(task, "end")}["alignment_centred"].worst
    rank = np.array([2, 3, 4, 5, 6, 1])
    slope, offset = np.polyfit(np.arange(6), rank, 1)
    expected = rank - (slope * np.arange(6) + offset)
    assert worst is not None
    assert (worst.entry, worst.cells) == ("e5", 6)
    assert worst.ranks == pytest.approx(expected[5])
    assert abs(expected[5]) == max(abs(expected))
