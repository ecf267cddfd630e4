"""Multiresolution grid that stores every vertex, like tiny-cuda-nn's ``DenseGrid``."""

from __future__ import annotations

from typing import Annotated

from encbench import Search
from encbench_encodings import _tiny_cuda as tcnn
from encbench_encodings._multilevel import FeaturesPerLevel, Levels, SparseGradients


class DenseGrid(tcnn.TinyCudaGrid):
    """Multiresolution grid with every vertex stored, like tiny-cuda-nn's DenseGrid; d_e = L·F.

    The hash grid without hashing: ``resolution^d`` entries per level, rounded up to a multiple of
    8. Follows tiny-cuda-nn's code (see ``_tiny_cuda``), so the levels are staggered by half a
    cell, and the corner beyond the last vertex of an axis wraps to the next row of the grid: near
    x = 1 an entry of the opposite border is read. ``mpe`` is the dense grid without these two.

    Outside [0, 1] the border cell's polynomial is extrapolated; tiny-cuda-nn wraps to other cells.

    Args:
        in_dim: d, 1 to 4. The memory of a level is proportional to resolution^d.
        levels: L, number of grids (tiny-cuda-nn: 16).
        features_per_level: F, features per vertex.
        base_resolution: N_min, vertices per axis of level 0.
        per_level_scale: b; the resolution of level l is about N_min · b^l.
        max_resolution: N_max, instead of b; 128 if neither is given (tiny-cuda-nn: 256).
        interpolation: "nearest" (no derivative in x), "linear" or "smoothstep", w²(3 − 2w).
        init_scale: entries start as U(−init_scale, init_scale).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: a level has 2^31 vertices or more, per_level_scale and max_resolution are
            both given, or max_resolution is below base_resolution.
    """

    size_parameters = ("max_resolution", "base_resolution"), "base_resolution"

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Levels = 8,
        features_per_level: FeaturesPerLevel = 2,
        base_resolution: tcnn.BaseResolution = 16,
        per_level_scale: tcnn.PerLevelScale = None,
        max_resolution: Annotated[int | None, tcnn.finest(128), Search(32, 192, log=True)] = None,
        interpolation: tcnn.Interpolation = "linear",
        init_scale: tcnn.InitScale = 1e-4,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        plan = tcnn.plan_levels(
            "densegrid",
            in_dim,
            levels,
            base_resolution,
            per_level_scale,
            max_resolution,
            default=128,
        )
        super().__init__(
            in_dim, plan, features_per_level, interpolation, init_scale, sparse_gradients
        )
        self.max_resolution = plan[-1].resolution
