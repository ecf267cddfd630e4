"""Log-spectral distance of waveforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encbench.contracts.metric import Metric
from encbench.errors import PluginError
from encbench.metrics.pair import check_real

WINDOW, HOP = 1024, 256
"""Frame length and distance between frames [samples]."""
FLOOR = -80.0
"""Minimum power [dB], relative to a sine of amplitude 1; lower powers are raised to it."""


def log_spectrogram(
    samples: ArrayLike, window: int = WINDOW, hop: int = HOP
) -> NDArray[np.float64]:
    """Power [dB] of samples (N,) by frequency and time: (window // 2 + 1, frames), at least −80.

    Frames of ``window`` samples with a periodic Hann window start every ``hop`` samples and lie
    within the signal. 0 dB is the peak of a sine of amplitude 1.
    """
    taper = np.hanning(window + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float64), window)
    spectrum = np.fft.rfft(frames[::hop] * (taper * 2 / taper.sum()), axis=1).T
    power = np.maximum(np.abs(spectrum) ** 2, 10 ** (FLOOR / 10))
    return np.asarray(10 * np.log10(power))


class LogSpectralDistance(Metric):
    """Log-spectral distance [dB] of two waveforms: the distance of their spectrograms.

    The mean over frames of √(mean over frequencies of (L − L̂)²), with L and L̂ the power in dB.
    Frames are 1024 samples with a Hann window, one every 256 samples, without padding, at any
    sample rate; powers more than 80 dB below that of a sine of amplitude 1 count as −80 dB. It
    ignores phase and weights quiet frequencies like loud ones.

    The order of root and means is that of audio super-resolution, as in ssr_eval's ``lsd``
    (github.com/haoheliu/ssr_eval, commit 907395c, ssr_eval/metrics.py), which omits the factor 10
    of decibels, uses 2048 samples per frame at 44.1 kHz and has no floor.
    """

    kind = "audio"
    unit = "dB"
    range = (0.0, math.inf)
    direction = "lower"
    title = "log-spectral distance"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        check_real(self.title, prediction, truth)
        got, expected = (np.asarray(part, np.float64) for part in (prediction, truth))
        if got.shape != expected.shape or got.ndim not in (1, 2) or got[:1].size != 1:
            raise PluginError(
                "log-spectral distance needs two waveforms of equal shape, (N,) or (N, 1), got "
                f"{got.shape} and {expected.shape}; correct the task's evaluate()"
            )
        if not (np.isfinite(got).all() and np.isfinite(expected).all()):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        if len(got) < WINDOW:
            return None, {"reason": f"{len(got)} samples are fewer than the {WINDOW} of a frame"}
        apart = log_spectrogram(got.reshape(-1)) - log_spectrogram(expected.reshape(-1))
        return float(np.sqrt(np.mean(apart**2, axis=0)).mean()), {"frames": apart.shape[1]}
