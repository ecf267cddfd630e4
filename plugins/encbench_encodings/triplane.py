"""The tri-plane of EG3D: the sum of three learnable planes."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, SparseBlock
from encbench_encodings._factors import FactorTable, check_columns

AXES = ((0, 1), (0, 2), (1, 2))


class TriPlane(Encoding):
    """Tri-plane: the sum of planes over xy, xz and yz, 3D only; d_e = F.

    Three planes of n² nodes with F features, node i at x = i / (n − 1), interpolated linearly and
    added. EG3D's planes are the output of a generator; here they are parameters, as in the
    methods that fit them to one object. Its planes end half a cell short of the border
    (``grid_sample`` without aligned corners), these end on it. The sum is linear in the table:
    the kernel is computed from its sparse Jacobian. ``kplanes`` multiplies instead.

    Parameters: 3 · F · n².

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: 3.
        features: F (EG3D: 32).
        resolution: n, nodes an axis of each plane (EG3D: 256).
        init_std: entries start as N(0, init_std²).
    """

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
        resolution: Annotated[int, Field(ge=2, description="n, nodes an axis of a plane")] = 128,
        init_std: Annotated[
            float, Field(ge=0, description="standard deviation of the initial values")
        ] = 0.01,
    ) -> None:
        super().__init__(in_dim, out_dim=features)
        self.planes = FactorTable(2, [resolution] * len(AXES), features)
        torch.nn.init.normal_(self.planes.table, 0.0, init_std)
        self._axes: Tensor
        self.register_buffer("_axes", torch.tensor(AXES), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3) -> (N, F)
        check_columns(self, x)
        values: Tensor = self.planes(x[:, self._axes])
        return values.sum(1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block: the corners of all three planes feed the same features."""
        rows, weights = self.planes.rows_and_weights(x[:, self._axes])
        return [
            SparseBlock(
                parameter="planes.table",
                rows=rows.flatten(1),
                weights=weights.flatten(1),
                num_rows=self.planes.table.shape[0],
                start=0,
                width=self.out_dim,
            )
        ]
