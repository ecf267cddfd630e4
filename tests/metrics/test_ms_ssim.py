"""MS-SSIM, held against the formula written out in numpy and against pytorch_msssim."""

import math

import numpy as np
import pytest
import pytorch_msssim
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from skimage.data import astronaut

from encbench import PluginError
from encbench.metrics.ms_ssim import MsSsim, ms_ssim, scales_for

EXPONENTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def reference(x, y, scales):
    """Wang, Simoncelli, Bovik 2003, Eq. 7, in float64 with explicit two-dimensional windows."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    exponents = EXPONENTS[:scales]
    if scales < 5:  # the five printed exponents sum to 1.0001 and are used as printed
        exponents = exponents / exponents.sum()
    channels = []
    for a, b in zip(np.moveaxis(x, 2, 0), np.moveaxis(y, 2, 0), strict=True):
        a, b = a.astype(np.float64), b.astype(np.float64)
        product = 1.0
        for scale in range(scales):
            pa, pb = sliding_window_view(a, (11, 11)), sliding_window_view(b, (11, 11))
            ma = np.einsum("ijkl,kl->ij", pa, window)[..., None, None]
            mb = np.einsum("ijkl,kl->ij", pb, window)[..., None, None]
            # central moments: no cancellation, unlike E[x²] - E[x]²
            va = np.einsum("ijkl,kl->ij", (pa - ma) ** 2, window)
            vb = np.einsum("ijkl,kl->ij", (pb - mb) ** 2, window)
            cov = np.einsum("ijkl,kl->ij", (pa - ma) * (pb - mb), window)
            ma, mb = ma[..., 0, 0], mb[..., 0, 0]
            term = (2 * cov + 9e-4) / (va + vb + 9e-4)
            if scale == scales - 1:
                term = term * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
            product *= max(term.mean(), 0.0) ** exponents[scale]
            a, b = halved(a), halved(b)
        channels.append(product)
    return float(np.mean(channels))


def halved(image):
    """2 × 2 means; an odd side gets a leading row of zeros."""
    image = np.pad(image, [(side % 2, 0) for side in image.shape])
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def photograph(height, width, channels=3):
    image = astronaut()[:height, :width].astype(np.float32) / 255
    if channels == 1:
        return image[..., :1]
    if channels == 4:
        return np.concatenate([image, image[..., :1]], axis=2)
    return image


def noisy(image, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("height", "width", "channels", "scales"),
    [
        (11, 11, 1, 1),
        (11, 40, 3, 1),
        (21, 22, 4, 2),
        (33, 64, 3, 2),
        (57, 41, 1, 3),
        (85, 128, 3, 4),
        (160, 163, 3, 4),
        (161, 170, 3, 5),
        (200, 161, 4, 5),
    ],
)
def test_every_size_agrees_with_the_formula(height, width, channels, scales):
    truth = photograph(height, width, channels)
    prediction = noisy(truth, 0.1)
    value, used = ms_ssim(prediction, truth)
    assert used == scales
    assert value == pytest.approx(reference(prediction, truth, scales), abs=1e-11)
    assert 0 < value < 1


@pytest.mark.parametrize(("height", "width"), [(161, 161), (192, 256), (201, 175)])
def test_from_161_pixels_it_is_pytorch_msssim(height, width):
    truth = photograph(height, width)
    prediction = noisy(truth, 0.05)
    tensors = [torch.from_numpy(a).permute(2, 0, 1)[None].double() for a in (prediction, truth)]
    expected = pytorch_msssim.ms_ssim(*tensors, data_range=1.0).item()
    # the library rounds its window to float32
    assert ms_ssim(prediction, truth) == (pytest.approx(expected, abs=3e-5), 5)


@settings(deadline=None)  # slow machines must not fail
@given(side=st.integers(1, 2000))
def test_scales_follow_the_formula_and_leave_a_window_at_the_coarsest(side):
    scales = scales_for(side)
    if side < 11:
        assert scales == 0
    else:
        assert scales == min(5, 1 + math.floor(math.log2((side - 1) / 10)))
        assert math.ceil(side / 2 ** (scales - 1)) >= 11
        assert scales == 5 or math.ceil(side / 2**scales) < 11


@pytest.mark.parametrize("side", [11, 30, 80, 180])
def test_equal_images_give_one(side):
    image = photograph(side, side + 3)
    value = MsSsim()(image, image)
    assert value.value == pytest.approx(1.0, abs=1e-12)
    assert value.value <= 1.0


@pytest.mark.parametrize("side", [16, 50, 170])
def test_more_noise_is_less_similar(side):
    truth = photograph(side, side)
    values = [ms_ssim(noisy(truth, sigma), truth)[0] for sigma in (0.01, 0.03, 0.1, 0.3)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 4


@pytest.mark.parametrize("side", [30, 170])
def test_a_negative_image_has_no_similarity_rather_than_nan(side):
    noise = np.random.default_rng(3).random((side, side, 3), np.float32)
    assert ms_ssim(1 - noise, noise)[0] == 0.0


def test_constant_images_differ_by_luminance_alone():
    dark, bright = np.full((40, 40, 1), 0.2), np.full((40, 40, 1), 0.8)
    luminance = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    assert scales_for(40) == 2
    assert ms_ssim(dark, bright)[0] == pytest.approx(luminance ** (0.2856 / (0.0448 + 0.2856)))


@pytest.mark.parametrize("shape", [(10, 300, 3), (300, 10, 3), (1, 1, 1)])
def test_below_the_window_there_is_no_value_but_a_reason(shape):
    value = MsSsim()(np.zeros(shape), np.zeros(shape))
    assert value.value is None
    assert "window needs 11" in value.details["reason"]


def test_a_prediction_that_is_not_finite_has_no_value():
    truth = photograph(20, 20)
    prediction = truth.copy()
    prediction[3, 3, 0] = np.nan
    value = MsSsim()(prediction, truth)
    assert value.value is None
    assert "not finite" in value.details["reason"]


@pytest.mark.parametrize(
    ("first", "second"), [((20, 20, 3), (20, 20, 1)), ((20, 20), (20, 20)), ((5, 5, 1), (9, 9, 1))]
)
def test_images_that_do_not_match_are_refused(first, second):
    with pytest.raises(PluginError, match=r"MS-SSIM needs two \(H, W, C\) images"):
        MsSsim()(np.zeros(first), np.zeros(second))


def test_the_number_of_scales_is_recorded():
    image = photograph(100, 90)
    assert MsSsim()(noisy(image, 0.1), image).details == {"scales": 4}
