"""Triangle waves at octaves, like tiny-cuda-nn's TriangleWave."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench_encodings._constants import ConstantsKept


class TriangleWave(ConstantsKept):
    """Triangle waves at octaves, each shifted by a quarter of a period; d_e = dL.

    A cheap substitute for sines, without cosines, piecewise linear in x. As in tiny-cuda-nn, level
    l has the period 2^(1−l), for l = 0 twice the domain, and is shifted by l/4 of a period; a wave
    is 1 at the beginning of its period and −1 in the middle. Order: coordinate, then level.

    The frequencies are those of ``ffe:convention=nerf``, not the paper's. No learned parameters.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of octaves; default as in tiny-cuda-nn.
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
        # Whole periods are subtracted first, because adding the phase would round them.
        turns = turns - turns.detach().floor() + self._phases.to(x.dtype)
        fraction = turns - turns.detach().floor()
        return (4 * (fraction - 0.5).abs() - 1).flatten(1)
