"""Signal-to-noise ratio at samples that were not trained on."""

from __future__ import annotations

from encbench.metrics.snr import Snr


class SnrHeldOut(Snr):
    """Signal-to-noise ratio [dB] at the samples that a split holds out.

    As SNR, both sums over those samples alone, against the true waveform without noise.
    """

    kind = "held_out_audio"
    title = "SNR held out"
