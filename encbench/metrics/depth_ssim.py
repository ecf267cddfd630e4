"""SSIM of depth images."""

from __future__ import annotations

from encbench.metrics.ssim import Ssim


class DepthSsim(Ssim):
    """Structural similarity in [−1, 1] of rendered depth, averaged over the views."""

    kind = "depth"
    title = "depth SSIM"
