"""Multiresolution grid that repeats one tile, like tiny-cuda-nn's ``TiledGrid``."""

from __future__ import annotations

from typing import Annotated

from encbench_encodings import _tiny_cuda as tcnn
from encbench_encodings._multilevel import FeaturesPerLevel, Levels, SparseGradients


class TiledGrid(tcnn.TinyCudaGrid):
    """Multiresolution grid repeated over the domain, like tiny-cuda-nn's TiledGrid; d_e = L·F.

    Each level has at most N_min^d entries; finer levels repeat them, with the dense index modulo
    the number of entries. The memory is L times that of the coarsest level. Follows the code of
    tiny-cuda-nn (see ``_tiny_cuda``): the *index* x + y · resolution + … repeats, so the tiles
    are sheared unless the resolution and the number of entries share their factors.

    Outside [0, 1] the border cell's polynomial is extrapolated; tiny-cuda-nn wraps to other cells.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of grids; default as in tiny-cuda-nn.
        features_per_level: F, features per entry.
        base_resolution: N_min, vertices per axis of level 0.
        per_level_scale: b; the resolution of level l is about N_min · b^l.
        max_resolution: N_max, instead of b; if neither is given 512, or 128 in 4D, where 512^4
            vertices cannot be indexed (tiny-cuda-nn: b = 2, which ends at half a million vertices
            per axis).
        interpolation: "nearest" (no derivative in x), "linear" or "smoothstep", w²(3 − 2w).
        init_scale: entries start as U(−init_scale, init_scale).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: max_resolution is given with per_level_scale or below base_resolution, or a
            level has 2^31 vertices or more (above about 2^32, tiny-cuda-nn maps all vertices of a
            level to one entry).
    """

    size_parameters = ("base_resolution", "levels")

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Levels = 16,
        features_per_level: FeaturesPerLevel = 2,
        base_resolution: tcnn.BaseResolution = 16,
        per_level_scale: tcnn.PerLevelScale = None,
        max_resolution: Annotated[
            int | None, tcnn.finest("512, or 128 in 4D"), tcnn.FinestSearch
        ] = None,
        interpolation: tcnn.Interpolation = "linear",
        init_scale: tcnn.InitScale = 1e-4,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        plan = tcnn.plan_levels(
            "tiledgrid",
            in_dim,
            levels,
            base_resolution,
            per_level_scale,
            max_resolution,
            default=512 if in_dim < 4 else 128,
            cap=base_resolution**in_dim,
        )
        super().__init__(
            in_dim, plan, features_per_level, interpolation, init_scale, sparse_gradients
        )
