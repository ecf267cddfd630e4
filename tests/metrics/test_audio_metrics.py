"""SNR and log-spectral distance, held against loops and SciPy's short-time Fourier transform."""

import math

import numpy as np
import pytest
from scipy import signal

from encbench import PluginError
from encbench.metrics.log_spectral_distance import LogSpectralDistance, log_spectrogram
from encbench.metrics.snr import Snr, SnrHeldOut

RNG = np.random.default_rng(0)
TRUTH = 0.3 * RNG.standard_normal(3000)
PREDICTION = TRUTH + 0.05 * RNG.standard_normal(3000)


def test_snr_is_the_energy_of_the_truth_over_that_of_the_error():
    energy = noise = 0.0
    for got, expected in zip(PREDICTION, TRUTH, strict=True):
        energy += expected * expected
        noise += (got - expected) * (got - expected)
    expected = 10 * math.log10(energy / noise)
    assert Snr()(PREDICTION, TRUTH).value == pytest.approx(expected, rel=1e-12)
    assert SnrHeldOut()(PREDICTION[:9], TRUTH[:9]).unit == "dB"


def test_snr_depends_on_the_scale():
    assert Snr()(0.5 * TRUTH, TRUTH).value == pytest.approx(20 * math.log10(2))
    assert Snr()(0 * TRUTH, TRUTH).value == 0
    assert Snr()(TRUTH, TRUTH).value == math.inf
    for scale in (1e-200, 1e300):
        assert Snr()(0.5 * TRUTH * scale, TRUTH * scale).value == pytest.approx(20 * math.log10(2))
    assert Snr()([1e200], [1.0]).value < -3000


def test_log_spectral_distance_is_that_of_scipys_transform():
    def decibels(samples):
        _, _, spectrum = signal.stft(
            samples, nperseg=1024, noverlap=768, boundary=None, padded=False
        )
        # SciPy's peak of a sine of amplitude 1 is 1/2
        return 10 * np.log10(np.maximum(np.abs(2 * spectrum) ** 2, 1e-8))

    apart = decibels(PREDICTION) - decibels(TRUTH)
    expected = np.mean([math.sqrt(np.mean(frame**2)) for frame in apart.T])
    value = LogSpectralDistance()(PREDICTION[:, None], TRUTH[:, None])
    assert value.value == pytest.approx(expected, rel=1e-12)
    assert value.details == {"frames": apart.shape[1]}


def test_a_spectrogram_is_the_sum_that_defines_it():
    samples, window, hop = RNG.standard_normal(40), 8, 3
    found = log_spectrogram(samples, window, hop)
    assert found.shape == (5, 11)
    for row, column in [(0, 0), (1, 4), (3, 10)]:
        total = weight = 0
        for n in range(window):
            hann = math.sin(math.pi * n / window) ** 2
            weight += hann
            turn = np.exp(-2j * math.pi * row * n / window)
            total += hann * samples[column * hop + n] * turn
        expected = 20 * math.log10(abs(2 * total / weight))
        assert found[row, column] == pytest.approx(expected, rel=1e-12)


def test_a_sine_of_amplitude_1_has_0_dB_and_silence_80_dB_less():
    sine = np.sin(2 * np.pi * 64 / 1024 * np.arange(1024))
    assert log_spectrogram(sine)[64, 0] == pytest.approx(0, abs=1e-9)
    assert (log_spectrogram(0 * sine) == -80).all()


def test_twice_the_amplitude_is_6_dB_apart():
    value = LogSpectralDistance()(2 * TRUTH, TRUTH).value
    assert value == pytest.approx(20 * math.log10(2), rel=1e-9)
    assert LogSpectralDistance()(TRUTH, TRUTH).value == 0


@pytest.mark.parametrize("metric", [Snr(), LogSpectralDistance()])
def test_what_has_no_value_says_why(metric):
    broken = TRUTH.copy()
    broken[5] = np.nan
    assert "not finite" in metric(broken, TRUTH).details["reason"]
    with pytest.raises(PluginError, match="equal shape"):
        metric(TRUTH[:-1], TRUTH)
    silent, short = Snr()(TRUTH, 0 * TRUTH), LogSpectralDistance()(TRUTH[:9], TRUTH[:9])
    assert silent.details == {"reason": "the truth is silent"}
    assert short.details == {"reason": "9 samples are fewer than the 1024 of a frame"}
