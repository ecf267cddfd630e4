"""Signal-to-noise ratio of a waveform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.errors import PluginError


def snr(prediction: ArrayLike, truth: ArrayLike) -> float:
    """10 · log10(Σ truth² / Σ (prediction − truth)²) [dB] of two arrays of equal shape.

    In float64. ``inf`` for equal arrays, ``-inf`` for a silent truth that is missed, ``nan`` if a
    value is not finite.

    Raises:
        PluginError: the shapes differ, or there are no values.
    """
    got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if got.shape != expected.shape or got.size == 0:
        raise PluginError(
            f"SNR needs arrays of equal shape and at least one value, got shapes {got.shape} and "
            f"{expected.shape}; correct the task's evaluate()"
        )
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.nan
    signal, noise = float(np.sum(expected**2)), float(np.sum((got - expected) ** 2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


class Snr(Metric):
    """Signal-to-noise ratio [dB] of a waveform, the noise being prediction − truth.

    10 · log10(Σ truth² / Σ (prediction − truth)²) over all samples. It depends on the scale: a
    prediction of half the amplitude has 6.02 dB, unlike with SI-SDR; silence has 0 dB. The truth's
    mean is part of the signal. Equal to −20 · log10 of the relative L2 error.
    """

    kind = "audio"
    unit = "dB"
    range = (-math.inf, math.inf)
    title = "SNR"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value = snr(prediction, truth)
        if math.isnan(value):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        if not np.any(truth):
            return None, {"reason": "the truth is silent"}
        return value, {}
