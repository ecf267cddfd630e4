"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from encbench.contracts.metric import Metric
from encbench.metrics.pair import NOT_FINITE, beyond_unit_range, compared


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
    return math.inf if mse == 0 else 0.0 - 10 * math.log10(mse)  # 0 dB without a sign


class Psnr(Metric):
    """Peak signal-to-noise ratio [dB] of images in [0, 1]: −10 · log10(mean squared error).

    One mean over all pixels and channels (not a mean of the channels' PSNRs), data range 1.
    Infinite for a perfect prediction.
    """

    kind = "image"
    unit = "dB"
    range = (-math.inf, math.inf)
    direction = "higher"
    title = "PSNR"

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        value = psnr(prediction, truth)
        if math.isnan(value):
            return None, {"reason": NOT_FINITE}
        if reason := beyond_unit_range(truth):
            return None, {"reason": reason}
        return value, {}


class PsnrHeldOut(Psnr):
    """Peak signal-to-noise ratio [dB] at the pixels that a split holds out.

    Like PSNR: one mean over those pixels and all channels, data range 1, against the true image
    without noise.
    """

    kind = "held_out_pixels"
    title = "PSNR held out"


class DepthPsnr(Psnr):
    """PSNR [dB] of rendered depth in [0, 1]: −10 · log10 of the mean squared error.

    One mean over the pixels of all views, which are the channels. The background has depth 1, the
    largest value, so a missing part has the largest error.
    """

    kind = "depth"
    title = "depth PSNR"
