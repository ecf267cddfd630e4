"""K-planes: products of learnable planes, one per pair of coordinates."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, LearnedGrid, ParameterError, Search, SparseBlock
from encbench.plugins.parameters import InitialValue
from encbench_encodings._multilevel import NodeGrid, product, products_of_others

DEFAULT_RESOLUTIONS = (16, 32, 64)


class KPlanes(Encoding):
    """K-planes: at each of L resolutions, the product of a plane per pair of axes; d_e = L·F.

    A level has d(d − 1)/2 planes of n_l² nodes with F features, node i at x = i / (n_l − 1),
    interpolated linearly. Their values are multiplied elementwise; levels are concatenated. In 2D
    there is only one plane: the encoding is then a dense multigrid without x.

    Every axis has the same resolution. With d = 4 the last coordinate is time, whose planes start
    at 1, as in the paper; unlike there, their resolution increases with the level too.

    Parameters: F · d(d − 1)/2 · Σ_l n_l².

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: d, 2 to 4.
        features_per_level: F, features per node (the paper: 16 or 32).
        resolutions: n_l, nodes per axis of each level. Default [16, 32, 64].
        init_low, init_high: entries start as U(init_low, init_high), away from 0, where gradients
            of products vanish.

    Raises:
        ParameterError: no resolution, one below 2, or init_low above init_high.
    """

    size_parameters = ("resolutions", "features_per_level")
    equation = "γ(x) = [Π_(i<j) P_l^ij(x_i, x_j)] for l < L"
    source = (
        'Fridovich-Keil, Meanti, Warburg, Recht, Kanazawa, "K-Planes: Explicit Radiance Fields in '
        'Space, Time, and Appearance", CVPR 2023, Eq. 1'
    )
    min_dim = 2
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        features_per_level: Annotated[
            int, Field(ge=1, description="F, features of a plane's node")
        ] = 8,
        resolutions: Annotated[
            list[Annotated[int, Field(ge=2)]] | None,
            Field(min_length=1, description="nodes per axis of each level ([16, 32, 64])"),
            Search(choices=([8, 16, 32], [16, 32, 64], [32, 64, 128], [64, 128, 256])),
        ] = None,
        init_low: Annotated[
            InitialValue, Field(description="lowest initial value of an entry")
        ] = 0.1,
        init_high: Annotated[
            InitialValue, Field(description="highest initial value of an entry")
        ] = 0.5,
    ) -> None:
        resolutions = list(DEFAULT_RESOLUTIONS if resolutions is None else resolutions)
        if init_low > init_high:
            raise ParameterError(
                f"kplanes: init_low={init_low} is above init_high={init_high}; swap them"
            )
        super().__init__(in_dim, out_dim=len(resolutions) * features_per_level)
        self.resolutions = resolutions
        self.features = features_per_level
        self.pairs = list(combinations(range(in_dim), 2))
        """Axes of the planes of a level, in the order of the table."""
        per_plane = [nodes for nodes in resolutions for _ in self.pairs]
        axes = self.pairs * len(resolutions)
        self.planes = NodeGrid(in_dim, per_plane, features_per_level, axes=axes)
        torch.nn.init.uniform_(self.planes.table, init_low, init_high)
        if in_dim == 4:
            with torch.no_grad():
                for index in range(len(per_plane)):
                    if in_dim - 1 in self.pairs[index % len(self.pairs)]:
                        self.planes.grid(index).fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * F)
        values: Tensor = self.planes(x)
        return product(self._factors(values), 2).flatten(1)

    def _factors(self, values: Tensor) -> Tensor:  # (N, L, planes of a level, F)
        return values.view(-1, len(self.resolutions), len(self.pairs), self.features)

    def learned_grids(self) -> list[LearnedGrid]:
        """The planes."""
        return [replace(grid, parameter="planes.table") for grid in self.planes.learned_grids()]

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block per plane, whose factor is the product of the level's other planes."""
        factors = products_of_others(self._factors(self.planes(x)), 2).flatten(1, 2)
        levels = range(len(self.resolutions))
        starts = [level * self.features for level in levels for _ in self.pairs]
        return self.planes.factor_blocks("planes", x, factors, starts)
