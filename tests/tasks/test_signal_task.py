"""The signal task: functions have their documented spectra."""

import numpy as np
import pytest
import torch
from encbench_tasks.signal import SignalTask, complete

from encbench import ParameterError, Suite, plan
from encbench.metrics.psnr import psnr
from encbench.metrics.relative_l2 import RelativeL2
from encbench.plugins.registry import default_registry


def values(**parameters):
    """The task's values (side, …, side) in float64."""
    return SignalTask(**parameters).truth[..., 0].astype(np.float64)


def power(array):
    """Energy of each frequency, and its length [cycles per unit], by NumPy's FFT."""
    axes = [np.fft.fftfreq(n, 1 / n) for n in array.shape]
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij")))
    return np.abs(np.fft.fftn(array, norm="forward")) ** 2, radius


def answering(task, made):
    """A network that gives these values at the task's points."""
    place = {tuple(point): n for n, point in enumerate(task.centres.tolist())}
    flat = torch.from_numpy(made.reshape(-1, 1))
    return lambda x: flat[[place[tuple(point)] for point in x.tolist()]]


@pytest.mark.parametrize(("dim", "side", "bandwidth"), [(1, 40, 7), (2, 17, 8), (3, 12, 3)])
def test_noise_has_like_energy_up_to_its_bandwidth_and_none_beyond(dim, side, bandwidth):
    array = values(dim=dim, side=side, bandwidth=bandwidth)
    found, radius = power(array)
    inside = (radius > 0) & (radius <= bandwidth)
    np.testing.assert_allclose(found[inside], found[inside].mean(), rtol=1e-4)
    assert found[radius > bandwidth].sum() < 1e-12 * found[inside].sum()
    assert (array.min(), array.max()) == (0, 1)
    assert not np.array_equal(array, values(dim=dim, side=side, bandwidth=bandwidth, seed=1))


@pytest.mark.parametrize("kind", ["noise", "sines"])
def test_the_function_does_not_depend_on_the_number_of_points(kind):
    fine = values(kind=kind, dim=2, side=33, bandwidth=4, count=None if kind == "noise" else 3)
    coarse = values(kind=kind, dim=2, side=11, bandwidth=4, count=None if kind == "noise" else 3)
    # every third centre of the finer grid is one of the coarser; ranges differ with the points
    slope, start = np.polyfit(fine[1::3, 1::3].ravel(), coarse.ravel(), 1)
    np.testing.assert_allclose(slope * fine[1::3, 1::3] + start, coarse, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2])
def test_sines_have_their_frequencies_and_like_energy(dim):
    found, radius = power(values(kind="sines", dim=dim, side=20, count=3, bandwidth=9))
    lines = np.argsort(np.where(radius > 0, found, 0), axis=None)[::-1][:6]
    lengths = np.sort(radius.ravel()[lines])
    assert (np.ceil(lengths) == [3, 3, 6, 6, 9, 9]).all()
    np.testing.assert_allclose(found.ravel()[lines], found.ravel()[lines[0]], rtol=1e-4)
    assert found.sum() - found[radius == 0].sum() == pytest.approx(found.ravel()[lines].sum())


def test_a_chirps_local_frequency_is_the_bandwidth_times_x():
    array = values(kind="chirp", side=4000, bandwidth=30)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(array))))  # half a period apart
    x = (turns[1:] + turns[:-1] + 3) / 2 / 4000
    np.testing.assert_allclose(0.5 * 4000 / np.diff(turns), 30 * x, rtol=0.03)


def test_a_star_has_its_spokes_and_is_flat_where_they_are_too_fine():
    task = SignalTask(kind="star", side=64, count=6)
    x, y = task.centres.numpy().T - 0.5
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    array = task.truth.ravel()
    outer = radius > 6 / (np.pi * 64)
    np.testing.assert_allclose(array[outer], 0.5 + 0.5 * np.cos(6 * angle[outer]), atol=1e-6)
    assert (array[~outer] == 0.5).all()
    assert (~outer).any()


def test_a_sierpinski_triangle_is_three_of_itself():
    array = values(kind="sierpinski", side=32, count=5)
    small = values(kind="sierpinski", side=16, count=4)
    np.testing.assert_array_equal(array, np.block([[small, small], [small, 0 * small]]))
    assert array.sum() == 3**5


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_one_sphere_is_what_lies_nearest_to_its_centre(dim):
    task = SignalTask(kind="spheres", dim=dim, side=[0, 200, 40, 24][dim], count=1, seed=6)
    inside = task.truth.ravel() == 1
    centre = np.random.default_rng(6).random((1, dim))
    distance = np.linalg.norm(task.centres.numpy() - centre, axis=1)
    assert inside.any()
    assert distance[inside].max() < distance[~inside].min()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"kind": "star", "dim": 1}, "kind=star is a function of dim=2, got dim=1"),
        ({"kind": "star", "bandwidth": 4}, "bandwidth=4 has no effect with kind=star"),
        ({"count": 4}, "count=4 has no effect with kind=noise; leave it out, or give kind=sines"),
        ({"kind": "chirp", "seed": 1}, "seed=1 has no effect with kind=chirp"),
        ({"side": 16}, "needs side=17 or more for bandwidth=8, got side=16"),
        ({"kind": "sierpinski", "side": 31}, "needs side=32 or more for count=5, got side=31"),
        ({"kind": "sierpinski", "count": 10**9}, "needs side="),
        ({"kind": "star", "side": 16}, "needs side=32 or more for count=16"),
        ({"kind": "sines", "bandwidth": 3, "count": 4}, "bandwidth=4 or more, or count=3 or less"),
        ({"kind": "spheres", "count": 10**6}, "take too long; give count=32,768 or less, or a"),
        ({"dim": 3, "side": 200}, "8,000,000 points"),
        ({"stride": 3}, "stride=3 has no effect with split=all"),
    ],
)
def test_what_has_no_effect_or_no_room_is_refused_in_planning(parameters, words):
    entry = {"name": "signal", "parameters": parameters}
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": [entry]})
    with pytest.raises(ParameterError) as caught:
        plan(suite, default_registry())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [{"kind": "nois"}, {"side": 1}, {"bandwidth": 0}, {"dim": 4}, {"noise": -1}, {"seed": -1}],
)
def test_the_constructor_refuses_what_is_out_of_range(parameters):
    with pytest.raises(ParameterError, match="task 'signal': "):
        SignalTask(**parameters)


def test_what_is_not_given_is_filled_in_and_decides_the_data():
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": ["signal", "signal:dim=2"]})
    one, two = (cell.task.parameters for cell in plan(suite, default_registry()))
    assert one == {"kind": "noise", "dim": 1, "side": 512, "bandwidth": 8, "seed": 0}
    assert two["side"] == 64
    counts = [complete({"kind": "sines", "bandwidth": n})["count"] for n in (4, 8, 16)]
    assert counts == [4, 8, 8]
    hashes = [SignalTask.data_hash(**p) for p in ({}, one, two, {"split": "grid"}, {"seed": 1})]
    assert hashes[0] == hashes[1] == hashes[3]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_curve_a_picture_and_three_slices(dim):
    task = SignalTask(dim=dim, side=11, bandwidth=3, split="checker")
    outcome = task.evaluate(answering(task, task.truth))
    assert psnr(*outcome.comparisons["psnr"]) == np.inf
    assert RelativeL2()(*outcome.comparisons["signal"]).value == 0
    assert ("image" in outcome.comparisons) == (dim == 2)
    assert len(outcome.comparisons["held_out_pixels"][0]) == task.truth.size // 2
    assert bool(outcome.lines) == (dim == 1)
    if dim == 1:
        assert list(outcome.baselines) == ["linear interpolation"]
        np.testing.assert_array_equal(outcome.lines["signal"][1], task.truth)
        return
    target = outcome.pictures["target"]
    assert target.shape == (11, 11 * (1 if dim == 2 else 3))
    np.testing.assert_array_equal(outcome.pictures["prediction"], target)
    assert (outcome.pictures["training"] == 128).sum() >= target.size // 2
    drawn = task.render(lambda x: torch.full((len(x), 1), 0.5), 2)
    assert drawn.shape == (22, target.shape[1] * 2)


def test_relative_l2_is_the_norm_of_the_error_over_the_norm_of_the_truth():
    metric = RelativeL2()
    assert metric([3.0, 0.0], [0.0, 4.0]).value == pytest.approx(5 / 4)
    assert metric([1.0], [0.0]).details == {"reason": "the truth is zero everywhere"}
    assert metric([np.nan], [1.0]).value is None
