"""MS-SSIM of depth images."""

from __future__ import annotations

from encbench.metrics.ms_ssim import MsSsim


class DepthMsSsim(MsSsim):
    """Multi-scale structural similarity in [0, 1] of rendered depth, averaged over the views.

    The number of scales depends on the side of the images, as for ``ms_ssim``.
    """

    kind = "depth"
    title = "depth MS-SSIM"
