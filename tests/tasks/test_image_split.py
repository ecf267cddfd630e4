"""Splits of an image: pixels trained on, pixels held out, and interpolation between them."""

from itertools import product

import numpy as np
import pytest
import torch
from encbench_tasks._restoration import interpolated
from encbench_tasks._split import trained_points
from encbench_tasks.image import ImageTask
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.interpolate import RegularGridInterpolator

from encbench import DataError, ParameterError, Suite, plan
from encbench.metrics.ms_ssim import ms_ssim
from encbench.metrics.psnr import psnr
from encbench.metrics.ssim import ssim
from encbench.plugins.registry import default_registry

SPLITS = [
    {"split": "checker"},
    {"split": "random", "fraction": 0.3, "split_seed": 4},
    {"split": "grid", "stride": 3},
]
KINDS = ["held_out_pixels", "image", "psnr"]


@pytest.fixture
def photo(tmp_path):
    """The path of a 13 × 17 RGB image."""
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return str(path)


def answering(task, image):
    """A network that returns the pixels of an image (H, W, C)."""
    height, width = image.shape[:2]

    def predict(x):
        place = x.numpy() * [width, height] - 0.5
        column, row = np.rint(place).astype(int).T
        return torch.from_numpy(image[row, column].astype(np.float32))

    return predict


@given(
    height=st.integers(2, 12),
    width=st.integers(2, 12),
    split=st.sampled_from(["checker", "random", "grid"]),
    fraction=st.floats(0.25, 0.75),
    seed=st.integers(0, 9),
    stride=st.integers(2, 15),
)
def test_every_split_parts_the_pixels_into_two_that_are_not_empty(
    height, width, split, fraction, seed, stride
):
    trained = trained_points((height, width), split, fraction, seed, stride)
    assert trained.shape == (height, width)
    assert 0 < trained.sum() < trained.size
    if split == "grid":
        # all crossings of some rows and columns; another test checks their steps
        rows, columns = (trained.any(axis=axis) for axis in (1, 0))
        np.testing.assert_array_equal(trained, np.outer(rows, columns))
    else:
        half, share = (height * width + 1) // 2, round(fraction * height * width)
        assert trained.sum() == (half if split == "checker" else share)


def test_no_two_adjacent_pixels_of_a_checkerboard_are_alike():
    trained = trained_points((5, 8), "checker", 0.5, 0, 2)
    assert trained[0, 0]
    assert (trained[1:] != trained[:-1]).all()
    assert (trained[:, 1:] != trained[:, :-1]).all()


@given(side=st.integers(2, 40), stride=st.integers(2, 9))
def test_a_grid_is_regular_and_equally_far_from_both_borders(side, stride):
    places = np.flatnonzero(trained_points((side, 2), "grid", 0.5, 0, stride).any(axis=1))
    assert (np.diff(places) == stride).all()
    before, after = places[0], side - 1 - places[-1]
    assert before <= after <= before + 1
    assert after < stride


def test_a_seed_of_its_own_draws_the_pixels():
    one, same, other = (trained_points((20, 20), "random", 0.5, s, 2) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("split", SPLITS)
def test_trained_on_and_held_out_points_are_all_pixels_and_share_none(photo, split):
    everything, task = ImageTask(image=photo), ImageTask(image=photo, **split)
    all_x, all_y = everything.epoch(torch.Generator())
    x, y = task.epoch(torch.Generator())
    assert everything.held_out() is None
    assert task.points_per_epoch == len(x) < len(all_x)
    joined = torch.cat([torch.cat(pair, dim=1) for pair in ((x, y), task.held_out())])
    expected = torch.cat([all_x, all_y], dim=1)
    assert torch.equal(joined.unique(dim=0), expected.unique(dim=0))
    points = task.ntk_points(1000, torch.Generator())
    assert torch.equal(points.unique(dim=0), x.unique(dim=0)), "kernels are of training points"


def test_noise_is_in_training_values_alone_whatever_is_held_out(photo):
    clean = ImageTask(image=photo, split="checker")
    noisy = ImageTask(image=photo, split="checker", noise=0.5, split_seed=3)
    drawn = noisy.epoch(torch.Generator())[1] - clean.epoch(torch.Generator())[1]
    assert drawn.std().item() == pytest.approx(0.5, rel=0.1)
    assert noisy.epoch(torch.Generator())[1].max() > 1.2, "values are not clipped"
    assert torch.equal(noisy.held_out()[1], clean.held_out()[1])
    np.testing.assert_array_equal(noisy.truth, clean.truth)
    whole = ImageTask(image=photo, noise=0.5, split_seed=3)
    np.testing.assert_array_equal(whole.given[noisy.trained], noisy.given[noisy.trained])
    other = ImageTask(image=photo, noise=0.5, split_seed=4)
    assert (whole.given != other.given).all()


@pytest.mark.parametrize("split", SPLITS)
def test_metrics_of_trained_on_and_held_out_pixels_are_separate(photo, split):
    task = ImageTask(image=photo, noise=0.2, **split)
    made = np.random.default_rng(1).random(task.truth.shape).astype(np.float32)
    outcome = task.evaluate(answering(task, made))
    found = {
        offer.name: metric(*pair).value
        for offer in default_registry().offers("metric")
        for metric in [offer.load()()]
        if (pair := outcome.comparisons.get(offer.name, outcome.comparisons.get(metric.kind)))
    }
    squared = (made.astype(np.float64) - task.truth) ** 2
    assert sorted(outcome.comparisons) == KINDS
    assert found == {
        "psnr": pytest.approx(-10 * np.log10(squared[task.trained].mean())),
        "psnr_held_out": pytest.approx(-10 * np.log10(squared[~task.trained].mean())),
        "ms_ssim": ms_ssim(made, task.truth)[0],
        "ssim": ssim(made, task.truth),
    }
    assert task.curve == "psnr_held_out"
    assert task.progress_metric(answering(task, made)) == pytest.approx(found["psnr_held_out"])
    assert task.curve_points == (~task.trained).sum()


def test_without_a_split_everything_is_as_it_was(photo):
    task = ImageTask(image=photo)
    outcome = task.evaluate(answering(task, task.truth))
    assert (task.curve, task.curve_points) == ("psnr", 13 * 17)
    assert (list(outcome.comparisons), dict(outcome.baselines)) == (["image"], {})
    assert set(outcome.pictures) == {"target", "prediction", "error"}


def test_with_noise_alone_psnr_is_of_the_clean_image(photo):
    task = ImageTask(image=photo, noise=0.1)
    outcome = task.evaluate(answering(task, task.truth))
    assert (task.curve, list(outcome.comparisons)) == ("psnr", ["image"])
    assert psnr(*outcome.comparisons["image"]) == np.inf
    assert list(outcome.baselines) == [
        "the noisy image as it is",
        "Gaussian filter",
        "total variation",
    ]
    noisy = outcome.baselines["the noisy image as it is"]
    assert psnr(*noisy["image"]) == psnr(np.clip(task.given, 0, 1), task.truth)


def test_the_mean_of_the_neighbours_is_of_the_smallest_window_that_has_any():
    rng = np.random.default_rng(2)
    given = rng.random((7, 9, 2)).astype(np.float32)
    for trained in (trained_points((7, 9), "checker", 0.5, 0, 2), rng.random((7, 9)) < 0.08):
        made = interpolated(given, trained)["mean of the neighbours"]
        for row, column in product(range(7), range(9)):
            radius = 0
            while True:
                window = (
                    slice(max(0, row - radius), row + radius + 1),
                    slice(max(0, column - radius), column + radius + 1),
                )
                if trained[window].any():
                    break
                radius += 1
            expected = given[window][trained[window]].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(made[row, column], expected, rtol=1e-6)


def test_inside_a_checkerboard_neighbours_are_the_adjacent_four():
    given = np.random.default_rng(3).random((6, 6, 1)).astype(np.float32)
    trained = trained_points((6, 6), "checker", 0.5, 0, 2)
    made = interpolated(given, trained)["mean of the neighbours"]
    assert trained[2, 2]
    assert not trained[2, 3]
    np.testing.assert_array_equal(made[2, 2], given[2, 2])
    adjacent = (given[1, 3] + given[3, 3] + given[2, 2] + given[2, 4]) / 4
    np.testing.assert_allclose(made[2, 3], adjacent, rtol=1e-6)


def test_of_a_grid_bilinear_interpolation_is_scipys_and_the_border_beyond():
    given = np.random.default_rng(4).random((11, 14, 3)).astype(np.float32)
    trained = trained_points((11, 14), "grid", 0.5, 0, 4)
    rows, columns = (np.flatnonzero(trained.any(axis=axis)) for axis in (1, 0))
    reference = RegularGridInterpolator((rows, columns), given[np.ix_(rows, columns)])
    places = np.moveaxis(np.indices((11, 14)), 0, -1)
    places = np.clip(places, [rows[0], columns[0]], [rows[-1], columns[-1]])
    made = interpolated(given, trained)["bilinear interpolation"]
    np.testing.assert_allclose(made, reference(places), rtol=1e-6)


@pytest.mark.parametrize("split", ["checker", "random", "grid"])
def test_cubic_interpolation_keeps_a_plane_and_what_was_given(split):
    row, column = np.indices((12, 15))
    plane = (0.1 + 0.02 * row + 0.03 * column).astype(np.float32)[..., None]
    trained = trained_points((12, 15), split, 0.5, 1, 3)
    made = interpolated(plane, trained)["cubic interpolation"]
    np.testing.assert_array_equal(made[trained], plane[trained])
    inner = np.zeros_like(trained)
    inner[3:-3, 3:-3] = True
    np.testing.assert_allclose(made[inner], plane[inner], atol=1e-5)


def test_three_pixels_are_too_few_for_triangles_and_have_means():
    trained = np.zeros((4, 4), np.bool_)
    trained[0, 0] = trained[1, 3] = trained[3, 1] = True
    given = np.full((4, 4, 1), 0.25, np.float32)
    for made in interpolated(given, trained).values():
        np.testing.assert_allclose(made, 0.25, rtol=1e-6)


def test_methods_without_a_network_see_training_pixels_alone(photo):
    task = ImageTask(image=photo, split="checker")
    outcome = task.evaluate(answering(task, task.truth))
    assert list(outcome.baselines) == ["mean of the neighbours", "cubic interpolation"]
    for name, made in interpolated(
        np.where(task.trained[..., None], task.truth, 9), task.trained
    ).items():
        compared = outcome.baselines[name]
        assert sorted(compared) == KINDS
        np.testing.assert_array_equal(compared["image"][0], made)
        np.testing.assert_array_equal(compared["held_out_pixels"][0], made[~task.trained])


def test_the_training_picture_is_grey_where_pixels_are_held_out(photo):
    task = ImageTask(image=photo, split="grid")
    pictures = task.evaluate(answering(task, task.truth)).pictures
    assert (pictures["training"][~task.trained] == 128).all()
    np.testing.assert_array_equal(
        pictures["training"][task.trained], pictures["target"][task.trained]
    )
    seen = ImageTask(image=photo, channels="rgba", split="grid")
    training = seen.evaluate(answering(seen, seen.truth)).pictures["training"]
    assert (training[~seen.trained] == [128, 128, 128, 255]).all()


def planned(task):
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": [task]})
    return plan(suite, default_registry())[0]


def test_parameters_of_a_split_are_filled_in_and_without_one_left_out():
    assert planned("image:side=8").task.parameters == {
        "image": "chelsea",
        "side": 8,
        "channels": "auto",
    }
    for text in ("split=random", "split=random,fraction=0.5,split_seed=0"):
        parameters = planned(f"image:side=8,{text}").task.parameters
        assert parameters["fraction"] == 0.5
        assert (parameters["split_seed"], "stride" in parameters) == (0, False)
    assert planned("image:side=8,noise=0.1").task.parameters["split_seed"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split=checker,fraction=0.3", "fraction=0.3 has no effect with split=checker; leave it"),
        ("stride=2", "stride=2 has no effect with split=all; leave it out, or give split=grid or"),
        ("split_seed=1", "no effect with split=all and noise=0; .* split=mask or noise > 0"),
        ("mask=block", "mask=block has no effect with split=all; leave it out, or give split=mask"),
        ("split=chequer", r"no such choice; did you mean 'checker'\? Expected 'all'"),
        ("split=random,fraction=1", "fraction=1 is not valid: it must be less than 1"),
        ("split=random,fraction=0", "fraction=0 is not valid: it must be greater than 0"),
        ("split=grid,stride=1", "stride=1 is not valid"),
        ("noise=-1", "noise=-1 is not valid"),
    ],
)
def test_misuse_is_one_line_at_planning(text, message):
    with pytest.raises(ParameterError, match=message) as raised:
        planned(f"image:side=8,{text}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fraction", "left"), [(0.001, "none to train on"), (0.999, "none to hold out")]
)
def test_a_fraction_that_leaves_no_pixel_says_so(photo, fraction, left):
    with pytest.raises(DataError, match=f"fraction={fraction} of 17 × 13 pixels leaves {left}"):
        ImageTask(image=photo, split="random", fraction=fraction)
    for wrong in ({"split": "half"}, {"noise": -1.0}, {"split": "grid", "stride": 1}):
        with pytest.raises(ParameterError, match=r"(split|noise) must be"):
            ImageTask(image=photo, **wrong)
