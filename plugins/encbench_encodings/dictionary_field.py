"""Dictionary fields: a coefficient grid times periodic basis grids (Factor Fields)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import ParameterError, Search, SparseBlock
from encbench.errors import check_choice
from encbench.plugins.parameters import InitialSpread, InitialValue, Positive
from encbench_encodings._constants import ConstantsKept, at_least_float32
from encbench_encodings._multilevel import NodeGrid

DEFAULT_FREQUENCIES = (2.0, 3.2, 4.4, 5.6, 6.8, 8.0)
DEFAULT_RESOLUTIONS = (16, 26, 35, 45, 54, 64)


class DictionaryField(ConstantsKept):
    """Dictionary field: coefficients c_l(x) times a basis b_l repeated f_l times; d_e = L·F.

    The coefficients are one coarse grid over the domain, with F values for each of L levels. The
    basis of level l is a separate grid that repeats f_l times per axis: it is read at γ_l(x), the
    place of x within its period.

    - "sawtooth" (default, as in the paper): γ_l(x) = f_l x mod 1. At the end of each period the
      basis jumps from one border of its grid to the other, and so do the features.
    - "triangle": every second period is reversed, which makes the features continuous.

    All grids have nodes on both borders, node i at i / (n − 1), and linear interpolation. (In the
    paper's code the coefficients' grid ends half a cell before the border.) The paper's projection
    of the products is the network's first layer here. The paper's basis starts as cosines, and the
    number of features may depend on the level; here it starts as below, with F features per level.

    Parameters: F · (L · n_c^d + Σ_l n_l^d).

    Outside [0, 1] the basis repeats, and the coefficients' border cells are extrapolated.

    Args:
        in_dim: d, 1 to 3.
        features_per_level: F, features per level.
        coefficient_resolution: n_c, nodes per axis of the coefficients.
        frequencies: L values f_l, number of periods in the domain, rounded to float32.
            Default [2, 3.2, 4.4, 5.6, 6.8, 8].
        basis_resolutions: L values n_l, nodes per axis of one period. Default 16 to 64.
        mapping: "sawtooth" or "triangle".
        coefficient_init: constant initial value of the coefficients, as in the paper.
        basis_std: the basis starts as N(0, basis_std²).

    Raises:
        ParameterError: frequencies and basis_resolutions are empty or differ in length, a
            resolution is below 2, a frequency is not above 0, or the mapping is unknown.
    """

    size_parameters = ("basis_resolutions", "coefficient_resolution"), "coefficient_resolution"
    equation = "γ(x) = [c_l(x) ∘ b_l(f_l x mod 1)] for l < L"
    source = (
        'Chen, Xu, Wei, Tang, Su, Geiger, "Factor Fields: A Unified Framework for Neural Fields '
        'and Beyond", 2023; "Dictionary Fields: Learning a Neural Basis Decomposition", '
        "SIGGRAPH 2023"
    )

    def __init__(
        self,
        in_dim: int,
        *,
        features_per_level: Annotated[int, Field(ge=1, description="F, features per level")] = 4,
        coefficient_resolution: Annotated[
            int,
            Field(ge=2, description="nodes per axis of the coefficients"),
            Search(8, 96, log=True),
        ] = 32,
        frequencies: Annotated[
            list[Positive] | None,
            Field(min_length=1, description="periods in the domain, per level (2 to 8)"),
        ] = None,
        basis_resolutions: Annotated[
            list[Annotated[int, Field(ge=2)]] | None,
            Field(min_length=1, description="nodes per axis of a period, per level (16 to 64)"),
        ] = None,
        mapping: Annotated[
            Literal["sawtooth", "triangle"],
            Field(description="how a level repeats; triangle is continuous"),
        ] = "sawtooth",
        coefficient_init: Annotated[
            InitialValue, Field(description="initial value of the coefficients")
        ] = 1.0,
        basis_std: Annotated[
            InitialSpread, Field(description="standard deviation of the initial basis")
        ] = 0.1,
    ) -> None:
        # An unknown value would be treated as triangle below.
        check_choice("dictionary_field: mapping", mapping, ("sawtooth", "triangle"))
        frequencies = list(DEFAULT_FREQUENCIES if frequencies is None else frequencies)
        resolutions = list(DEFAULT_RESOLUTIONS if basis_resolutions is None else basis_resolutions)
        if len(frequencies) != len(resolutions) or not frequencies:
            raise ParameterError(
                f"dictionary_field: {len(frequencies)} frequencies and {len(resolutions)} "
                "basis_resolutions; give equally many of each, at least one"
            )
        if min(frequencies) <= 0:
            raise ParameterError(f"dictionary_field: frequencies={frequencies} must be above 0")
        levels = len(frequencies)
        super().__init__(in_dim, out_dim=levels * features_per_level)
        self.frequencies = frequencies
        self.basis_resolutions = resolutions
        self.mapping = mapping
        self.coefficients = NodeGrid(
            in_dim, [coefficient_resolution], self.out_dim, name="coefficient_resolution"
        )
        # its coordinates are the places within the periods of all levels, L · d of them
        axes = [list(range(level * in_dim, (level + 1) * in_dim)) for level in range(levels)]
        self.basis = NodeGrid(
            levels * in_dim,
            resolutions,
            features_per_level,
            basis_std,
            axes=axes,
            name="basis_resolutions",
        )
        nn.init.constant_(self.coefficients.table, coefficient_init)
        # float32 numbers are exact in float64, so both precisions have the same periods.
        periods = torch.tensor(frequencies, dtype=torch.float32).unsqueeze(1)
        self._frequencies = nn.Buffer(periods, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * F)
        coefficients: Tensor = self.coefficients(x)
        basis: Tensor = self.basis(self._places(x))
        return coefficients * basis

    def _places(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * d), within a period
        x = at_least_float32(x)
        turns = x.unsqueeze(1) * self._frequencies.to(x.dtype)  # (N, L, d)
        period = turns.detach().floor()
        place = turns - period
        if self.mapping == "triangle":
            place = torch.where(period.remainder(2) == 1, 1 - place, place)
        return place.flatten(1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block for the coefficients and one per basis; factors are the other's values."""
        places, width = self._places(x), self.basis.features
        coefficients, basis = self.coefficients(x), self.basis(places)
        starts = range(0, self.out_dim, width)
        return [
            *self.coefficients.factor_blocks("coefficients", x, basis.unsqueeze(1), [0]),
            *self.basis.factor_blocks(
                "basis", places, coefficients.unflatten(1, (-1, width)), starts
            ),
        ]
