"""Grids with the exact semantics of tiny-cuda-nn's ``GridEncoding``: hashed, dense and tiled.

These semantics are those of tiny-cuda-nn's code (NVlabs/tiny-cuda-nn at 6ee3546,
include/tiny-cuda-nn/encodings/grid.h and common_device.h). The Instant-NGP paper differs: there
N_l = ⌊N_min · b^l⌋ counts cells, without the −1 below, and a level is one-to-one if
(N_l + 1)^d <= T. torch-ngp (which allocates (N_l + 1)^d) and nerfstudio's fallback (no half-cell
offset, every level hashed) differ too.

Level l of L, with growth b:

    scale_l      = exp2(l · log2 b) · N_min − 1           in float32, see ``level_scale``
    resolution_l = ⌈scale_l⌉ + 1                          vertices per axis
    position     = x · scale_l + 0.5                      cell = ⌊position⌋, fraction = the rest
    corners      = cell + {0, 1}^d                        not clamped, so that corners beyond the
                                                          last vertex wrap to other vertices
    entries_l    = resolution_l^d rounded up to a multiple of 8, at most the encoding's cap
    index        = (x + y · resolution + z · resolution² + …) mod entries,
                   or, hashed, (x · 1 ⊕ y · 2654435761 ⊕ z · 805459861 ⊕ …) mod entries in uint32

This holds in [0, 1]. Outside, tiny-cuda-nn wraps to other cells; here the border cell's polynomial
is extrapolated, as in all grids of this package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import ParameterError, Search
from encbench.errors import check_choice
from encbench.plugins.parameters import InitialSpread
from encbench_encodings._multilevel import GridLevel, HashedLevels
from encbench_encodings._tables import cells_and_places

BaseResolution = Annotated[int, Field(ge=1, description="N_min, vertices per axis, coarsest level")]
PerLevelScale = Annotated[
    float | None,
    Field(ge=1, description="b, growth of the resolution from level to level; or max_resolution"),
]
Interpolation = Annotated[
    Literal["nearest", "linear", "smoothstep"],
    Field(description="between vertices; smoothstep has a continuous derivative in x"),
]
InitScale = Annotated[InitialSpread, Field(description="entries start uniform in ± this")]

ALIGNMENT = 8
MAX_ENTRIES = 2**31 - 1
HALF_CELL = 0.5
"""Offset of positions [cells]."""

FinestSearch = Search(64, 1024, log=True)
TableSearch = Search(12, 19)


def finest(default: int | str) -> Any:
    """The field of ``max_resolution``, with its default if per_level_scale is not given."""
    what = f"N_max at the finest level ({default}), b follows from it; or per_level_scale"
    return Field(ge=1, description=what)


def hash_size(smallest: int) -> Any:
    """The field of ``log2_hashmap_size``."""
    return Field(ge=smallest, le=30, description="log2 T, T entries of a level at most")


def level_scale(level: int, growth: float, base_resolution: int) -> float:
    """exp2(level · log2 growth) · base_resolution − 1, each step rounded to float32.

    The rounding is part of the semantics: 16 → 1024 over 16 levels ends at 1025 vertices. exp2
    and log2 are rounded from float64, as in accurate C libraries, so that resolutions do not
    depend on a platform's float32 approximation.
    """
    log2_growth = np.float32(math.log2(np.float32(growth)))
    factor = np.float32(2.0 ** float(np.float32(level) * log2_growth))
    return float(factor * np.float32(base_resolution) - np.float32(1.0))


def finest_resolution(
    name: str,
    levels: int,
    base_resolution: int,
    per_level_scale: float | None,
    max_resolution: int | None,
    default: int,
) -> int:
    """N_max, which determines the growth b unless ``per_level_scale`` is given.

    Raises:
        ParameterError: both are given, b is below 1 or leads to more than 2^31 vertices per axis,
            the finest resolution is below the coarsest, or one level has two resolutions.
    """
    if per_level_scale is not None:
        if max_resolution is not None:
            raise ParameterError(
                f"{name}: per_level_scale={per_level_scale} and max_resolution={max_resolution} "
                "both set the finest resolution; give one of them"
            )
        if per_level_scale < 1:
            raise ParameterError(
                f"{name}: per_level_scale={per_level_scale} is below 1; levels go from coarse to "
                "fine, give at least 1"
            )
        if math.log2(base_resolution) + (levels - 1) * math.log2(per_level_scale) > 31:
            raise ParameterError(
                f"{name}: with per_level_scale={per_level_scale:g} level {levels - 1} has over "
                "2^31 vertices per axis; lower per_level_scale, base_resolution or levels"
            )
        return base_resolution
    if levels == 1:
        if max_resolution not in (None, base_resolution):
            raise ParameterError(
                f"{name}: levels=1 has base_resolution={base_resolution} and no "
                f"max_resolution={max_resolution}; set base_resolution, or ask for more levels"
            )
        return base_resolution
    highest = default if max_resolution is None else max_resolution
    if highest < base_resolution:
        raise ParameterError(
            f"{name}: max_resolution={highest} is below base_resolution={base_resolution}; "
            "raise max_resolution or lower base_resolution"
        )
    return highest


def plan_levels(
    name: str,
    in_dim: int,
    levels: int,
    base_resolution: int,
    per_level_scale: float | None,
    max_resolution: int | None,
    *,
    default: int,
    cap: int = MAX_ENTRIES,
    hashed: bool = False,
) -> list[GridLevel]:
    """The levels of a grid, each with at most ``cap`` entries.

    Raises:
        ParameterError: as ``finest_resolution``, or a level that is not hashed has 2^31 vertices
            or more. In tiny-cuda-nn vertices of such a level share at most 2^31 entries; above
            about 2^32 (MAX_BASES: 65535 per axis in 2D, 1625 in 3D, 255 in 4D) all read entry 0.
    """
    highest = finest_resolution(
        name, levels, base_resolution, per_level_scale, max_resolution, default
    )
    if per_level_scale is None:
        steps = max(levels - 1, 1)
        per_level_scale = math.exp(math.log(highest / base_resolution) / steps)
    plan = []
    for level in range(levels):
        scale = level_scale(level, per_level_scale, base_resolution)
        resolution = math.ceil(scale) + 1
        vertices = resolution**in_dim
        if vertices > MAX_ENTRIES and not hashed:
            raise ParameterError(
                f"{name}: level {level} has {resolution}^{in_dim} vertices, at most {MAX_ENTRIES} "
                "can be indexed; lower max_resolution, per_level_scale or levels"
            )
        entries = min(math.ceil(vertices / ALIGNMENT) * ALIGNMENT, cap)
        plan.append(GridLevel(scale, resolution, entries, hashed and vertices > entries))
    return plan


class TinyCudaGrid(HashedLevels):
    """Base class of tiny-cuda-nn's grids; this module's docstring has their semantics.

    d is 1 to 4 (in tiny-cuda-nn 2 to 4); the number of features is arbitrary.
    """

    equation = "γ(x) = [Σ_c w_c(x) · θ_l[Σ_i c_i N_l^i mod entries_l]] for l < L, c corners of x"
    source = (
        'Müller, Evans, Schied, Keller, "Instant Neural Graphics Primitives with a '
        'Multiresolution Hash Encoding", SIGGRAPH 2022; semantics of NVlabs/tiny-cuda-nn'
    )

    def __init__(
        self,
        in_dim: int,
        plan: Sequence[GridLevel],
        features_per_level: int,
        interpolation: Literal["nearest", "linear", "smoothstep"],
        init_scale: float,
        sparse_gradients: bool,
    ) -> None:
        # An unknown value would be treated as linear.
        choices = ("nearest", "linear", "smoothstep")
        check_choice(f"{type(self).__name__}: interpolation", interpolation, choices)
        super().__init__(in_dim, plan, features_per_level, init_scale, sparse_gradients)
        self.interpolation = interpolation
        scales = np.array([level.scale for level in plan], np.float32)
        self._scales = nn.Buffer(torch.tensor(scales), persistent=False)
        last = (scales + np.float32(HALF_CELL)).astype(int).tolist()
        self._keep_plan_for_kernels(scales.tolist(), last, HALF_CELL)

    def cells_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # float32 numbers are exact in float64, so both precisions have the same grid.
        scales = self._scales.to(x.dtype)
        # Clamped to the cells of [0, 1]; indices of other cells would be wrong.
        position = x.t().unsqueeze(-1) * scales + HALF_CELL
        return cells_and_places(position, (scales + HALF_CELL).long())
