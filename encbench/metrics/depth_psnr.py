"""PSNR of depth images."""

from __future__ import annotations

from encbench.metrics.psnr import Psnr

__all__ = ["DepthPsnr"]


class DepthPsnr(Psnr):
    """PSNR [dB] of rendered depth in [0, 1]: −10 · log10 of the mean squared error.

    One mean over the pixels of all views, which are the channels; depth 1 is the far end and
    the background, so a part that is missing costs most.
    """

    kind = "depth"
    title = "depth PSNR"
