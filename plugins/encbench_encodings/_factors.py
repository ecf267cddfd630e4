"""Tables of factors: regular grids over few coordinates each, to be added or multiplied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encbench import Encoding
from encbench_encodings._constants import at_least_float32
from encbench_encodings._grid import over_corners
from encbench_encodings._lookup import weighted_rows

__all__ = ["FactorTable", "check_columns"]


def check_columns(encoding: Encoding, x: Tensor) -> None:
    """Raise ValueError unless x has the encoding's number of coordinates: others are not read."""
    if x.shape[1] != encoding.in_dim:
        raise ValueError(
            f"{type(encoding).__name__} was built for in_dim={encoding.in_dim}, "
            f"got x of shape {tuple(x.shape)}"
        )


class FactorTable(nn.Module):
    """M grids of F values a node over k coordinates each, all in one table.

    Grid m has n_m nodes an axis, node i at y = i / (n_m − 1), and interpolates linearly along
    each axis. One table and not one a grid: a single lookup serves all.

    Args:
        coordinates: k, coordinates of every grid.
        nodes: n_m >= 2 of each grid.
        features: F.

    Attributes:
        table: (rows, F) parameter, not initialized. Grid m owns the rows from ``starts[m]`` to
            ``starts[m + 1]``, first coordinate fastest.
    """

    def __init__(self, coordinates: int, nodes: Sequence[int], features: int) -> None:
        super().__init__()
        self.nodes = list(nodes)
        sizes = [count**coordinates for count in nodes]
        self.starts = [sum(sizes[:index]) for index in range(len(sizes) + 1)]
        self.table = nn.Parameter(torch.empty(self.starts[-1], features))
        strides = [[count**axis for count in nodes] for axis in range(coordinates)]
        self._cells: Tensor
        self._strides: Tensor
        self._starts: Tensor
        self.register_buffer("_cells", torch.tensor(self.nodes) - 1, persistent=False)
        self.register_buffer("_strides", torch.tensor(strides).unsqueeze(1), persistent=False)
        self.register_buffer("_starts", torch.tensor(self.starts[:-1]), persistent=False)

    def rows_and_weights(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table and weights, (N, M, 2^k) both, at y (N, M, k) in [0, 1]."""
        y = at_least_float32(y)
        position = y.permute(2, 0, 1) * self._cells.to(y.dtype)  # (k, N, M)
        # The last node belongs to the last cell: no corner lies outside its grid.
        cells = position.detach().floor().long().minimum(self._cells - 1).clamp(min=0)
        fraction = position - cells
        lower = cells * self._strides
        rows = over_corners(torch.add, lower, lower + self._strides) + self._starts
        weights = over_corners(torch.mul, 1 - fraction, fraction)
        return rows.permute(1, 2, 0).contiguous(), weights.permute(1, 2, 0).contiguous()

    def forward(self, y: Tensor) -> Tensor:  # (N, M, k) -> (N, M, F)
        rows, weights = self.rows_and_weights(y)
        values = weighted_rows(
            self.table, rows.flatten(0, 1), weights.flatten(0, 1).to(self.table.dtype)
        )
        return values.view(*rows.shape[:2], -1)

    def grid(self, index: int) -> Tensor:
        """The values of a grid, a view: (n,) * k + (F,), first coordinate last."""
        rows = self.table[self.starts[index] : self.starts[index + 1]]
        coordinates = self._strides.shape[0]
        return rows.view(*[self.nodes[index]] * coordinates, rows.shape[1])
