"""No network: the features of an encoding, summed or combined linearly."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Loss, Network
from encbench.errors import ParameterError
from encbench.plugins.parameters import NotNegative

LEAST_SQUARE = 1e-6
"""Minimum of a node's sum of squared differences; below it the gradient is 0, as in the source."""


class Readout(Network):
    """No network: the sum of the features, or a linear layer on them.

    - ``readout="sum"``: output a is the sum of features a, a + O, a + 2O, …; the network has no
      parameters. Thus a grid with O features is trained directly, and for L levels of O features
      the sum of the levels is trained.
    - ``readout="linear"``: ``nn.Linear`` on the features, without hidden layers.

    ``tv`` adds tv · TV to the loss of each batch. TV is the sum over the encoding's grids of
    learned values of the mean over nodes i and columns c of
    √(Σ_axes (θ[i + 1 along the axis, c] − θ[i, c])²), for nodes with a successor along each axis.
    Sums below 1e-6 count as 1e-6. Differences are not divided by the distance of the nodes.

    Args:
        encoding, out_dim: as for ``encbench.CoordinateMLP``.
        readout: see above.
        tv: weight of the total variation.

    Raises:
        ParameterError: the number of features is not a multiple of O, or tv is positive and the
            encoding has no grid whose nodes each have a row of their own.
    """

    equation = "f_a(x) = Σ_j γ_{a + jO}(x), or W γ(x) + b"
    source = (
        'grids without a network, with total variation: Kim, Fridovich-Keil, "Grids Often '
        'Outperform Implicit Neural Representations", 2025; voilalab/INR-benchmark 0463b3f, '
        "models/grid.py and TV_Reg in utils.py"
    )
    usual_rate = 20.0  # the source trains grids with Adam at 0.1

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        *,
        readout: Annotated[
            Literal["sum", "linear"], Field(description="sum of the features, or a linear layer")
        ] = "sum",
        tv: Annotated[NotNegative, Field(description="weight of the grids' total variation")] = 0.0,
    ) -> None:
        super().__init__(encoding, out_dim)
        if readout == "sum" and encoding.out_dim % out_dim:
            raise ParameterError(
                f"none: the encoding's {encoding.out_dim} features cannot be summed in groups "
                f"of {out_dim}, the number of outputs; give the encoding a multiple of {out_dim} "
                "features, or take none:readout=linear"
            )
        self.linear = nn.Linear(encoding.out_dim, out_dim) if readout == "linear" else None
        self.tv = tv
        self.adds_to_loss = tv > 0
        self._grids: list[str] = []
        if not tv:
            return
        for number, grid in enumerate(encoding.learned_grids()):
            rows = grid.rows
            if rows is None or (not rows.is_meta and bool((rows < 0).any())):
                continue
            self._grids.append(grid.parameter)
            self.register_buffer(f"_rows_{number}", rows, persistent=False)
        if not self._grids or len(self._grids) < len(encoding.learned_grids()):
            raise ParameterError(
                f"none: tv={tv:g} needs grids in which each node has its own values; "
                f"{type(encoding).__name__} has no grids, or nodes share values; use an encoding "
                "such as grid or mpe, or tv=0"
            )

    def from_features(self, features: Tensor) -> Tensor:  # (N, d_e) -> (N, O)
        if self.linear is not None:
            out: Tensor = self.linear(features)
            return out
        return features.view(len(features), -1, self.out_dim).sum(1)

    def objective(self, loss: Loss, x: Tensor, y: Tensor) -> Tensor:
        return loss(self, x, y) + self.tv * self.total_variation() if self.tv else loss(self, x, y)

    def total_variation(self) -> Tensor:
        """TV of the encoding's grids, a scalar; see the class."""
        total = torch.zeros(())
        for number, name in enumerate(self._grids):
            values = self.encoding.get_parameter(name)[self.get_buffer(f"_rows_{number}")]
            axes = range(values.ndim - 1)
            inner = values[(slice(-1),) * len(axes)]
            steps = [
                values[tuple(slice(1, None) if a == axis else slice(-1) for a in axes)] - inner
                for axis in axes
            ]
            squares = torch.stack(steps).square().sum(0)
            total = total.to(squares) + squares.clamp(min=LEAST_SQUARE).sqrt().mean()
        return total
