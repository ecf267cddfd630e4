"""One grid of learnable values, interpolated linearly or cubically."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from encbench import Search
from encbench.errors import check_choice
from encbench_encodings._multilevel import IncludeInput, NodeGrid, ScalarsPerNode, SparseGradients
from encbench_encodings._tables import InitStd, cells_and_places, over_corners


class Grid(NodeGrid):
    """One dense grid of learnable values, interpolated linearly or cubically; d_e = k (+ d).

    n nodes per axis, node i at x = i/(n − 1): both borders lie on nodes. With both interpolations,
    the features at a node are its values.

    - "linear": between two nodes per axis, 2^d in total: the paper's grid at one resolution,
      ``mpe:levels=1``. Continuous, with kinks at nodes.
    - "cubic": Catmull-Rom splines through four nodes per axis, 4^d in total, with a continuous
      derivative and some negative weights. Nodes beyond the borders have linearly extrapolated
      values, so that functions linear along each axis are reproduced up to the border.
      Neither cubic B-splines (which do not interpolate the values) nor the bicubic mode of
      ``torch.nn.functional.grid_sample`` (a = −0.75; Catmull-Rom has −0.5).

    Outside [0, 1] the border cell's polynomial is extrapolated. k·n^d parameters, ``table``.

    Args:
        in_dim: d, 1 to 4.
        resolution: n, nodes per axis.
        features: k, scalars per node.
        interpolation: see above.
        init_std: node values start as N(0, init_std²).
        include_input: whether the coordinates are appended.
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: the interpolation is unknown, or the resolution is below 2.
    """

    size_parameters = ("resolution", "features")
    equation = "γ(x) = Σ_c w_c(x) · θ[c], c the 2^d or 4^d nodes around x"
    source = (
        'linear: Audia et al., ICLR 2025, Eq. 2; cubic: Catmull, Rom, "A Class of Local '
        'Interpolating Splines", 1974; Keys, "Cubic Convolution Interpolation for Digital Image '
        'Processing", IEEE Transactions on Acoustics, Speech, and Signal Processing, 1981'
    )
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        resolution: Annotated[
            int, Field(ge=2, description="n, nodes per axis"), Search(16, 192, log=True)
        ] = 64,
        features: ScalarsPerNode = 4,
        interpolation: Annotated[
            Literal["linear", "cubic"],
            Field(description="between 2 nodes per axis, or Catmull-Rom between 4"),
        ] = "linear",
        init_std: InitStd = 0.01,
        include_input: IncludeInput = False,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        check_choice("grid: interpolation", interpolation, ("linear", "cubic"))
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
        self.interpolation = interpolation

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.interpolation == "linear":
            return super().corners(x)
        position = x.t().unsqueeze(-1) * (self.resolution - 1)  # (d, N, 1)
        cells, place = cells_and_places(position, self._cells - 1)
        nodes = torch.stack([cells + step for step in (-1, 0, 1, 2)])  # (4, d, N, 1)
        nodes = nodes.clamp(0, self.resolution - 1)  # where it clamps, the weight is 0
        return (
            over_corners(torch.add, nodes * self._strides),
            over_corners(torch.mul, self._cubic_weights(cells, place)),
        )

    def _cubic_weights(self, cells: Tensor, f: Tensor) -> Tensor:
        """Weights (4, d, N, 1) of the nodes: before the cell, its left and right end, after it."""
        g = 1 - f
        before, behind = -0.5 * f * g * g, -0.5 * g * f * f
        left = 1 - f * f * (2.5 - 1.5 * f)
        right = 1 - g * g * (2.5 - 1.5 * g)
        # A node beyond the border has the value 2·(border node) − (its inner neighbour).
        missing = before * (cells == 0)
        before, left, right = before - missing, left + 2 * missing, right - missing
        missing = behind * (cells == self.resolution - 2)
        behind, right, left = behind - missing, right + 2 * missing, left - missing
        return torch.stack((before, left, right, behind))
