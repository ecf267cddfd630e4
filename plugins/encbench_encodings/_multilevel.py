"""Grids of several levels with one table for all; and those with nodes on both borders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import SparseBlock
from encbench_encodings._constants import ConstantsKept, at_least_float32
from encbench_encodings._tables import (
    blocks_of_levels,
    check_columns,
    linear_corners,
    strides_of,
    weighted_rows,
)

__all__ = [
    "FeaturesPerLevel",
    "IncludeInput",
    "Levels",
    "MultilevelGrid",
    "NodeGrid",
    "ScalarsPerNode",
    "SparseGradients",
]

Levels = Annotated[int, Field(ge=1, le=128, description="L, number of grids")]
FeaturesPerLevel = Annotated[int, Field(ge=1, description="F, features stored at a vertex")]
ScalarsPerNode = Annotated[int, Field(ge=1, description="k, scalars a node")]
IncludeInput = Annotated[bool, Field(description="append the coordinates")]
SparseGradients = Annotated[
    bool,
    Field(description="COO gradient of the table: cheap steps, only for SGD and SparseAdam"),
]


class MultilevelGrid(ConstantsKept):
    """Base of grids: L levels of vertices with F features each, all in one table.

    One table and not one a level: a single lookup serves all levels. Features are ordered by
    level, then by column of the table; the coordinates come last where they are included. A table
    in float16 or bfloat16 is read at positions that are computed in float32.

    Attributes:
        table: (rows, F) parameter. Level l owns the rows from ``starts[l]`` to ``starts[l + 1]``.
        starts: L + 1 row numbers.
        sparse_gradients: whether the table's gradient is a sparse COO tensor.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        entries: Sequence[int],
        features: int,
        include_input: bool = False,
        sparse_gradients: bool = False,
    ) -> None:
        super().__init__(in_dim, out_dim=len(entries) * features + in_dim * include_input)
        self.features = features
        self.include_input = include_input
        self.sparse_gradients = sparse_gradients
        self.starts = [sum(entries[:level]) for level in range(len(entries) + 1)]
        self.table = nn.Parameter(torch.empty(self.starts[-1], features))
        self._starts: Tensor
        self.register_buffer("_starts", torch.tensor(self.starts[:-1]), persistent=False)

    @property
    def num_levels(self) -> int:
        return len(self.starts) - 1

    @abstractmethod
    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Entries of each level that x (N, d) reads, and with which weights.

        Returns:
            (m, N, L) int64 rows counted within the level, and (m, N, L) weights in x's dtype.
        """

    def rows_and_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table (N, L, m) int64 that x (N, d) reads, and weights (N, L, m)."""
        check_columns(self, x)
        entries, weights = self.corners(at_least_float32(x))
        rows = (entries + self._starts).permute(1, 2, 0).contiguous()
        return rows, weights.permute(1, 2, 0).contiguous()

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * F [+ d])
        rows, weights = self.rows_and_weights(x)
        values = weighted_rows(self.table, rows, weights, sparse=self.sparse_gradients).flatten(1)
        return torch.cat((values, x), dim=1) if self.include_input else values

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block a level; rows that collide within a level stand there twice."""
        return blocks_of_levels("table", self.table, *self.rows_and_weights(x))


class NodeGrid(MultilevelGrid):
    """Base of grids with nodes on both borders: level l has n_l an axis, node i at i / (n_l − 1).

    Interpolates linearly along each axis. Entry Σ_a i_a · n_l^a of a level is node i.

    Args:
        resolutions: n_l >= 2 of each level.
        init_std: node values start as N(0, init_std²).
        entries: stored nodes of each level, n_l^d if not given.
    """

    def __init__(
        self,
        in_dim: int,
        resolutions: Sequence[int],
        features: int,
        init_std: float,
        include_input: bool,
        sparse_gradients: bool,
        entries: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            in_dim,
            entries=entries or [nodes**in_dim for nodes in resolutions],
            features=features,
            include_input=include_input,
            sparse_gradients=sparse_gradients,
        )
        self.resolutions = list(resolutions)
        nn.init.normal_(self.table, 0.0, init_std)
        self._cells: Tensor
        self._strides: Tensor
        self.register_buffer("_cells", torch.tensor(self.resolutions) - 1, persistent=False)
        self.register_buffer("_strides", strides_of(self.resolutions, in_dim), persistent=False)

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return linear_corners(x.t().unsqueeze(-1), self._cells, self._strides)
