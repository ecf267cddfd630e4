"""One grid of learnable coefficients of cubic B-splines."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench import ParameterError, Search
from encbench_encodings._multilevel import IncludeInput, NodeGrid, ScalarsPerNode, SparseGradients
from encbench_encodings._tables import InitStd, cells_and_places, cubic_bspline, over_corners


class BSplineGrid(NodeGrid):
    """One dense grid of coefficients of uniform cubic B-splines; d_e = k (+ d).

    n coefficients per axis over n − 3 cells; a point reads 4^d of them. Spline i is centred at
    (i − 1)/(n − 3), so the first and the last centre lie one cell outside the domain and the
    splines sum to one everywhere in it. Twice continuously differentiable.

    The coefficients are *not* the values at the centres: a feature there is the sum of 1/6, 4/6 and
    1/6 of three coefficients along each axis. ``grid:interpolation=cubic`` interpolates its values;
    its second derivative jumps.

    Outside [0, 1] the border cell's polynomial is extrapolated. k·n^d parameters, ``table``.

    Args:
        in_dim: d, 1 to 4.
        resolution: n, coefficients per axis.
        features: k, scalars per coefficient.
        init_std: coefficients start as N(0, init_std²).
        include_input: whether the coordinates are appended.
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: fewer than 4 coefficients per axis.
    """

    size_parameters = ("resolution", "features")
    equation = "γ(x) = Σ_i β³((n − 3)x_1 + 1 − i_1) ⋯ β³((n − 3)x_d + 1 − i_d) θ[i]"
    source = (
        'Unser, "Splines: A Perfect Fit for Signal and Image Processing", IEEE Signal Processing '
        'Magazine 16(6), 1999; de Boor, "A Practical Guide to Splines", Springer, 1978'
    )
    bibtex = """\
@article{unser1999splines,
  title = {Splines: A Perfect Fit for Signal and Image Processing},
  author = {Unser, Michael},
  journal = {IEEE Signal Processing Magazine},
  volume = {16},
  number = {6},
  pages = {22--38},
  year = {1999}
}"""
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        resolution: Annotated[
            int, Field(ge=4, description="n, coefficients per axis"), Search(16, 192, log=True)
        ] = 64,
        features: ScalarsPerNode = 4,
        init_std: InitStd = 0.01,
        include_input: IncludeInput = False,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        if resolution < 4:
            raise ParameterError(
                f"bspline_grid: resolution={resolution}; give at least 4, for one cell"
            )
        super().__init__(
            in_dim,
            [resolution],
            features,
            init_std,
            include_input,
            sparse_gradients,
            name="resolution",
        )
        self.resolution = resolution

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.resolution - 3
        position = x.t().unsqueeze(-1) * cells  # (d, N, 1)
        cell, place = cells_and_places(position, self._cells - 3)
        first = cell * self._strides
        rows = torch.stack([first + step * self._strides for step in range(4)])
        return over_corners(torch.add, rows), over_corners(torch.mul, cubic_bspline(place))
