"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, compared


def psnr(prediction: ArrayLike, truth: ArrayLike) -> float:
    """PSNR [dB] of two arrays of equal shape, data range 1: −10 · log10(MSE).

    The mean is over all values (pixels and channels), in float64. ``inf`` for equal arrays,
    ``nan`` if a value is not finite.

    Raises:
        PluginError: the shapes differ, or there are no values.
    """
    pair = compared("PSNR", prediction, truth)
    if pair is None:
        return math.nan
    got, expected = pair
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
            return None, {"reason": NOT_FINITE}
        return value, {}
