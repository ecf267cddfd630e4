"""Fourier features at octaves, in the three common conventions."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench.errors import check_choice
from encbench_encodings._constants import ConstantsKept
from encbench_encodings.mpe import PAPER


class FourierFeatureEncoding(ConstantsKept):
    """Fourier features at octaves: sin and cos of 2^l x for l < L; d_e = 2dL (+ d).

    Three conventions, which differ in frequency *and* in order (x of d coordinates, l from 0):

    - "paper" (default): sin and cos of 2^l · x, without π: the longest wavelength is 2π, six times
      the domain. Order: level, then sin before cos, then coordinate:
      [sin 2^0 x_1, sin 2^0 x_2, cos 2^0 x_1, cos 2^0 x_2, sin 2^1 x_1, …].
    - "nerf": sin and cos of 2^l · π · x, the NeRF paper and tiny-cuda-nn's Frequency. Order:
      coordinate, then level, then sin before cos: [sin 2^0 πx_1, cos 2^0 πx_1, sin 2^1 πx_1, …].
    - "nerfstudio": sin and cos of 2^l · 2π · x, nerfstudio's NeRFEncoding with exponents from 0 to
      L − 1. Order: all sines, then all cosines; within each coordinate, then level.

    Included coordinates come last, as in nerfstudio. Tancik et al.'s random frequencies, 2πBx, are
    the encoding ``gaussian_ffe``.

    Computed in x's dtype. 2^l x is exact, and in the conventions with π whole periods are
    subtracted before the product with π, so the only error that grows with 2^l is the rounding
    of x.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of octaves.
        convention: see above.
        include_input: whether the d coordinates are appended.

    Raises:
        ParameterError: the convention is unknown.
    """

    equation = "γ(x) = [sin(2^l x), cos(2^l x)] for l < L"
    source = (
        'Audia, Feizi, Zwicker, Manocha, "How Learnable Grids Recover Fine Detail in Low '
        'Dimensions: A Neural Tangent Kernel Analysis of Multigrid Parametric Encodings", '
        'ICLR 2025, Eq. 1; Mildenhall et al., "NeRF", ECCV 2020, Eq. 4'
    )
    bibtex = (
        PAPER
        + """
@inproceedings{mildenhall2020nerf,
  title = {{NeRF}: Representing Scenes as Neural Radiance Fields for View Synthesis},
  author = {Mildenhall, Ben and Srinivasan, Pratul P. and Tancik, Matthew and
            Barron, Jonathan T. and Ramamoorthi, Ravi and Ng, Ren},
  booktitle = {European Conference on Computer Vision},
  year = {2020}
}"""
    )
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Annotated[
            int, Field(ge=1, le=64, description="L, number of octaves"), Search(4, 12)
        ] = 8,
        convention: Annotated[
            Literal["paper", "nerf", "nerfstudio"],
            Field(description="frequencies 2^l, π 2^l or 2π 2^l, and the order of features"),
        ] = "paper",
        include_input: Annotated[bool, Field(description="append the coordinates")] = False,
    ) -> None:
        # An unknown value would be treated as the last convention below.
        check_choice("ffe: convention", convention, ("paper", "nerf", "nerfstudio"))
        super().__init__(in_dim, out_dim=in_dim * (2 * levels + include_input))
        self.levels = levels
        self.convention = convention
        self.include_input = include_input
        octaves = torch.tensor([2.0**level for level in range(levels)])
        self._octaves = nn.Buffer(octaves, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, 2 * d * L [+ d])
        octaves = self._octaves.to(x.dtype)
        if self.convention == "paper":
            phase = x.unsqueeze(1) * octaves.unsqueeze(1)  # (N, L, d)
            features = torch.stack((phase.sin(), phase.cos()), dim=2)
        else:
            nerf = self.convention == "nerf"
            turns = x.unsqueeze(2) * (octaves / 2 if nerf else octaves)  # (N, d, L)
            phase = 2 * math.pi * (turns - turns.round())
            features = torch.stack((phase.sin(), phase.cos()), dim=3 if nerf else 1)
        encoded = features.flatten(1)
        return torch.cat((encoded, x), dim=1) if self.include_input else encoded
