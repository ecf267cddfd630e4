"""Multiresolution grid that repeats one tile, as tiny-cuda-nn's ``TiledGrid``."""

from __future__ import annotations

from typing import Annotated

from encbench_encodings import _tiny_cuda as tcnn
from encbench_encodings._multilevel import FeaturesPerLevel, Levels, SparseGradients


class TiledGrid(tcnn.TinyCudaGrid):
    """Multiresolution grid repeated over the domain, as tiny-cuda-nn's TiledGrid; d_e = L·F.

    No level holds more than N_min^d entries; a finer one reuses them, its dense index taken
    modulo their number. The memory is that of the coarsest level, L times. Follows the code of
    tiny-cuda-nn (see ``_tiny_cuda``): the repetition is of the *index*, x + y · resolution + …,
    so that the tiles are sheared unless entries and resolution share their factors.

    Outside [0, 1] the border cell's polynomial is extrapolated; tiny-cuda-nn wraps to other cells
    there.

    Args:
        in_dim: d, 1 to 4.
        levels: L. tiny-cuda-nn's default too.
        features_per_level: F.
        base_resolution: N_min, vertices per axis of level 0.
        per_level_scale: b; the resolution of level l is about N_min · b^l.
        max_resolution: N_max, instead of b. Neither given: 512 (tiny-cuda-nn:
            b = 2, which ends at half a million vertices per axis).
        interpolation: "nearest" (no derivative in x), "linear" or "smoothstep", w²(3 − 2w).
        init_scale: entries start as U(−init_scale, init_scale).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: max_resolution given beside per_level_scale or below base_resolution, or a
            level of 2^31 vertices or more (tiny-cuda-nn sends all vertices of such a level to
            one entry).
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
        max_resolution: Annotated[int | None, tcnn.finest(512), tcnn.FinestSearch] = None,
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
            default=512,
            cap=base_resolution**in_dim,
        )
        super().__init__(
            in_dim, plan, features_per_level, interpolation, init_scale, sparse_gradients
        )
