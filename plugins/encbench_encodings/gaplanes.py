"""GA-Planes: sums of products of learnable lines and planes, and a volume."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding, LearnedGrid, Search, SparseBlock
from encbench_encodings._multilevel import NodeGrid, product, products_of_others


class GAPlanes(Encoding):
    """GA-Planes: sums of products of lines, planes and a volume of features; d_e = F.

    In 2D e_x ∘ e_y + e_xy: the product of two lines of n_1 nodes plus a plane of n_2² nodes, a
    low-rank plus a low-resolution part. In 3D each plane is multiplied by the line along the
    remaining axis, and a volume of n_3³ nodes is added. Nodes at i/(n − 1), linear interpolation.

    The paper describes a family of such models, including convex ones (which add or concatenate).
    This is the nonconvex model of INR-benchmark, which shares an author with the paper. Its first
    dense layer is the network's here.

    Lines start as U(0.1, 0.25), planes as N(0, 0.01²), the volume as N(0, 0.001²), as in
    INR-benchmark.

    Parameters: F (2 n_1 + n_2²) in 2D, F (3 n_1 + 3 n_2² + n_3³) in 3D.

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: d, 2 or 3.
        features: F, features per node.
        line_resolution: n_1, nodes of a line (INR-benchmark: number of samples along an axis).
        plane_resolution: n_2, nodes per axis of a plane (INR-benchmark: 20).
        volume_resolution: n_3, nodes per axis of the volume (INR-benchmark: 5); unused in 2D.
    """

    size_parameters = (("line_resolution", "plane_resolution", "volume_resolution"), "features")
    equation = (
        "γ(x) = e_1 ∘ e_2 + e_12 in 2D; "
        "e_1 ∘ e_2 ∘ e_3 + e_12 ∘ e_3 + e_13 ∘ e_2 + e_23 ∘ e_1 + e_123 in 3D"
    )
    source = (
        'Sivgin, Fridovich-Keil, Wetzstein, Pilanci, "Geometric Algebra Planes: Convex Implicit '
        'Neural Volumes", ICML 2025; voilalab/INR-benchmark at 0463b3f, models/ga_plane.py'
    )
    bibtex = """\
@inproceedings{sivgin2025geometric,
  title = {Geometric Algebra Planes: Convex Implicit Neural Volumes},
  author = {Sivgin, Irmak and Fridovich-Keil, Sara and Wetzstein, Gordon and Pilanci, Mert},
  booktitle = {International Conference on Machine Learning},
  year = {2025}
}"""
    min_dim = 2
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=1, description="F, features of a node")] = 32,
        line_resolution: Annotated[
            int, Field(ge=2, description="n_1, nodes of a line"), Search(32, 512, log=True)
        ] = 128,
        plane_resolution: Annotated[
            int, Field(ge=2, description="n_2, nodes per axis of a plane"), Search(8, 64, log=True)
        ] = 20,
        volume_resolution: Annotated[
            int, Field(ge=2, description="n_3, nodes per axis of the volume, in 3D")
        ] = 5,
    ) -> None:
        super().__init__(in_dim, out_dim=features)
        axes = range(in_dim)
        self.lines = NodeGrid(
            in_dim,
            [line_resolution] * in_dim,
            features,
            axes=[[axis] for axis in axes],
            name="line_resolution",
        )
        nn.init.uniform_(self.lines.table, 0.1, 0.25)
        # plane k is the one without axis k; in 2D the only plane is the whole domain
        pairs = [[0, 1]] if in_dim == 2 else list(combinations(axes, 2))[::-1]
        self.planes = NodeGrid(
            in_dim,
            [plane_resolution] * len(pairs),
            features,
            0.01,
            axes=pairs,
            name="plane_resolution",
        )
        self.volume = None
        if in_dim == 3:
            self.volume = NodeGrid(
                in_dim, [volume_resolution], features, 0.001, name="volume_resolution"
            )

    def _values(self, grid: NodeGrid, x: Tensor) -> Tensor:  # (N, d) -> (N, grids, F)
        values: Tensor = grid(x)
        return values.view(-1, len(grid.resolutions), self.out_dim)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, F)
        lines, planes = self._values(self.lines, x), self._values(self.planes, x)
        if self.volume is None:
            return product(lines, 1) + planes.sum(1)
        volume: Tensor = self.volume(x)
        return product(lines, 1) + (planes * lines).sum(1) + volume

    def learned_grids(self) -> list[LearnedGrid]:
        """Volume, planes, lines."""
        parts = {"volume": self.volume, "planes": self.planes, "lines": self.lines}
        return [
            replace(grid, parameter=f"{name}.table", start=0)
            for name, part in parts.items()
            if part is not None
            for grid in part.learned_grids()
        ]

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block per line and plane, and one for the volume, with the other factors."""
        lines, planes = self._values(self.lines, x), self._values(self.planes, x)
        others = products_of_others(lines, 1)
        if self.volume is None:
            factors, volume = torch.ones_like(planes), []
        else:
            others, factors = others + planes, lines
            ones = torch.ones_like(planes[:, :1])
            volume = self.volume.factor_blocks("volume", x, ones, [0])
        return [
            *self.lines.factor_blocks("lines", x, others, [0] * self.in_dim),
            *self.planes.factor_blocks("planes", x, factors, [0] * planes.shape[1]),
            *volume,
        ]
