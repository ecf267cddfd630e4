"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.errors import PluginError


def psnr(prediction: ArrayLike, truth: ArrayLike) -> float:
    """PSNR [dB] of two arrays of equal shape, data range 1: −10 · log10(MSE).

    The mean is over all values (pixels and channels), in float64. ``inf`` for equal arrays,
    ``nan`` if a value is not finite.

    Raises:
        PluginError: the shapes differ, or there are no values.
    """
    got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if got.shape != expected.shape or got.size == 0:
        raise PluginError(
            f"PSNR needs arrays of equal shape and at least one value, got shapes {got.shape} and "
            f"{expected.shape}; correct the task's evaluate()"
        )
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.nan
    mse = float(np.mean(np.square(got - expected)))
    return math.inf if mse == 0 else -10 * math.log10(mse)


class Psnr(Metric):
    """Peak signal-to-noise ratio [dB] of images in [0, 1]: −10 · log10(mean squared error).

    One mean over all pixels and channels (not a mean of the channels' PSNRs), data range 1.
    Infinite for a perfect prediction.
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
