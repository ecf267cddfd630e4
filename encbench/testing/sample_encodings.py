"""Encodings that networks and tasks are checked with: the coordinates, and one small grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, LearnedGrid


class Coordinates(Encoding):
    """The coordinates themselves, any number of them."""

    max_dim = 1 << 20

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        return x


class SmallGrid(Encoding):
    """Values at 3 nodes an axis, interpolated linearly."""

    def __init__(self, in_dim: int, features: int = 2) -> None:
        super().__init__(in_dim, features)
        self.table = nn.Parameter(torch.randn(3**in_dim, features))

    def forward(self, x: Tensor) -> Tensor:
        nodes = torch.arange(3, dtype=x.dtype, device=x.device) / 2
        weights = x.new_ones(len(x), 1)
        for axis in range(self.in_dim):
            near = (1 - 2 * (x[:, axis, None] - nodes).abs()).clamp(min=0)
            weights = (near.unsqueeze(2) * weights.unsqueeze(1)).flatten(1)
        return weights @ self.table

    def learned_grids(self) -> list[LearnedGrid]:
        rows = torch.arange(len(self.table)).view((3,) * self.in_dim)
        return [LearnedGrid("table", rows, 0, self.out_dim)]
