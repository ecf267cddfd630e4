"""Spectra and curves in the page are the records' own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from encbench_leaderboard.html import write_html
from encbench_leaderboard.render.html import lines
from hypothesis import given
from hypothesis import strategies as st

from encbench.errors import StoreError
from tests.leaderboard.results import Results
from tests.leaderboard.test_html.data import data, floats


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


def test_arrays_damaged_to_the_same_size_are_one_clear_error(results: Results) -> None:
    stored = results.add("a")
    file = stored.path / "arrays.npz"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(StoreError, match=r"arrays\.npz is damaged; remove its folder"):
        write_html(results.directory)
