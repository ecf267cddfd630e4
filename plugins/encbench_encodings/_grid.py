"""What every multilevel grid shares: corners of cells, one table, its sparse Jacobian."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from encbench import SparseBlock
from encbench_encodings._constants import ConstantsKept, at_least_float32
from encbench_encodings._lookup import weighted_rows

__all__ = ["MultilevelGrid", "over_corners"]


def over_corners(
    combine: Callable[[Tensor, Tensor], Tensor], lower: Tensor, upper: Tensor
) -> Tensor:
    """One value for each of the 2^d corners of a cell, combined from one value an axis.

    Bit a of a corner's number says whether it is the upper one along axis a. Corners come first:
    on a CPU the operations run along the last axis, which must not be the short one (measured,
    1024 to 8192 points: 2 to 6 times faster than corners last, the copy at the end included).

    Args:
        combine: an elementwise, broadcasting, associative operation of two tensors.
        lower: (d, N, L), what each axis contributes at a cell's lower end.
        upper: (d, N, L), and at its upper end.

    Returns:
        (2^d, N, L).
    """
    corners = torch.stack((lower[0], upper[0]))
    for axis in range(1, lower.shape[0]):
        ends = torch.stack((lower[axis], upper[axis])).unsqueeze(1)  # (2, 1, N, L)
        corners = combine(ends, corners.unsqueeze(0)).flatten(0, 1)
    return corners


class MultilevelGrid(ConstantsKept):
    """Base of grids: L levels of vertices with F features each, all in one table.

    One table and not one a level: a single lookup serves all levels. Features are ordered by
    level, then by column of the table. A table in float16 or bfloat16 is read at positions that are
    computed in float32.

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
        extra_features: int = 0,
        sparse_gradients: bool = False,
    ) -> None:
        super().__init__(in_dim, out_dim=len(entries) * features + extra_features)
        self.features = features
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
        # The last axis would otherwise broadcast: a wrong result, not an error.
        if x.shape[1] != self.in_dim:
            raise ValueError(
                f"{type(self).__name__} was built for in_dim={self.in_dim}, "
                f"got x of shape {tuple(x.shape)}"
            )
        entries, weights = self.corners(at_least_float32(x))
        rows = (entries + self._starts).permute(1, 2, 0).contiguous()
        return rows, weights.permute(1, 2, 0).contiguous()

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * F)
        rows, weights = self.rows_and_weights(x)
        values = weighted_rows(
            self.table,
            rows.flatten(0, 1),
            weights.flatten(0, 1).to(self.table.dtype),
            sparse=self.sparse_gradients,
        )
        return values.reshape(x.shape[0], self.num_levels * self.features)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block a level; rows that collide within a level stand there twice."""
        rows, weights = self.rows_and_weights(x)
        return [
            SparseBlock(
                parameter="table",
                rows=rows[:, level],
                weights=weights[:, level],
                num_rows=self.table.shape[0],
                start=level * self.features,
                width=self.features,
            )
            for level in range(self.num_levels)
        ]
