"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.errors import PluginError

__all__ = ["Psnr", "psnr"]


def psnr(prediction: ArrayLike, truth: ArrayLike) -> float:
    """PSNR [dB] of two arrays of one shape, data range 1: −10 · log10(MSE).

    The mean runs over all values, pixels and channels alike, in float64. Equal arrays give
    ``inf``; a prediction that is not finite gives ``nan``.

    Raises:
        PluginError: the shapes differ, or there are no values.
    """
    got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if got.shape != expected.shape or got.size == 0:
        raise PluginError(
            f"PSNR compares arrays of one shape with at least one value, got {got.shape} beside "
            f"{expected.shape}; the task's evaluate() must return prediction and truth alike"
        )
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.nan
    mse = float(np.mean(np.square(got - expected)))
    return math.inf if mse == 0 else -10 * math.log10(mse)


class Psnr(Metric):
    """Peak signal-to-noise ratio [dB] of images in [0, 1]: −10 · log10(mean squared error).

    One mean over all pixels and channels (not a mean of channels' PSNRs), data range 1. A
    perfect prediction has no noise and is recorded as infinity.
    """

    kind = "image"
    unit = "dB"
    range = (0.0, math.inf)
    direction = "higher"
    title = "PSNR"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value = psnr(prediction, truth)
        if math.isnan(value):
            return None, {"reason": "the prediction or the truth has values that are not finite"}
        return value, {}
