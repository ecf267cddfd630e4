"""Fourier features at random Gaussian frequencies."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench.plugins.parameters import Positive
from encbench_encodings._constants import ConstantsKept, at_least_float32


class GaussianFourierFeatures(ConstantsKept):
    """Fourier features at random frequencies: cos and sin of 2πBx, B ~ N(0, σ²); d_e = 2m.

    Order: all m cosines, then all m sines; all amplitudes are 1 (Tancik et al.'s Gaussian mapping).
    Frequencies are in cycles over the domain. The frequencies of ``ffe``, in contrast, are octaves
    along the axes. To combine several σ, use ``composite``.

    B is drawn from torch's generator when the encoding is built, and kept in the state dict as
    ``frequencies`` (m, d), in cycles.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        features: m, number of frequencies.
        sigma: σ, standard deviation of each component of a frequency, in cycles over [0, 1].
        learnable: whether B is a parameter, trained with the network.
    """

    equation = "γ(x) = [cos(2π B x), sin(2π B x)], B ~ N(0, σ²) of m × d"
    source = (
        'Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low '
        'Dimensional Domains", NeurIPS 2020'
    )
    bibtex = """\
@inproceedings{tancik2020fourier,
  title = {Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains},
  author = {Tancik, Matthew and Srinivasan, Pratul P. and Mildenhall, Ben and
            Fridovich-Keil, Sara and Raghavan, Nithin and Singhal, Utkarsh and
            Ramamoorthi, Ravi and Barron, Jonathan T. and Ng, Ren},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  year = {2020}
}"""
    max_dim = 4

    frequencies: Tensor

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=1, description="m, number of frequencies")] = 256,
        sigma: Annotated[
            Positive,
            Field(description="σ of a frequency's components, in cycles"),
            Search(2, 20, log=True),
        ] = 10.0,
        learnable: Annotated[bool, Field(description="train the frequencies too")] = False,
    ) -> None:
        super().__init__(in_dim, out_dim=2 * features)
        self.sigma = sigma
        self.learnable = learnable
        frequencies = torch.randn(features, in_dim).mul_(sigma)
        self.frequencies = nn.Parameter(frequencies) if learnable else nn.Buffer(frequencies)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, 2 * m)
        point = at_least_float32(x)
        phase = 2 * math.pi * (point @ self.frequencies.to(point.dtype).t())
        return torch.cat((phase.cos(), phase.sin()), dim=1).to(x.dtype)
