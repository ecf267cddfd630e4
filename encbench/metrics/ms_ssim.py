"""Multi-scale structural similarity, for images of at least 11 × 11 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_msssim
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from encbench.contracts.metric import Metric
from encbench.errors import PluginError, plural
from encbench.metrics.pair import NOT_FINITE, beyond_unit_range, compared

WINDOW = 11
SIGMA = 1.5
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first (section 3.2); they sum to 1.0001, as published."""
C1, C2 = 0.01**2, 0.03**2


def scales_for(side: int, window: int = WINDOW) -> int:
    """Number of scales M for a smaller side [pixels]: min(5, 1 + ⌊log2((side − 1)/(window − 1))⌋).

    The coarsest of M scales is at least as large as the window; 0 if the image itself is smaller.
    """
    # 1 + floor(log2 q) is the bit length of floor(q): no rounding at powers of two
    return min(len(WEIGHTS), ((side - 1) // (window - 1)).bit_length())


def ms_ssim(prediction: ArrayLike, truth: ArrayLike) -> tuple[float, int]:
    """MS-SSIM in [0, 1] of two images (H, W, C) in [0, 1], and the number of scales M used.

    MS-SSIM = l_M^w_M · Π_j cs_j^w_j per channel, averaged over the channels (Wang, Simoncelli,
    Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003,
    Eq. 7): Gaussian window of 11 pixels and σ = 1.5, K = (0.01, 0.03), scales halved by 2 × 2
    means. Terms whose mean is negative count as 0. If the smaller side has at least 161 pixels,
    this is ``pytorch_msssim.ms_ssim``; otherwise the same algorithm with fewer scales and the
    first M weights divided by their sum. Both in float64. Odd sides are padded with zeros before
    they are halved, as in that library.

    Raises:
        PluginError: the shapes differ or are not (H, W, C), or a side is below 11 pixels.
    """
    x, y = as_batches("MS-SSIM", prediction, truth)
    scales = scales_for(min(x.shape[2:]))
    with torch.no_grad():
        if scales == len(WEIGHTS):
            value = pytorch_msssim.ms_ssim(x, y, data_range=1.0, win=window_of(x))
        else:
            value = _ms_ssim(x, y, scales)
    # rounding can give a few ulp more than 1 for equal images
    return min(1.0, float(value)), scales


def as_batches(title: str, prediction: ArrayLike, truth: ArrayLike) -> tuple[Tensor, Tensor]:
    """Two images (H, W, C) as float64 tensors (1, C, H, W).

    Raises:
        PluginError: the shapes differ or are not (H, W, C), or a side is below 11 pixels; the
            message begins with ``title``, the metric's.
    """
    got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if got.shape != expected.shape or got.ndim != 3 or min(got.shape[:2]) < WINDOW:
        raise PluginError(
            f"{title} needs two (H, W, C) images of equal shape and at least {WINDOW} × {WINDOW} "
            f"pixels, got shapes {got.shape} and {expected.shape}"
        )
    x, y = (torch.from_numpy(a).permute(2, 0, 1)[None].contiguous() for a in (got, expected))
    return x, y


def window_of(image: Tensor) -> Tensor:
    """The Gaussian window (C, 1, 1, 11) for an image (1, C, H, W), as ``pytorch_msssim`` takes it.

    The library's own window is rounded to float32, which changes results by about 1e-5.
    """
    return _gauss(image.dtype).view(1, 1, 1, -1).repeat(image.shape[1], 1, 1, 1)


def _ms_ssim(x: Tensor, y: Tensor, scales: int) -> Tensor:  # two (1, C, H, W) -> ()
    weights = torch.tensor(WEIGHTS[:scales], dtype=x.dtype)
    weights /= weights.sum()
    product = torch.ones(x.shape[1], dtype=x.dtype)
    for scale in range(scales):
        last = scale == scales - 1
        luminance, contrast = _terms(x, y)
        term = (luminance * contrast if last else contrast).mean(dim=(0, 2, 3))
        product *= term.clamp(min=0) ** weights[scale]
        if not last:
            # zero padding of odd sides as in pytorch_msssim, so that only M differs
            padding = [side % 2 for side in x.shape[2:]]
            x, y = (functional.avg_pool2d(image, 2, padding=padding) for image in (x, y))
    return product.mean()


def _terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps at the valid positions of the window."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance = _blur(x * x) - mean_x**2 + _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * covariance + C2) / (variance + C2)


def _blur(image: Tensor) -> Tensor:  # (1, C, H, W) -> (1, C, H - 10, W - 10)
    gauss = _gauss(image.dtype)
    channels = image.shape[1]
    down = gauss.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    across = gauss.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return functional.conv2d(
        functional.conv2d(image, down, groups=channels), across, groups=channels
    )


def _gauss(dtype: torch.dtype) -> Tensor:  # (11,), sum 1
    offsets = torch.arange(WINDOW, dtype=dtype) - WINDOW // 2
    gauss = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return gauss / gauss.sum()


class MsSsim(Metric):
    """Multi-scale structural similarity in [0, 1] of images in [0, 1], 1 for equal images.

    The number of scales M depends on the smaller side: 5 from 161 pixels, 4 from 81, 3 from 41,
    2 from 21, 1 (plain SSIM) from 11. Values with different M are not comparable, so ``details``
    has ``scales``. Undefined below 11 pixels, the size of the window.
    """

    kind = "image"
    unit = ""
    range = (0.0, 1.0)
    direction = "higher"
    title = "MS-SSIM"
    bibtex = """\
@inproceedings{wang2003multiscale,
  title = {Multiscale Structural Similarity for Image Quality Assessment},
  author = {Wang, Zhou and Simoncelli, Eero P. and Bovik, Alan C.},
  booktitle = {The Thirty-Seventh Asilomar Conference on Signals, Systems \\& Computers},
  volume = {2},
  pages = {1398--1402},
  year = {2003}
}"""

    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        got, expected = np.asarray(prediction), np.asarray(truth)
        smaller = min(expected.shape[:2], default=0)
        if got.shape == expected.shape and smaller < WINDOW:
            side = plural(smaller, "pixel")
            return None, {"reason": f"the smaller side has {side}, the window needs {WINDOW}"}
        if got.shape == expected.shape and compared(self.title, got, expected) is None:
            return None, {"reason": NOT_FINITE}
        if expected.size and (reason := beyond_unit_range(expected)):
            return None, {"reason": reason}
        return self.measured(got, expected)

    def measured(self, prediction: Any, truth: Any) -> tuple[float, dict[str, Any]]:
        """As ``compute``, for images that are large enough and finite."""
        value, scales = ms_ssim(prediction, truth)
        return value, {"scales": scales}


class DepthMsSsim(MsSsim):
    """Multi-scale structural similarity in [0, 1] of rendered depth, averaged over the views.

    The number of scales depends on the side of the images, as for ``ms_ssim``.
    """

    kind = "depth"
    title = "depth MS-SSIM"
