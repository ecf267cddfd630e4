"""Structural similarity, for images of at least 11 × 11 pixels."""

from __future__ import annotations

from typing import Any

import pytorch_msssim
import torch
from numpy.typing import ArrayLike

from encbench.metrics.ms_ssim import MsSsim, as_batches, window_of


def ssim(prediction: ArrayLike, truth: ArrayLike) -> float:
    """SSIM in [−1, 1] of two images (H, W, C) in [0, 1].

    (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) with C1 = 0.01², C2 = 0.03², at
    each of the (H − 10)(W − 10) places where a Gaussian window of 11 pixels and σ = 1.5 fits into
    the image; the mean over places, then over channels (Wang, Bovik, Sheikh, Simoncelli, "Image
    quality assessment: from error visibility to structural similarity", 2004). Variances are
    weighted by the window, without the correction n/(n − 1) of sample variances. In float64.

    Raises:
        PluginError: the shapes differ or are not (H, W, C), or a side is below 11 pixels.
    """
    x, y = as_batches("SSIM", prediction, truth)
    with torch.no_grad():
        value = pytorch_msssim.ssim(x, y, data_range=1.0, win=window_of(x))
    # rounding can give a few ulp more than 1 for equal images
    return min(1.0, float(value))


class Ssim(MsSsim):
    """Structural similarity in [−1, 1] of images in [0, 1], 1 for equal images.

    Computed at the image's own resolution only, so for images of different sizes it measures
    structures of different relative size. Undefined below 11 pixels, the size of the window.
    """

    range = (-1.0, 1.0)
    title = "SSIM"
    bibtex = """\
@article{wang2004image,
  title = {Image Quality Assessment: From Error Visibility to Structural Similarity},
  author = {Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.},
  journal = {IEEE Transactions on Image Processing},
  volume = {13},
  number = {4},
  pages = {600--612},
  year = {2004}
}"""

    def measured(self, prediction: Any, truth: Any) -> tuple[float, dict[str, Any]]:
        return ssim(prediction, truth), {}


class DepthSsim(Ssim):
    """Structural similarity in [−1, 1] of rendered depth, averaged over the views."""

    kind = "depth"
    title = "depth SSIM"
