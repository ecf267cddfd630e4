"""The CT task: its projections against lines clipped pixel by pixel, and errors."""

import numpy as np
import pytest
import torch
from encbench_tasks.ct import CtTask, angles_of, field_of_view, projection_matrix
from PIL import Image
from skimage.transform import radon

from encbench import DataError, ParameterError, SuiteError
from encbench.metrics.psnr import psnr
from encbench.plugins.registry import default_registry
from encbench.suite.file import Suite
from encbench.suite.plan import plan


def clipped_length(column, row, angle, offset):
    """Length of the line at an angle and an offset within the unit square around (column, row), by
    clipping it at each of the four sides (Liang and Barsky)."""
    # in (column, row) from the centre of rotation
    start = offset * np.array([np.cos(angle), -np.sin(angle)])
    along = np.array([np.sin(angle), np.cos(angle)])
    low, high = -1e9, 1e9
    for axis, middle in enumerate((column, row)):
        if abs(along[axis]) < 1e-12:
            if abs(start[axis] - middle) > 0.5:
                return 0.0
            continue
        ends = sorted((middle + half - start[axis]) / along[axis] for half in (-0.5, 0.5))
        low, high = max(low, ends[0]), min(high, ends[1])
    return max(high - low, 0.0)


def brute_force(inside, angles):
    side = len(inside)
    middle = side // 2
    return np.array(
        [
            [clipped_length(c - middle, r - middle, a, k - middle) / side]
            for a in angles
            for k in range(side)
            for r, c in np.argwhere(inside)
        ]
    ).reshape(len(angles) * side, -1)


@pytest.mark.parametrize("side", [8, 9])
def test_line_lengths_are_those_of_lines_cut_off_at_each_side_of_a_pixel(side):
    disc = field_of_view(side, CtTask(side=side, angles=1).centres.numpy()).reshape(side, side)
    angles = np.append(angles_of(7), [np.pi / 2, np.pi / 4])
    expected = brute_force(disc, angles)
    np.testing.assert_allclose(projection_matrix(disc, angles).to_dense(), expected, atol=1e-14)


def test_a_discs_projections_are_its_chords():
    side, radius = 200, 60
    place = np.indices((side, side)) - side // 2
    disc = (place**2).sum(0) <= radius**2
    sums = projection_matrix(disc, angles_of(5)).sum(1).to_dense().reshape(5, side) * side
    offset = np.arange(side) - side // 2
    chords = 2 * np.sqrt(np.clip(radius**2 - offset**2, 0, None))
    assert abs(sums.numpy() - chords).mean() < 0.5, "half a pixel on average: the disc has steps"
    # a mass is the same from all sides
    np.testing.assert_allclose(sums.sum(1), disc.sum(), rtol=2e-3)


@pytest.mark.parametrize("side", [16, 17])
def test_lines_lie_where_scikit_images_do(side):
    task = CtTask(side=side, angles=4)
    ours = task.epoch(torch.Generator())[1].numpy().reshape(4, side).T * side
    theirs = radon(task.truth[..., 0].astype(np.float64), np.rad2deg(angles_of(4)))
    # along an axis nothing is interpolated
    np.testing.assert_allclose(ours[:, [0, 2]], theirs[:, [0, 2]], atol=1e-5)
    assert abs(ours - theirs).max() < 0.15 * theirs.max()
    mirrored = abs(ours[::-1] - theirs).mean()
    assert abs(ours - theirs).mean() < 0.5 * mirrored


def test_the_loss_is_that_of_the_sums_of_the_networks_pixels_in_any_batch():
    task = CtTask(side=8, angles=5, image="camera")
    x, y = (part.float() for part in task.epoch(torch.Generator()))
    model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    dense = brute_force(task.inside.reshape(8, 8), angles_of(5))
    pixels = task.centres[torch.from_numpy(task.inside)]
    sums = dense @ model(pixels.float()).detach().double().numpy()
    for chosen in (torch.arange(40), torch.tensor([38, 3, 17])):
        found = task.loss(model, x[chosen], y[chosen])
        expected = np.square(sums[chosen] - y[chosen].numpy()).mean()
        assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_image_itself_is_a_perfect_reconstruction_and_filtered_back_projection_a_good_one():
    task = CtTask(side=32, angles=90)
    outcome = task.evaluate(lambda x: torch.from_numpy(task.truth.reshape(-1, 1)))
    assert task.progress_metric(lambda x: torch.from_numpy(task.truth.reshape(-1, 1))) == np.inf
    assert all(psnr(*pair) == np.inf for pair in outcome.comparisons.values())
    (made,) = outcome.baselines.values()
    assert psnr(*made["psnr"]) > 22
    assert outcome.pictures["sinogram"].shape == (32, 90)
    drawn = task.render(lambda x: torch.ones(len(x), 1), 2)
    assert drawn.shape == (64, 64)
    assert (drawn[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all(), "nothing is drawn outside the disc"


def test_what_the_network_says_outside_the_disc_does_not_count():
    task = CtTask(side=16, angles=3)
    values = np.where(task.inside, task.truth.reshape(-1), 0.7)[:, None]
    outcome = task.evaluate(lambda x: torch.from_numpy(values))
    assert psnr(*outcome.comparisons["image"]) == np.inf


def test_noise_is_on_the_projections_in_parts_of_the_largest():
    clean, noisy, other = (CtTask(angles=40, noise=s, noise_seed=n) for s, n in _NOISES)
    truth, drawn, again = (task.epoch(torch.Generator())[1] for task in (clean, noisy, other))
    assert ((drawn - truth).std() / truth.max()).item() == pytest.approx(0.05, rel=0.05)
    assert not torch.equal(drawn, again)
    np.testing.assert_array_equal(clean.truth, noisy.truth)


_NOISES = [(0.0, None), (0.05, None), (0.05, 1)]


def test_the_kernel_is_taken_at_pixels_of_the_disc():
    task = CtTask(side=16, angles=3)
    points = task.ntk_points(10**6, torch.Generator().manual_seed(0))
    assert len(points) == task.inside.sum()
    assert field_of_view(16, points.numpy()).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"angles": 0}, "angles from 1 to 4,096"),
        (
            {"angles": 10**6, "side": 8},
            "angles from 1 to 4,096, and .* got side=8 and angles=1000000",
        ),
        ({"noise": 0.1, "noise_seed": -1}, "noise_seed must be at least 0, got -1"),
        ({"side": 4}, "side must be at least 8"),
        ({"side": 400, "angles": 1000}, "at most 67,108,864"),
        ({"noise_seed": 1}, "noise_seed=1 has no effect with noise=0; leave"),
        ({"noise": -1.0}, "noise must be at least 0, got -1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        CtTask(**parameters)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((20, 20), np.uint8), "zero at every pixel of the disc"),
        (np.full((12, 30), 9, np.uint8), "side=16 is more than the image has"),
    ],
)
def test_an_image_of_which_nothing_can_be_learned_is_refused(tmp_path, pixels, message):
    Image.fromarray(pixels).save(tmp_path / "one.png")
    with pytest.raises(DataError, match=message):
        CtTask(image=str(tmp_path / "one.png"), side=16)


def test_of_an_image_that_is_not_square_the_middle_is_taken(tmp_path):
    pixels = np.zeros((16, 40), np.uint8)
    pixels[:, 12:28] = np.arange(1, 17)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    truth = CtTask(image=str(tmp_path / "wide.png"), side=16).truth[8, :, 0]
    np.testing.assert_allclose(truth, np.arange(1, 17) / 255, rtol=1e-6)


def test_lr_auto_needs_an_optimizer_with_a_usual_rate():
    suite = {"encodings": ["identity"], "tasks": ["ct"], "training": {"optimizer": "sgd"}}
    with pytest.raises(SuiteError, match="'ct' has a loss of its own"):
        plan(Suite.model_validate(suite), default_registry())
