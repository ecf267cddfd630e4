"""The multiresolution hash grid as defined in the Instant-NGP paper."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench_encodings._multilevel import (
    FeaturesPerLevel,
    GridLevel,
    HashedLevels,
    Levels,
    SparseGradients,
)
from encbench_encodings._tables import cells_and_places
from encbench_encodings._tiny_cuda import (
    FinestSearch,
    InitScale,
    PerLevelScale,
    TableSearch,
    finest,
    finest_resolution,
    hash_size,
)

DEFAULT_MAX_RESOLUTION = 2048


class HashGridPaper(HashedLevels):
    """Multiresolution hash grid with the Instant-NGP paper's equations; d_e = L·F.

    N_l = ⌊N_min · b^l⌋ counts *cells*, so that a level has N_l + 1 vertices per axis, vertex i at
    x = i / N_l: both borders lie on vertices. The cell is ⌊x · N_l⌋, interpolation is linear. A
    level with (N_l + 1)^d <= T = 2^log2_hashmap_size stores each vertex once, in exactly
    (N_l + 1)^d entries; finer levels share T entries by the hash ⊕_i c_i π_i mod T.

    ``hashgrid`` follows tiny-cuda-nn's code instead, which counts vertices (one cell fewer),
    staggers levels by half a cell, wraps at the border, rounds tables up to multiples of 8 and
    computes resolutions in float32. Here they are exact, so N_max is always reached. The paper
    mentions smoothstep and the half-cell offset only in its appendix; neither is implemented. The
    paper has three primes; the fourth, for d = 4, is tiny-cuda-nn's.

    Parameters: F · Σ_l min((N_l + 1)^d, T).

    Outside [0, 1] the values of the border cells are extrapolated.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of grids.
        features_per_level: F, features per entry.
        log2_hashmap_size: log2 T.
        base_resolution: N_min, cells per axis of level 0.
        per_level_scale: b, ratio of the resolutions of successive levels.
        max_resolution: N_max, cells per axis of the finest level, instead of
            b = (N_max / N_min)^(1 / (L − 1)); 2048 if neither is given.
        init_scale: entries start as U(−init_scale, init_scale).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: per_level_scale and max_resolution are both given, max_resolution is below
            base_resolution, or one level has two resolutions.
    """

    size_parameters = ("log2_hashmap_size", "levels", "max_resolution")
    equation = "γ(x) = [Σ_c w_c(x) · θ_l[(⊕_i c_i π_i) mod T]] for l < L, c the corners of ⌊x N_l⌋"
    source = (
        'Müller, Evans, Schied, Keller, "Instant Neural Graphics Primitives with a '
        'Multiresolution Hash Encoding", SIGGRAPH 2022, Eq. 2 to 4'
    )

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Levels = 16,
        features_per_level: FeaturesPerLevel = 2,
        log2_hashmap_size: Annotated[int, hash_size(1), TableSearch] = 19,
        base_resolution: Annotated[
            int, Field(ge=1, description="N_min, cells per axis, coarsest level")
        ] = 16,
        per_level_scale: PerLevelScale = None,
        max_resolution: Annotated[int | None, finest(DEFAULT_MAX_RESOLUTION), FinestSearch] = None,
        init_scale: InitScale = 1e-4,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        resolutions = cells_of_levels(levels, base_resolution, per_level_scale, max_resolution)
        size = 2**log2_hashmap_size
        plan = [
            GridLevel(cells, cells + 1, min(count, size), count > size)
            for cells in resolutions
            for count in [(cells + 1) ** in_dim]
        ]
        super().__init__(in_dim, plan, features_per_level, init_scale, sparse_gradients)
        self.resolutions = resolutions
        self._cells = nn.Buffer(torch.tensor(resolutions), persistent=False)
        self._keep_plan_for_kernels(resolutions, [cells - 1 for cells in resolutions])

    def cells_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # The last vertex belongs to the last cell: no corner lies outside the grid.
        return cells_and_places(x.t().unsqueeze(-1) * self._cells.to(x.dtype), self._cells - 1)


def cells_of_levels(
    levels: int, lowest: int, growth: float | None, highest: int | None
) -> list[int]:
    """⌊N_min · b^l⌋ of each level, computed exactly.

    Raises:
        ParameterError: as in ``HashGridPaper``.
    """
    highest = finest_resolution(
        "hashgrid_paper", levels, lowest, growth, highest, DEFAULT_MAX_RESOLUTION
    )
    if growth is not None:
        factor = Fraction(repr(float(growth)))  # 1.1 as it is written, not as it is stored
        return [math.floor(lowest * factor**level) for level in range(levels)]
    steps = max(levels - 1, 1)
    # N <= N_min (N_max / N_min)^(l / steps)  is  N^steps <= N_min^(steps − l) N_max^l
    return [_root(lowest ** (steps - level) * highest**level, steps) for level in range(levels)]


def _root(value: int, degree: int) -> int:
    """The largest integer r with r^degree <= value, for value >= 1."""
    found = 0
    for shift in range(value.bit_length() // degree, -1, -1):
        if (found + (1 << shift)) ** degree <= value:
            found += 1 << shift
    return found
