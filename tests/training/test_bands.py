"""The error by band of spatial frequency agrees with independently computed transforms."""

import numpy as np
import pytest
import torch
from encbench_tasks.signal import SignalTask

from encbench import CoordinateMLP, RegularGrid
from encbench.suite.config import TrainingConfig
from encbench.training import loop
from encbench.training.bands import Bands, band_steps
from encbench.training.loop import predictor, train
from encbench.training.optimizers import Sgd
from encbench.training.schedules import Constant
from tests.sample_plugin import Scaled


def grid_of(values, periodic, sides=None):
    """A grid with these values (n_1, …, O); its points do not matter."""
    *shape, _ = values.shape
    x = torch.zeros(int(np.prod(shape)), len(shape), dtype=torch.float64)
    return RegularGrid(x, values, periodic, sides)


def energies_by_numpy(values, periodic):
    """Energies from NumPy's FFT, of the values or, if not periodic, also their mirror images."""
    shape = values.shape[:-1]
    for axis in () if periodic else range(len(shape)):
        values = np.concatenate([values, np.flip(values, axis)], axis)
    length = 1 if periodic else 2
    axes = [np.fft.fftfreq(n, 1 / n) / length for n in values.shape[:-1]]
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*axes, indexing="ij")))
    spectrum = np.fft.fftn(values, axes=range(len(shape)), norm="forward")
    power = (np.abs(spectrum) ** 2).mean(axis=-1)
    # mirrored values have no energy at the highest frequency of the doubled grid
    highest = radius.max() if periodic else np.linalg.norm([(n - 1) / 2 for n in shape])
    found = [power[radius == 0].sum()]
    above, upper = 0.0, 1.0
    while above < highest:
        found.append(power[(radius > above) & (radius <= upper)].sum())
        above, upper = upper, 2 * upper
    return np.array(found)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(9, 1), (16, 2), (6, 11, 3), (4, 5, 6, 1)])
def test_bands_are_those_of_an_independent_transform_and_sum_to_the_mean_square(shape, periodic):
    rng = np.random.default_rng(len(shape))
    truth, made = rng.random(shape), rng.random(shape)
    bands = Bands(grid_of(truth, periodic))
    np.testing.assert_allclose(bands.target, energies_by_numpy(truth, periodic), rtol=1e-10)
    error = bands.error(made.reshape(-1, shape[-1]))
    np.testing.assert_allclose(error, energies_by_numpy(made - truth, periodic), rtol=1e-10)
    assert error.sum() == pytest.approx(np.square(made - truth).mean())
    assert bands.upper.tolist() == [0, *(2.0 ** np.arange(len(error) - 1))]


def test_a_ramp_has_no_jump_where_it_is_mirrored():
    ramp = np.linspace(0, 1, 256)[:, None]
    mirrored, wrapped = (Bands(grid_of(ramp, periodic)) for periodic in (False, True))
    assert mirrored.target[-2:].sum() < 1e-3 * wrapped.target[-2:].sum()


def test_a_wave_lies_in_the_band_that_ends_at_its_frequency():
    x = (np.arange(40) + 0.5) / 40
    for frequency, band in ((1, 1), (2, 2), (3, 3), (4, 3), (5, 4)):
        wave = np.cos(2 * np.pi * frequency * x)[:, None]
        for periodic in (True, False):
            assert Bands(grid_of(wave, periodic)).target[band] == pytest.approx(0.5)


def test_frequencies_in_a_box_are_per_unit_too():
    x, y = 0.5 * (np.arange(40)[:, None] + 0.5) / 40, 0.25 * (np.arange(20) + 0.5) / 20
    for along, frequency, band in ((x, 4, 3), (x, 5, 4), (y, 2, 2), (y, 6, 4)):
        wave = np.broadcast_to(np.cos(2 * np.pi * frequency * along), (40, 20))[..., None]
        assert Bands(grid_of(wave, False, (0.5, 0.25))).target[band] == pytest.approx(0.5)
    assert Bands(grid_of(np.cos(16 * np.pi * x), True, (0.5,))).target[4] == pytest.approx(0.5)


def trained(task, **settings):
    torch.manual_seed(0)
    model = CoordinateMLP(Scaled(1), 1, 8, 1)
    result = train(
        model,
        task,
        TrainingConfig(**{"batch_size": 8, "steps": 9, "evaluations": 3} | settings),
        0.1,
        optimizer=Sgd(),
        schedule=Constant(),
        data=torch.Generator().manual_seed(1),
        batches=torch.Generator().manual_seed(2),
    )
    return model, result


def test_training_records_the_error_after_the_steps_of_the_curve():
    task = SignalTask(side=24, bandwidth=4)
    model, result = trained(task)
    arrays = result.arrays()
    np.testing.assert_array_equal(arrays["band_step"], arrays["curve_step"])
    assert arrays["band_error"].shape == (len(result.curve), len(arrays["band_upper"]))
    made = predictor(model, task)(task.centres).numpy()
    expected = energies_by_numpy(made.astype(float) - task.truth, periodic=True)
    np.testing.assert_allclose(arrays["band_error"][-1], expected, rtol=1e-5)
    assert (np.diff(arrays["band_error"].sum(axis=1)) < 0).all()
    assert sum(array.nbytes for name, array in arrays.items() if "band" in name) < 4000


def test_points_of_the_curve_are_not_predicted_again(monkeypatch):
    predicted = []

    def counting(model, task):
        predict = predictor(model, task)
        return lambda x: predicted.append(len(x)) or predict(x)

    monkeypatch.setattr(loop, "predictor", counting)
    _, result = trained(SignalTask(side=24, bandwidth=4))
    assert predicted == [24] * len(result.curve)


def test_a_large_grid_is_predicted_as_often_as_is_cheap():
    task = SignalTask(side=512)
    grid, curve = task.regular_grid(), list(range(0, 340, 10))
    assert band_steps(curve, task, grid, 1) == set(curve), "the curve's own points cost nothing"
    task.curve_points = 100
    assert band_steps(curve, task, grid, 512) == {0, 10, 330}
    assert band_steps(curve, task, grid, 512 * 10**3) == set(curve)
    some = sorted(band_steps(curve, task, grid, 512 * 60))
    assert len(some) <= 12
    assert some[-1] == 330
    assert np.diff(some)[0] == 10 < np.diff(some)[-1], "closer together at the start"


def test_a_task_without_a_grid_has_no_bands():
    task = SignalTask(side=24, bandwidth=4)
    task.regular_grid = lambda: None
    assert not [name for name in trained(task)[1].arrays() if "band" in name]


@pytest.mark.parametrize(
    ("x", "truth", "words"),
    [
        (torch.zeros(4, 1, dtype=torch.float64), np.zeros((4, 1), int), "expected floats"),
        (torch.zeros(4, 1), np.zeros((4, 1)), r"expected \(4, 1\) of float64"),
        (torch.zeros(3, 1, dtype=torch.float64), np.zeros((4, 1)), r"x is \(3, 1\) of float64"),
        (np.zeros((4, 1)), np.zeros((4, 1)), r"x is \(4, 1\) of float64; for truth"),
        (torch.zeros(0, 1, dtype=torch.float64), np.zeros((0, 1)), "expected"),
    ],
)
def test_a_grid_of_other_shapes_is_refused(x, truth, words):
    with pytest.raises(TypeError, match=words):
        RegularGrid(x, truth)


def test_a_box_of_other_sides_is_refused():
    for sides in ((0.5,), (0.5, 0.0)):
        with pytest.raises(TypeError, match="expected 2 positive lengths"):
            grid_of(np.zeros((4, 4, 1)), False, sides)
