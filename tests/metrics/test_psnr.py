"""PSNR, held against scikit-image's."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from encbench import MetricValue, PluginError
from encbench.metrics.bce import Bce
from encbench.metrics.iou import Iou
from encbench.metrics.log_spectral_distance import LogSpectralDistance
from encbench.metrics.lpips import Lpips
from encbench.metrics.ms_ssim import MsSsim
from encbench.metrics.psnr import Psnr, psnr
from encbench.metrics.ssim import Ssim


@pytest.mark.parametrize("shape", [(7, 5, 1), (16, 16, 3), (9, 4, 4)])
def test_psnr_agrees_with_scikit_image(shape):
    rng = np.random.default_rng(0)
    truth, prediction = rng.random(shape, np.float32), rng.random(shape, np.float32)
    expected = peak_signal_noise_ratio(
        truth.astype(np.float64), prediction.astype(np.float64), data_range=1.0
    )
    assert psnr(prediction, truth) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)  # slow machines must not fail
@given(error=st.floats(1e-4, 1.0))
def test_a_uniform_error_e_gives_minus_20_log10_e(error):
    truth = np.zeros((4, 4, 3))
    assert psnr(truth + error, truth) == pytest.approx(-20 * math.log10(error), abs=1e-9)


def test_the_mean_runs_over_channels_before_the_logarithm():
    truth = np.zeros((2, 2, 2))
    prediction = truth.copy()
    prediction[..., 1] = 0.1
    assert psnr(prediction, truth) == pytest.approx(-10 * math.log10(0.01 / 2))


def test_float32_images_lose_nothing_in_the_mean():
    truth = np.zeros((512, 512, 3), np.float32)
    prediction = truth + np.float32(1e-4)
    assert psnr(prediction, truth) == pytest.approx(-20 * math.log10(np.float32(1e-4)), rel=1e-12)


def test_equal_images_are_recorded_as_infinity_and_survive_json():
    image = np.full((3, 3, 3), 0.25, np.float32)
    value = Psnr()(image, image)
    assert value.value == math.inf
    again = MetricValue.model_validate(json.loads(value.model_dump_json()))
    assert again == value


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_has_no_psnr(bad):
    truth = np.zeros((3, 3, 3), np.float32)
    prediction = truth.copy()
    prediction[1, 1, 1] = bad
    value = Psnr()(prediction, truth)
    assert value.value is None
    assert "not finite" in value.details["reason"]


def test_shapes_that_differ_are_refused_even_where_numpy_would_broadcast():
    with pytest.raises(PluginError, match=r"\(4, 4, 1\) and \(4, 4, 3\)"):
        psnr(np.zeros((4, 4, 1)), np.zeros((4, 4, 3)))


def test_psnr_states_unit_and_direction():
    value = Psnr()(np.zeros((2, 2, 1)), np.ones((2, 2, 1)))
    assert (str(value.value), value.unit, value.direction) == ("0.0", "dB", "higher")
    assert Psnr.range == (-math.inf, math.inf)


@pytest.mark.parametrize("metric", [Psnr, MsSsim, Ssim])
def test_complex_values_and_images_without_channels_are_refused(metric):
    with pytest.raises(PluginError, match="needs real values, got complex ones; give their real"):
        metric()(np.full((16, 16, 1), 1j), np.zeros((16, 16, 1)))
    with pytest.raises(PluginError, match=r"at least one value, got shapes \(16, 16, 0\)"):
        metric()(np.zeros((16, 16, 0)), np.zeros((16, 16, 0)))


@pytest.mark.parametrize("metric", [Bce, Iou, LogSpectralDistance, Lpips])
def test_metrics_of_other_kinds_refuse_complex_values_too(metric):
    with pytest.raises(PluginError, match="needs real values, got complex ones; give their real"):
        metric()(np.full((64, 64, 1), 1j), np.zeros((64, 64, 1)))


@pytest.mark.parametrize("metric", [Psnr, MsSsim, Ssim])
def test_a_picture_of_bytes_has_no_value_of_data_range_1(metric):
    truth = np.random.default_rng(0).integers(0, 256, (16, 16, 1)).astype(np.float32)
    measured = metric()(truth - 1, truth)
    assert measured.value is None
    assert "expected [0, 1]; scale it in the task's evaluate()" in measured.details["reason"]
    assert metric()(truth / 255, truth / 255).value in (1.0, math.inf)
    least = metric()(truth, (truth / 255).clip(0.25, 0.5) - 0.5).details["reason"]
    assert least.startswith("the truth is from -0.25 to 0, expected")
