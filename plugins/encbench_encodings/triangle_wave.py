"""Triangle waves at octaves, as tiny-cuda-nn's TriangleWave."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench_encodings._constants import ConstantsKept


class TriangleWave(ConstantsKept):
    """Triangle waves at octaves, each shifted by a quarter of a period; d_e = dL.

    A cheap stand-in for sines, without cosines. As in tiny-cuda-nn: level l has the period
    2^(1−l), the lowest spans twice the domain, and is shifted by l/4 of a period; a wave runs from
    1 at the beginning of its period to −1 at the middle. Order: coordinate, then level.

    Frequencies of ``ffe:convention=nerf``, not of the paper's; no parameters to learn. Piecewise
    linear in x.

    Outside [0, 1] the formula holds as it stands.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of octaves; tiny-cuda-nn's default too.
    """

    equation = "γ(x) = [4 |frac(2^(l−1) x + l/4) − 1/2| − 1] for l < L"
    source = (
        'Müller, Rousselle, Novák, Keller, "Real-time Neural Radiance Caching for Path Tracing", '
        "SIGGRAPH 2021; as in NVlabs/tiny-cuda-nn"
    )
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Annotated[
            int, Field(ge=1, le=64, description="L, number of octaves"), Search(4, 12)
        ] = 12,
    ) -> None:
        super().__init__(in_dim, out_dim=in_dim * levels)
        self.levels = levels
        octaves = torch.tensor([2.0 ** (level - 1) for level in range(levels)])
        phases = torch.tensor([level % 4 / 4 for level in range(levels)])
        self._octaves = nn.Buffer(octaves, persistent=False)
        self._phases = nn.Buffer(phases, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d * L)
        turns = x.unsqueeze(2) * self._octaves.to(x.dtype)  # (N, d, L), exact
        # Whole periods off before the phase comes in, which would round them.
        turns = turns - turns.detach().floor() + self._phases.to(x.dtype)
        fraction = turns - turns.detach().floor()
        return (4 * (fraction - 0.5).abs() - 1).flatten(1)
