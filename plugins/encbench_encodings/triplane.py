"""The tri-plane of EG3D: the sum of three learnable planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from torch import Tensor

from encbench import Encoding, LearnedGrid, Search, SparseBlock
from encbench_encodings._multilevel import NodeGrid
from encbench_encodings._tables import InitStd

AXES = ((0, 1), (0, 2), (1, 2))


class TriPlane(Encoding):
    """Tri-plane: the sum of planes over xy, xz and yz, 3D only; d_e = F.

    Three planes of n² nodes with F features, node i at x = i / (n − 1), interpolated linearly and
    added. EG3D's planes are the output of a generator; here they are parameters, as in methods that
    fit a single object. EG3D's planes end half a cell before the border (``grid_sample`` without
    aligned corners), these end at the border. The sum is linear in the table, so the kernel is
    computed from its sparse Jacobian. ``kplanes`` multiplies planes instead.

    Parameters: 3 · F · n².

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: 3.
        features: F, features per node (EG3D: 32).
        resolution: n, nodes per axis of each plane (EG3D: 256).
        init_std: entries start as N(0, init_std²).
    """

    size_parameters = ("resolution", "features")
    equation = "γ(x) = P_xy(x, y) + P_xz(x, z) + P_yz(y, z)"
    source = (
        'Chan et al., "Efficient Geometry-aware 3D Generative Adversarial Networks", CVPR 2022, '
        "section 3.2"
    )
    min_dim = 3
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=1, description="F, features of a plane's node")] = 16,
        resolution: Annotated[
            int, Field(ge=2, description="n, nodes per axis of a plane"), Search(16, 192, log=True)
        ] = 128,
        init_std: InitStd = 0.01,
    ) -> None:
        super().__init__(in_dim, out_dim=features)
        self.planes = NodeGrid(
            in_dim, [resolution] * len(AXES), features, init_std, axes=AXES, name="resolution"
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, 3) -> (N, F)
        values: Tensor = self.planes(x)
        return values.view(-1, len(AXES), self.out_dim).sum(1)

    def learned_grids(self) -> list[LearnedGrid]:
        """The planes."""
        return [replace(grid, parameter="planes.table") for grid in self.planes.learned_grids()]

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block: the corners of all three planes feed the same features."""
        rows, weights = (part.flatten(1) for part in self.planes.rows_and_weights(x))
        num_rows, width = self.planes.table.shape
        return [SparseBlock("planes.table", rows, weights, num_rows, 0, width)]
