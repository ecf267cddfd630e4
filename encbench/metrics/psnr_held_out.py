"""Peak signal-to-noise ratio at pixels that were not trained on."""

from __future__ import annotations

from encbench.metrics.psnr import Psnr


class PsnrHeldOut(Psnr):
    """Peak signal-to-noise ratio [dB] at the pixels that a split holds out.

    As PSNR: one mean over those pixels and all channels, data range 1, against the true image
    without noise.
    """

    kind = "held_out_pixels"
    title = "PSNR held out"
