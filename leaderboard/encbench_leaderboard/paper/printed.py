"""Numbers and settings that the paper prints, each with its place there.

Audia, Feizi, Zwicker, Manocha, "How Learnable Grids Recover Fine Detail in Low Dimensions: A Neural
Tangent Kernel Analysis of Multigrid Parametric Encodings", ICLR 2025. Encodings have the labels of
the packaged suites paper/table2, paper/table3 and paper/table4-….
"""

from __future__ import annotations

BASELINE, FFE_4, FFE_8, FFE_16 = "baseline", "FFE L=4", "FFE L=8", "FFE L=16"
MPE_100, MPE_200 = "MPE k=2 L=1 100²", "MPE k=2 L=1 200²"
FFE_TUNED, MPE_TUNED = "FFE L=6", "MPE k=3 L=2"

METRICS = ("psnr", "ms_ssim")
"""Metrics of the pairs of numbers below: PSNR [dB] and MS-SSIM."""
TABLE_3 = {
    BASELINE: (20.0, 0.08),
    FFE_4: (25.0, 0.20),
    FFE_8: (35.0, 0.23),
    FFE_16: (36.5, 0.40),
    MPE_100: (34.5, 0.37),
    MPE_200: (41.5, 0.73),
}
"""300 epochs of one image, batch 32, learning rate 100. Table 1 has the same runs."""
TABLE_2 = {BASELINE: (29.94, 0.32), FFE_TUNED: (33.47, 0.39), MPE_TUNED: (45.28, 0.79)}
"""100 epochs with tuned settings, mean over images of 100 synsets of ImageNet."""
TRIALS = 30
"""Trials of Optuna for each encoding of Table 2."""
SYNSETS = 100
EPOCHS_3, EPOCHS_4 = 300, 4000
"""Epochs of Tables 3 and 4."""
GAINS = {BASELINE: (15.0, 0.65), "FFE": (12.0, 0.33)}
"""Abstract: gain of MPE over the others, with PSNR [dB] from Table 2 and MS-SSIM from Table 3."""
ORDERS = {BASELINE: 8.0, "FFE": 2.0}
"""Abstract: gain of MPE over the others in the smallest eigenvalue [orders of magnitude]."""
SOLIDS = ("armadillo", "buddha", "dragon")
"""Table 4 has settings of three Stanford scans and no numbers of quality."""

MS_SSIM_WHY = (
    "a correct MS-SSIM (Wang et al. 2003) is above .99 at 40 dB, and was .631, .898, .995, .998, "
    ".997 and .999 for the six encodings of Table 3 on another photograph"
)

TABLES = ("table1", "table2", "table3", "table4")
FIGURES = tuple(f"figure{number}" for number in range(2, 15))
