"""Signal-to-noise ratio of a waveform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, compared


def snr(prediction: ArrayLike, truth: ArrayLike) -> float:
    """10 · log10(Σ truth² / Σ (prediction − truth)²) [dB] of two arrays of equal shape.

    In float64. ``inf`` for equal arrays, ``-inf`` if the truth is silent and the prediction is not,
    ``nan`` if a value is not finite.

    Raises:
        PluginError: the shapes differ, or there are no values.
    """
    pair = compared("SNR", prediction, truth)
    if pair is None:
        return math.nan
    # scaled by a power of two, so that squares neither overflow nor vanish
    _, exponent = np.frexp(max(np.abs(part).max() for part in pair))
    got, expected = (np.ldexp(part, -exponent) for part in pair)
    signal, noise = float(np.sum(expected**2)), float(np.sum((got - expected) ** 2))
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio else -math.inf


class Snr(Metric):
    """Signal-to-noise ratio [dB] of a waveform, the noise being prediction − truth.

    10 · log10(Σ truth² / Σ (prediction − truth)²) over all samples. Unlike SI-SDR it depends on the
    scale: a prediction with half the amplitude has 6.02 dB, silence has 0 dB. The signal includes
    the truth's mean. Equal to −20 · log10 of the relative L2 error.
    """

    kind = "audio"
    unit = "dB"
    range = (-math.inf, math.inf)
    title = "SNR"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value = snr(prediction, truth)
        if math.isnan(value):
            return None, {"reason": NOT_FINITE}
        if not np.any(truth):
            return None, {"reason": "the truth is silent"}
        return value, {}


class SnrHeldOut(Snr):
    """Signal-to-noise ratio [dB] at the samples that a split holds out.

    Like SNR, with both sums over those samples only, against the true waveform without noise.
    """

    kind = "held_out_audio"
    title = "SNR held out"
