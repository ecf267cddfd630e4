"""PSNR of depth images."""

from __future__ import annotations

from encbench.metrics.psnr import Psnr


class DepthPsnr(Psnr):
    """PSNR [dB] of rendered depth in [0, 1]: −10 · log10 of the mean squared error.

    One mean over the pixels of all views, which are the channels. The background has depth 1, the
    largest value, so a missing part has the largest error.
    """

    kind = "depth"
    title = "depth PSNR"
