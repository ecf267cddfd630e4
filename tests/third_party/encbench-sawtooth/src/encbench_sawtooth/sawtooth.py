"""The encoding."""

from typing import Annotated

import torch
from pydantic import Field

from encbench import Encoding


class Sawtooth(Encoding):
    """Fractional parts of the coordinates at octaves, γ(x) = [x, frac(2x), …]."""

    equation = "γ(x) = [frac(2^l x)] for l = 0 … levels − 1"
    source = "the encbench tests"

    def __init__(self, in_dim: int, *, levels: Annotated[int, Field(ge=1, le=24)] = 4) -> None:
        super().__init__(in_dim, out_dim=in_dim * levels)
        self.register_buffer("scales", 2.0 ** torch.arange(levels))

    def forward(self, x):  # (N, d) -> (N, d · levels)
        scaled = x[:, None, :] * self.scales[:, None].to(x.dtype)
        return scaled.frac().flatten(1)
