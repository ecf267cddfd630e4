"""SSIM, compared with scikit-image and with the formula at single positions."""

import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from encbench import PluginError
from encbench.metrics.ssim import Ssim, ssim


def pair(height, width, channels, sigma):
    truth = astronaut()[:height, 100 : 100 + width, :channels].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, sigma, truth.shape)
    return np.clip(truth + noise, 0, 1).astype(np.float32), truth


@pytest.mark.parametrize(
    ("height", "width", "channels", "sigma"),
    [(11, 11, 1, 0.1), (11, 40, 3, 0.3), (33, 24, 3, 0.02), (170, 165, 3, 0.1)],
)
def test_it_is_scikit_images_with_the_papers_window(height, width, channels, sigma):
    made, truth = pair(height, width, channels, sigma)
    expected = structural_similarity(
        made.astype(np.float64),
        truth.astype(np.float64),
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(made, truth) == pytest.approx(expected, abs=1e-12)


def test_a_negative_image_is_less_than_not_similar():
    noise = np.random.default_rng(3).random((14, 11, 1))
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 1.5**2))[..., None]
    window /= window.sum()
    places = []
    for top in range(4):
        x, y = noise[top : top + 11], 1 - noise[top : top + 11]
        mx, my = (window * x).sum(), (window * y).sum()
        covariance = (window * (x - mx) * (y - my)).sum()
        variances = (window * ((x - mx) ** 2 + (y - my) ** 2)).sum()
        luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        places.append(luminance * (2 * covariance + 9e-4) / (variances + 9e-4))
    assert ssim(1 - noise, noise) == pytest.approx(np.mean(places), abs=1e-12)
    assert np.mean(places) < -0.9


def test_equal_images_give_one_and_what_cannot_be_compared_has_a_reason():
    made, truth = pair(20, 20, 3, 0.1)
    metric = Ssim()
    assert metric(truth, truth).value == pytest.approx(1, abs=1e-12)
    assert metric(truth, truth).value <= 1
    assert "window needs 11" in metric(made[:10], truth[:10]).details["reason"]
    assert "not finite" in metric(made * np.nan, truth).details["reason"]
    with pytest.raises(PluginError, match=r"^SSIM needs two \(H, W, C\) images"):
        metric(made[..., 0], truth[..., 0])
