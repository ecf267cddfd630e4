"""One layer of a Kolmogorov–Arnold network: learned B-splines of each coordinate."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy.linalg import solveh_banded
from torch import Tensor, nn
from torch.nn import functional

from encbench import Encoding, Search, SparseBlock
from encbench_encodings._constants import at_least_float32
from encbench_encodings._first_layer import Features
from encbench_encodings._tables import cells_and_places, cubic_bspline, weighted_rows


class KanBSpline(Encoding):
    """Layer of a Kolmogorov–Arnold network, a learned function of each coordinate; d_e = m.

    Unit j is Σ_i (w_ij SiLU(v_i) + Σ_k c_ijk B_k(v_i)), v = 2x − 1, B_k the G + 3 cubic B-splines
    over G equal cells of [−1, 1]. Functions of one coordinate are added, never multiplied;
    dependence on several coordinates jointly is left to the network. ``bspline_grid`` has products
    of splines.

    As in efficient-kan, but without ``spline_scaler`` (a factor of the splines per i and j, the
    paper's w_s, which changes the training, not the set of functions), and with fixed knots. The
    base w starts as U(±1/√d); initial spline values at the G + 1 knots are U(±0.05/G), with the
    coefficients of smallest norm.

    Outside [0, 1] the border cell's polynomial is extrapolated; efficient-kan's splines decrease
    to 0 within three cells.

    m d (G + 4) parameters, ``table``: G + 3 coefficients per coordinate, then the base weights of
    all coordinates. The features are linear in them.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        grid: G, cells (efficient-kan: 5).
    """

    size_parameters = ("grid", "features")
    equation = "γ(x) = Σ_i (w_i SiLU(v_i) + Σ_k c_ik B_k(v_i)), v = 2x − 1, w_i, c_ik of m learned"
    source = (
        'Liu et al., "KAN: Kolmogorov-Arnold Networks", ICLR 2025, section 2; '
        "Blealtan/efficient-kan at 7b6ce1c, src/efficient_kan/kan.py"
    )
    bibtex = """\
@inproceedings{liu2025kan,
  title = {{KAN}: {Kolmogorov-Arnold} Networks},
  author = {Liu, Ziming and Wang, Yixuan and Vaidya, Sachin and Ruehle, Fabian and
            Halverson, James and Solja{\\v{c}}i{\\'c}, Marin and Hou, Thomas Y. and Tegmark, Max},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        features: Features = 256,
        grid: Annotated[
            int, Field(ge=1, description="G, cells of the splines"), Search(5, 128, log=True)
        ] = 16,
    ) -> None:
        super().__init__(in_dim, out_dim=features)
        self.grid = grid
        self.table = nn.Parameter(torch.empty(in_dim * (grid + 4), features))
        bound = 1 / math.sqrt(in_dim)
        nn.init.uniform_(self.table[in_dim * (grid + 3) :].detach(), -bound, bound)
        if self.table.is_meta:
            return  # scipy needs values
        for axis in range(in_dim):
            noise = (torch.rand(grid + 1, features) - 0.5) * (0.1 / grid)
            begin = axis * (grid + 3)
            self.table.data[begin : begin + grid + 3] = _smallest_coefficients(noise)

    def _rows_and_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table and their weights, both (N, 5d)."""
        x = at_least_float32(x)
        rows, weights = _splines(x, self.grid)  # (N, d, 4)
        axes = torch.arange(self.in_dim, device=x.device)
        rows = rows + (axes * (self.grid + 3)).unsqueeze(1)
        base = (axes + self.in_dim * (self.grid + 3)).expand(len(x), -1)
        return (
            torch.cat((rows.flatten(1), base), dim=1),
            torch.cat((weights.flatten(1), functional.silu(2 * x - 1)), dim=1),
        )

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m)
        return weighted_rows(self.table, *self._rows_and_weights(x))

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block: all coordinates feed the same features."""
        return [SparseBlock("table", *self._rows_and_weights(x), len(self.table), 0, self.out_dim)]


def _smallest_coefficients(values: Tensor) -> Tensor:
    """Coefficients (G + 3, m) of smallest norm with which splines have values (G + 1, m) at knots.

    At knot k the spline is (c_k + 4 c_(k+1) + c_(k+2))/6. With A this map, the coefficients are
    Aᵀ(A Aᵀ)⁻¹ values, in O(G) because A Aᵀ has five diagonals.
    """
    diagonals = np.repeat(np.array([[1.0], [8.0], [18.0]]) / 36, len(values), axis=1)
    solved = solveh_banded(diagonals, values.double().cpu().numpy())
    y = functional.pad(torch.from_numpy(solved), (0, 0, 2, 2))
    return ((y[2:] + 4 * y[1:-1] + y[:-2]) / 6).to(values)


def _splines(x: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Indices and values (N, d, 4) of the splines over equal cells that are nonzero at x (N, d)."""
    cell, place = cells_and_places(x * cells, torch.full((), cells - 1, device=x.device))
    numbers = cell.unsqueeze(-1) + torch.arange(4, device=x.device)
    return numbers, cubic_bspline(place).movedim(0, -1)
