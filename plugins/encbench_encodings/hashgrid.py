"""The multiresolution hash grid of Instant-NGP, as in tiny-cuda-nn."""

from __future__ import annotations

from typing import Annotated

from encbench_encodings import _tiny_cuda as tcnn
from encbench_encodings._multilevel import FeaturesPerLevel, Levels, SparseGradients


class HashGrid(tcnn.TinyCudaGrid):
    """Multiresolution hash grid of Instant-NGP, with tiny-cuda-nn's indices; d_e = L·F.

    Coarse levels store every vertex; a level with more than T = 2^log2_hashmap_size vertices
    shares T entries by a spatial hash. Colliding vertices share an entry, and their gradients add.

    Follows tiny-cuda-nn's *code* exactly (see ``_tiny_cuda``): resolutions count vertices, a
    half-cell offset staggers the levels, corners beyond the last vertex wrap, and resolutions come
    from float32 arithmetic. The paper's ⌊N_min · b^l⌋, torch-ngp and nerfstudio's fallback have
    other numbers of parameters. Unlike tiny-cuda-nn, it supports d = 1, any F and float64. The
    table has the layout of tiny-cuda-nn's parameters, in rows of F.

    Outside [0, 1] the border cell's polynomial is extrapolated; tiny-cuda-nn wraps to other cells.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of grids; default as in tiny-cuda-nn.
        features_per_level: F, features per entry.
        log2_hashmap_size: log2 T.
        base_resolution: N_min, vertices per axis of level 0.
        per_level_scale: b; the resolution of level l is about N_min · b^l.
        max_resolution: N_max, instead of b = (N_max / N_min)^(1 / (L − 1)); 2048 if neither is
            given (tiny-cuda-nn: b = 2, which ends at half a million vertices per axis).
        interpolation: "nearest" (no derivative in x), "linear" or "smoothstep", w²(3 − 2w).
        init_scale: entries start as U(−init_scale, init_scale).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: per_level_scale and max_resolution are both given, or max_resolution is
            below base_resolution.
    """

    size_parameters = ("log2_hashmap_size", "levels", "max_resolution")
    equation = "γ(x) = [Σ_c w_c(x) · θ_l[(⊕_i c_i π_i) mod T]] for l < L, c the corners of x's cell"
    bibtex = """\
@article{mueller2022instant,
  title = {Instant Neural Graphics Primitives with a Multiresolution Hash Encoding},
  author = {M{\\"u}ller, Thomas and Evans, Alex and Schied, Christoph and Keller, Alexander},
  journal = {ACM Transactions on Graphics},
  volume = {41},
  number = {4},
  year = {2022},
  doi = {10.1145/3528223.3530127}
}"""

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Levels = 16,
        features_per_level: FeaturesPerLevel = 2,
        log2_hashmap_size: Annotated[int, tcnn.hash_size(3), tcnn.TableSearch] = 19,
        base_resolution: tcnn.BaseResolution = 16,
        per_level_scale: tcnn.PerLevelScale = None,
        max_resolution: Annotated[int | None, tcnn.finest(2048), tcnn.FinestSearch] = None,
        interpolation: tcnn.Interpolation = "linear",
        init_scale: tcnn.InitScale = 1e-4,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        plan = tcnn.plan_levels(
            "hashgrid",
            in_dim,
            levels,
            base_resolution,
            per_level_scale,
            max_resolution,
            default=2048,
            cap=2**log2_hashmap_size,
            hashed=True,
        )
        super().__init__(
            in_dim, plan, features_per_level, interpolation, init_scale, sparse_gradients
        )
