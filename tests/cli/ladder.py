"""The encoding ladder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding, SparseBlock


class Ladder(Encoding):
    """A row of learnable values along each axis, interpolated linearly; d_e = d.

    Args:
        in_dim: d, 1 to 3.
        rungs: values per axis, the first at x = 0 and the last at x = 1.
    """

    equation = "γ(x)_a = (1 − w) θ_a[i] + w θ_a[i + 1], i + w = (rungs − 1) x_a"
    source = "the tutorial of encbench"

    def __init__(
        self, in_dim: int, *, rungs: Annotated[int, Field(ge=2, description="values per axis")] = 16
    ) -> None:
        super().__init__(in_dim, out_dim=in_dim)
        self.rungs = rungs
        self.table = nn.Parameter(0.01 * torch.randn(in_dim * rungs, 1))
        self.starts: Tensor
        self.register_buffer("starts", rungs * torch.arange(in_dim), persistent=False)

    def rows_and_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, d) -> 2 × (N, d, 2)
        position = (self.rungs - 1) * x
        # x = 1 belongs to the last cell
        cell = position.detach().floor().long().clamp(max=self.rungs - 2)
        upper = position - cell
        row = self.starts + cell
        return torch.stack((row, row + 1), -1), torch.stack((1 - upper, upper), -1)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d)
        rows, weights = self.rows_and_weights(x)
        return (weights * self.table[rows, 0]).sum(-1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        rows, weights = self.rows_and_weights(x)
        return [
            SparseBlock(
                parameter="table",
                rows=rows[:, axis],
                weights=weights[:, axis],
                num_rows=len(self.table),
                start=axis,
                width=1,
            )
            for axis in range(self.in_dim)
        ]
