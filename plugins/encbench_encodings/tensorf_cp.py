"""TensoRF's CP decomposition: products of one learnable vector per axis."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from encbench import Encoding, Search, SparseBlock
from encbench_encodings._multilevel import NodeGrid, product, products_of_others
from encbench_encodings._tables import InitStd


class TensorfCP(Encoding):
    """CP-decomposed grid of TensoRF: R products of a vector per axis; d_e = R.

    Component r is v_r^1(x_1) · v_r^2(x_2) · …, each vector of n nodes at x = i / (n − 1),
    interpolated linearly. The R products are a rank-R decomposition of a dense grid of n^d nodes;
    in 2D, of a matrix.

    The components themselves are the features. TensoRF's matrix B, which combines them to
    appearance features, is the network's first layer here; its density is their sum.

    Parameters: R · d · n.

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: d, 2 to 4 (TensoRF: 3).
        rank: R, number of components.
        resolution: n, nodes of a vector.
        init_std: entries start as N(0, init_std²) (TensoRF: 0.2).
    """

    size_parameters = ("rank", "resolution")
    equation = "γ(x) = [Π_a v_r^a(x_a)] for r < R"
    source = (
        'Chen, Xu, Geiger, Yu, Su, "TensoRF: Tensorial Radiance Fields", ECCV 2022, Eq. 1 and '
        "section 4 (CP)"
    )
    min_dim = 2
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        rank: Annotated[
            int, Field(ge=1, description="R, number of components"), Search(16, 192, log=True)
        ] = 48,
        resolution: Annotated[
            int, Field(ge=2, description="n, nodes of a vector"), Search(32, 256, log=True)
        ] = 128,
        init_std: InitStd = 0.2,
    ) -> None:
        super().__init__(in_dim, out_dim=rank)
        axes = [[axis] for axis in range(in_dim)]
        self.vectors = NodeGrid(
            in_dim, [resolution] * in_dim, rank, init_std, axes=axes, name="resolution"
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, R)
        return product(self._factors(x), 1)

    def _factors(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d, R)
        values: Tensor = self.vectors(x)
        return values.view(-1, self.in_dim, self.out_dim)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block per axis, whose factor is the product of the other axes' values."""
        factors = products_of_others(self._factors(x), 1)
        return self.vectors.factor_blocks("vectors", x, factors, [0] * self.in_dim)
