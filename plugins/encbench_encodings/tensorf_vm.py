"""TensoRF's vector-matrix decomposition: products of a learnable line and plane."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from encbench import Encoding, Search, SparseBlock
from encbench_encodings._multilevel import NodeGrid
from encbench_encodings._tables import InitStd

PLANE_AXES = ((0, 1), (0, 2), (1, 2))
LINE_AXES = ((2,), (1,), (0,))


class TensorfVM(Encoding):
    """Vector-matrix-decomposed grid of TensoRF, 3D only; d_e = 3R.

    For each of the three splits of the axes into a plane and a line, there are R products
    M_r(plane) · v_r(line). Order of the features: xy with z, xz with y, yz with x. Planes have n²
    nodes and lines n, node i at x = i / (n − 1), interpolated linearly. In two dimensions the plane
    would be a line, which is ``tensorf_cp``.

    The components themselves are the features. TensoRF's matrix B, which combines them to
    appearance features, is the network's first layer here; its density is their sum.

    Parameters: 3 · R · (n² + n).

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: 3.
        rank: R, components per split (TensoRF: 16 for density, 48 for appearance).
        resolution: n, nodes per axis (TensoRF increases it during training, from 128 to 300).
        init_std: entries start as N(0, init_std²) (TensoRF: 0.1).
    """

    size_parameters = ("resolution", "rank")
    equation = "γ(x) = [M_r^xy v_r^z, M_r^xz v_r^y, M_r^yz v_r^x] for r < R"
    source = (
        'Chen, Xu, Geiger, Yu, Su, "TensoRF: Tensorial Radiance Fields", ECCV 2022, Eq. 3 and '
        "section 4 (VM)"
    )
    min_dim = 3
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        rank: Annotated[
            int, Field(ge=1, description="R, components per split"), Search(2, 16, log=True)
        ] = 8,
        resolution: Annotated[
            int, Field(ge=2, description="n, nodes per axis"), Search(16, 192, log=True)
        ] = 64,
        init_std: InitStd = 0.1,
    ) -> None:
        super().__init__(in_dim, out_dim=len(LINE_AXES) * rank)
        each = [resolution] * len(LINE_AXES)
        self.planes = NodeGrid(in_dim, each, rank, init_std, axes=PLANE_AXES, name="resolution")
        self.lines = NodeGrid(in_dim, each, rank, init_std, axes=LINE_AXES, name="resolution")

    def forward(self, x: Tensor) -> Tensor:  # (N, 3) -> (N, 3 * R)
        product: Tensor = self.planes(x) * self.lines(x)
        return product

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block per plane and one per line, each with the other's values as factor."""
        rank = self.planes.features
        starts = [rank * split for split in range(len(LINE_AXES))]
        planes, lines = (grid(x).unflatten(1, (-1, rank)) for grid in (self.planes, self.lines))
        return [
            *self.planes.factor_blocks("planes", x, lines, starts),
            *self.lines.factor_blocks("lines", x, planes, starts),
        ]
