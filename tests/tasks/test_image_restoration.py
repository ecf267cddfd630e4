"""Shrunk, noisy or incomplete images, and methods without a network for them."""

from itertools import product

import numpy as np
import pytest
import torch
from encbench_tasks._restoration import denoised, enlarged, inpainted
from encbench_tasks.image import ImageTask, missing_pixels
from PIL import Image
from scipy.ndimage import gaussian_filter, laplace

from encbench import DataError
from encbench.metrics.psnr import psnr

GENERATOR = torch.Generator()


@pytest.fixture
def photo(tmp_path):
    """The path of a 14 × 11 RGB image."""
    pixels = np.random.default_rng(0).integers(0, 256, (11, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.mark.parametrize("stride", [2, 3])
def test_blocks_are_means_of_the_cropped_images_pixels_at_their_middle(photo, stride):
    task, whole = ImageTask(image=photo, split="blocks", stride=stride), ImageTask(image=photo)
    height, width = 11 // stride * stride, 14 // stride * stride
    np.testing.assert_array_equal(task.truth, whole.truth[:height, :width])
    x, y = task.epoch(GENERATOR)
    for number, (row, column) in enumerate(
        product(range(height // stride), range(width // stride))
    ):
        block = (
            slice(row * stride, (row + 1) * stride),
            slice(column * stride, (column + 1) * stride),
        )
        expected = task.truth[block].mean(axis=(0, 1), dtype=np.float64)
        np.testing.assert_allclose(y[number], expected, rtol=1e-6)
        middle = (column + 0.5) * stride / width, (row + 0.5) * stride / height
        np.testing.assert_allclose(x[number], middle, rtol=1e-12)
    assert (task.curve, task.held_out()) == ("psnr", None)


def test_the_loss_of_blocks_is_of_the_networks_mean_over_their_pixels(photo):
    task = ImageTask(image=photo, split="blocks", stride=3, noise=0.1)
    x, y = task.epoch(GENERATOR)
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
    ).double()
    image = model(task.centres).detach().reshape(9, 12, 3)
    squares = [
        (image[3 * r : 3 * r + 3, 3 * c : 3 * c + 3].mean(dim=(0, 1)) - y[4 * r + c]).square()
        for r, c in product(range(3), range(4))
    ]
    assert task.loss(model, x, y).item() == pytest.approx(torch.stack(squares).mean().item())
    part = task.loss(model, x[5:7], y[5:7]).item()
    assert part == pytest.approx(torch.stack(squares[5:7]).mean().item())
    assert ImageTask.loss == ImageTask(image=photo).loss == "mse"


def test_blocks_get_noise_of_their_own(photo):
    clean, noisy = (ImageTask(image=photo, split="blocks", noise=s) for s in (0.0, 0.2))
    drawn = noisy.epoch(GENERATOR)[1] - clean.epoch(GENERATOR)[1]
    assert drawn.std().item() == pytest.approx(0.2, rel=0.2)
    np.testing.assert_array_equal(noisy.truth, clean.truth)


def cubic(t):
    """Keys 1981, a = -3/4."""
    t = abs(t)
    if t <= 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def test_enlarged_images_are_those_of_the_kernels_written_out():
    small = np.random.default_rng(1).uniform(0.3, 0.6, (4, 5, 2)).astype(np.float32)
    made = enlarged(small, 3)
    kernels = {"bilinear": lambda t: max(0, 1 - abs(t)), "bicubic": cubic}
    for name, kernel in kernels.items():
        image = small.astype(np.float64)
        for axis, side in enumerate(small.shape[:2]):
            weights = np.zeros((3 * side, side))
            for i, j in product(range(3 * side), range(-3, side + 3)):
                weights[i, np.clip(j, 0, side - 1)] += kernel((i + 0.5) / 3 - 0.5 - j)
            image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
        np.testing.assert_allclose(made[f"{name} interpolation"], image, atol=1e-7)


def test_of_blocks_enlarged_images_stand_beside_the_networks(photo):
    task = ImageTask(image=photo, split="blocks", stride=2)
    outcome = task.evaluate(lambda x: torch.full((len(x), 3), 0.5))
    assert list(outcome.baselines) == ["bilinear interpolation", "bicubic interpolation"]
    assert all(list(compared) == ["image"] for compared in outcome.baselines.values())
    training = outcome.pictures["training"]
    np.testing.assert_array_equal(training[::2, ::2], training[1::2, 1::2])


def test_denoisers_choose_well_without_being_told_the_noise():
    truth = ImageTask(image="coffee", side=40).truth
    noisy = truth + 0.1 * np.random.default_rng(0).standard_normal(truth.shape).astype(np.float32)
    made = denoised(noisy)
    choices = np.geomspace(0.3, 5, 12)
    tried = [np.clip(gaussian_filter(noisy, (s, s, 0), mode="nearest"), 0, 1) for s in choices]
    chosen = [abs(image - made["Gaussian filter"]).max() for image in tried]
    assert min(chosen) < 1e-6
    best = max(psnr(image, truth) for image in tried)
    assert psnr(made["Gaussian filter"], truth) > best - 1
    assert psnr(made["total variation"], truth) > psnr(np.clip(noisy, 0, 1), truth) + 2


def test_inpainted_pixels_solve_the_biharmonic_equation():
    row, column = np.indices((16, 18))
    image = (0.5 + 0.2 * np.sin(row / 4) * np.cos(column / 5))[..., None].astype(np.float32)
    trained = ~missing_pixels("block", (16, 18), 0)
    made = inpainted(np.where(trained[..., None], image, 9), trained)["biharmonic inpainting"]
    np.testing.assert_array_equal(made[trained], image[trained])
    residual = laplace(laplace(made[..., 0].astype(np.float64)))
    assert abs(residual[~trained]).max() < 1e-5
    assert abs(made - image).max() < 0.02


@pytest.mark.parametrize("shape", [(9, 11), (13, 17), (60, 40)])
def test_built_in_masks_leave_some_pixels_and_hide_some(shape):
    scratches, again, other = (missing_pixels("scratches", shape, seed) for seed in (0, 0, 1))
    block = missing_pixels("block", shape, 0)
    for mask in (scratches, block):
        assert mask.shape == shape
        assert 0 < mask.sum() < mask.size
    np.testing.assert_array_equal(scratches, again)
    assert block.sum() == shape[0] // 2 * (shape[1] // 2)
    if shape == (60, 40):
        assert 0.1 < scratches.mean() < 0.4
        assert (scratches != other).any()


def saved(folder, pixels):
    path = folder / "mask.png"
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


def test_what_a_mask_leaves_is_trained_on(photo, tmp_path):
    missing = np.random.default_rng(2).random((11, 14)) < 0.3
    mask = saved(tmp_path, 255 * missing)
    task = ImageTask(image=photo, split="mask", mask=mask)
    np.testing.assert_array_equal(task.trained, ~missing)
    assert task.points_per_epoch == (~missing).sum()
    outcome = task.evaluate(lambda x: torch.full((len(x), 3), 0.5))
    assert list(outcome.baselines)[-1] == "biharmonic inpainting"
    assert task.curve == "psnr_held_out"
    assert (outcome.pictures["training"][missing] == 128).all()
    hashes = {ImageTask.data_hash(image=photo, mask=one) for one in (None, "block", mask)}
    saved(tmp_path, 255 * ~missing)
    assert len(hashes | {ImageTask.data_hash(image=photo, mask=mask)}) == 4


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((11, 14)), "of 14 × 11 pixels none is missing"),
        (np.full((11, 14), 255), "of 14 × 11 pixels all are missing"),
        (np.eye(14) * 255, "a mask of 14 × 14 pixels, the image has 14 × 11"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(photo, tmp_path, pixels, message):
    with pytest.raises(DataError, match=message):
        ImageTask(image=photo, split="mask", mask=saved(tmp_path, pixels))


def test_a_misspelt_mask_gets_the_nearest_one():
    with pytest.raises(
        DataError, match=r"no mask 'scratch'; did you mean 'scratches'\?.* white where"
    ):
        ImageTask.targets(split="mask", mask="scratch")


def test_blocks_larger_than_the_image_are_refused(photo):
    with pytest.raises(DataError, match=r"0 × 0 pixels where .* or a smaller stride"):
        ImageTask(image=photo, split="blocks", stride=20)
