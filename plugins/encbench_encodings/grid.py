"""One grid of learnable values, interpolated linearly or cubically."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from encbench import ParameterError
from encbench_encodings._grid import MultilevelGrid


class Grid(MultilevelGrid):
    """One dense grid of learnable values, interpolated linearly or cubically; d_e = k (+ d).

    n nodes an axis, node i at x = i/(n − 1): both borders lie on nodes. The values at a node are
    the features there, whatever the interpolation.

    - "linear": along each axis between two nodes, 2^d nodes in all: the paper's grid at one
      resolution, ``mpe:levels=1``. Continuous, with kinks at nodes.
    - "cubic": Catmull-Rom splines along each axis, through four nodes, 4^d in all; continuous
      derivative, some weights negative. Beyond the borders stand values extrapolated linearly,
      so that functions linear along each axis are reproduced up to the border.
      Not cubic B-splines (which do not pass through the values), nor the bicubic of
      ``torch.nn.functional.grid_sample`` (a = −0.75 where Catmull-Rom has −0.5).

    Outside [0, 1] the border cell's polynomial goes on. k·n^d parameters, ``table``.

    Args:
        in_dim: d, 1 to 4.
        resolution: n, nodes an axis.
        features: k, scalars a node.
        interpolation: see above.
        init_std: node values start as N(0, init_std²).
        include_input: whether the coordinates are appended.
        sparse_gradients: the table's gradient as a sparse COO tensor. A step then costs nothing
            for entries that no point read; only plain SGD and SparseAdam take it.

    Raises:
        ParameterError: an unknown interpolation.
    """

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
        resolution: Annotated[int, Field(ge=2, description="n, nodes an axis")] = 64,
        features: Annotated[int, Field(ge=1, description="k, scalars a node")] = 4,
        interpolation: Annotated[
            Literal["linear", "cubic"],
            Field(description="between 2 nodes an axis, or Catmull-Rom between 4"),
        ] = "linear",
        init_std: Annotated[
            float, Field(ge=0, description="standard deviation of the initial values")
        ] = 0.01,
        include_input: Annotated[bool, Field(description="append the coordinates")] = False,
        sparse_gradients: Annotated[
            bool,
            Field(description="COO gradient of the table: cheap steps, only SGD and SparseAdam"),
        ] = False,
    ) -> None:
        if interpolation not in ("linear", "cubic"):
            raise ParameterError(
                f"grid: interpolation={interpolation!r} is neither 'linear' nor 'cubic'"
            )
        if resolution < 2:
            raise ParameterError(
                f"grid: resolution={resolution} must be at least 2, for a node on each border"
            )
        super().__init__(
            in_dim,
            entries=[resolution**in_dim],
            features=features,
            extra_features=in_dim if include_input else 0,
            sparse_gradients=sparse_gradients,
        )
        self.resolution = resolution
        self.interpolation = interpolation
        self.include_input = include_input
        torch.nn.init.normal_(self.table, 0.0, init_std)
        strides = [resolution**axis for axis in range(in_dim)]
        self._strides: Tensor
        self.register_buffer("_strides", torch.tensor(strides).view(-1, 1, 1), persistent=False)

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        position = x.t().unsqueeze(-1) * (self.resolution - 1)  # (d, N, 1)
        # The last node belongs to the last cell. Clamped as integers, where even NaN is a number.
        cells = position.detach().floor().long().clamp(0, self.resolution - 2)
        fraction = position - cells
        if self.interpolation == "linear":
            first, weights = 0, torch.stack((1 - fraction, fraction))  # (t, d, N, 1)
        else:
            first, weights = -1, self._cubic_weights(cells, fraction)
        nodes = torch.stack([cells + first + tap for tap in range(len(weights))])
        nodes = nodes.clamp(0, self.resolution - 1)  # where it clamps, the weight is 0
        return (
            _over_nodes(torch.add, nodes * self._strides),
            _over_nodes(torch.mul, weights),
        )

    def _cubic_weights(self, cells: Tensor, f: Tensor) -> Tensor:
        """Weights (4, d, N, 1) of the nodes from one before the cell to one behind it."""
        g = 1 - f
        before, behind = -0.5 * f * g * g, -0.5 * g * f * f
        left = 1 - f * f * (2.5 - 1.5 * f)
        right = 1 - g * g * (2.5 - 1.5 * g)
        # A missing node has the value 2·(border) − (the next one inwards).
        missing = before * (cells == 0)
        before, left, right = before - missing, left + 2 * missing, right - missing
        missing = behind * (cells == self.resolution - 2)
        behind, right, left = behind - missing, right + 2 * missing, left - missing
        return torch.stack((before, left, right, behind))

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, k [+ d])
        values = super().forward(x)
        return torch.cat((values, x), dim=1) if self.include_input else values

    def grid(self) -> Tensor:
        """The values as a grid, a view: (n,) * d + (k,), first coordinate last, as images are."""
        return self.table.view(*[self.resolution] * self.in_dim, self.features)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, resolution={self.resolution}, "
            f"interpolation={self.interpolation!r}"
        )


def _over_nodes(combine: Callable[[Tensor, Tensor], Tensor], axes: Tensor) -> Tensor:
    """One value for each of the t^d nodes, combined from one an axis: (t, d, N, 1) to (t^d, N, 1).

    Digit a, base t, of a node's number says which of the t it is along axis a.
    """
    nodes = axes[:, 0]
    for axis in range(1, axes.shape[1]):
        nodes = combine(axes[:, axis].unsqueeze(1), nodes.unsqueeze(0)).flatten(0, 1)
    return nodes
