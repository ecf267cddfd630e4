"""The permutohedral lattice hash of PermutoSDF: simplices instead of cubes."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import ParameterError, Search
from encbench_encodings._multilevel import FeaturesPerLevel, Levels, MultilevelGrid, SparseGradients
from encbench_encodings._tables import InitStd

Edges = Annotated[float, Field(ge=1e-6, le=2**24)]

HASH_FACTOR = 2531011
UINT32 = 2**32


class Permutohedral(MultilevelGrid):
    """Permutohedral lattices with hashed vertices, d + 1 per point and level; d_e = L·F.

    Each level is a permutohedral lattice: triangles in 2D, tetrahedra in 3D. A point reads the
    d + 1 vertices of its simplex, weighted by its barycentric coordinates; a cubic grid reads 2^d.
    x is mapped isometrically to the hyperplane Σ_i y_i = 0 of R^(d+1) and scaled by
    √(d(d + 1)) · N_l; vertices are the integer points there whose d + 1 coordinates are all
    congruent modulo d + 1 (Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the
    Permutohedral Lattice", Eurographics 2010).

    N_l = N_min (N_max / N_min)^(l / (L − 1)), not rounded to an integer, is the number of edges per
    unit length: the shortest edges of a simplex have length 1 / N_l, so N is comparable with a
    grid's resolution. Scales are kept in float32. PermutoSDF's ``scale`` is 1 / (N_l √(d(d + 1))).

    The hash of a vertex is that of PermutoSDF's code: k = (k + y_i) · 2531011 in uint32 for its
    first d coordinates y_i, then modulo T. Here T is a power of two, every level has T entries,
    and coarse levels are hashed too. Each level is shifted by its own random vector, so that edges
    of different levels do not coincide. The shifts are uniform in the lattice's unit cell, drawn
    from torch's generator when the encoding is built, and kept in the state dict.

    Outside [0, 1] the lattice continues, with the same hash.

    Parameters: L · T · F.

    Args:
        in_dim: d, 1 to 4.
        levels: L, number of lattices (PermutoSDF: 24).
        features_per_level: F, features per entry.
        log2_hashmap_size: log2 T (PermutoSDF: 18).
        base_resolution: N_min, edges per unit length at level 0.
        max_resolution: N_max, edges per unit length at the finest level.
        shift: whether levels are shifted.
        init_std: entries start as N(0, init_std²).
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: max_resolution is below base_resolution, or one level has two resolutions.
    """

    size_parameters = ("log2_hashmap_size", "levels")
    equation = "γ(x) = [Σ_v b_v(x) · θ_l[hash(v) mod T]] for l < L, v the d + 1 vertices around x"
    source = (
        'Rosu, Behnke, "PermutoSDF: Fast Multi-View Reconstruction with Implicit Surfaces using '
        'Permutohedral Lattices", CVPR 2023'
    )
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        levels: Levels = 16,
        features_per_level: FeaturesPerLevel = 2,
        log2_hashmap_size: Annotated[
            int, Field(ge=1, le=30, description="log2 T, T entries per level"), Search(12, 19)
        ] = 14,
        base_resolution: Annotated[
            Edges, Field(description="N_min, edges per unit length, coarsest level")
        ] = 16.0,
        max_resolution: Annotated[
            Edges,
            Field(description="N_max, edges per unit length, finest level"),
            Search(64, 1024, log=True),
        ] = 512.0,
        shift: Annotated[bool, Field(description="shift each level at random")] = True,
        init_std: InitStd = 1e-5,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        if max_resolution < base_resolution:
            raise ParameterError(
                f"permutohedral: max_resolution={max_resolution} is below "
                f"base_resolution={base_resolution}; raise max_resolution or lower base_resolution"
            )
        if levels == 1 and max_resolution != base_resolution:
            raise ParameterError(
                f"permutohedral: levels=1 cannot have both base_resolution={base_resolution} and "
                f"max_resolution={max_resolution}; set both to the same value, or use more levels"
            )
        super().__init__(
            in_dim,
            entries=[2**log2_hashmap_size] * levels,
            features=features_per_level,
            sparse_gradients=sparse_gradients,
        )
        torch.nn.init.normal_(self.table, 0.0, init_std)
        steps = max(levels - 1, 1)
        self.resolutions = [
            base_resolution * (max_resolution / base_resolution) ** (level / steps)
            for level in range(levels)
        ]
        self._mask = 2**log2_hashmap_size - 1
        # Column j has j ones above −j: orthogonal columns of length √(j(j + 1)), each with sum 0.
        # In NumPy: for arithmetic on "meta" torch imports its compiler.
        resolutions = np.asarray(self.resolutions, np.float32)
        basis = np.zeros((in_dim + 1, in_dim), np.float32)
        scales = np.empty((in_dim, 1, levels), np.float32)
        for axis in range(in_dim):
            basis[: axis + 1, axis] = 1.0
            basis[axis + 1, axis] = -(axis + 1.0)
            ratio = math.sqrt(in_dim * (in_dim + 1) / ((axis + 1) * (axis + 2)))
            scales[axis, 0] = resolutions * np.float32(ratio)
        # The shortest edges from a vertex, 1 in all coordinates but one, span the lattice. They are
        # mapped back to d coordinates, where rounding of a shift cannot leave the hyperplane.
        edges = 1 - (in_dim + 1) * np.eye(in_dim, in_dim + 1, dtype=np.float32)
        flat = torch.tensor(edges @ basis / np.square(basis).sum(0))  # (d, d)
        random = torch.rand(levels, in_dim) if shift else torch.zeros(levels, in_dim)
        factors = [pow(HASH_FACTOR, in_dim - axis, UINT32) for axis in range(in_dim)]
        self._basis = nn.Buffer(torch.tensor(basis), persistent=False)  # (d + 1, d)
        self._scales = nn.Buffer(torch.tensor(scales), persistent=False)  # (d, 1, L)
        self._shifts = nn.Buffer((random @ flat).t().unsqueeze(1))  # (d, 1, L)
        self._factors = nn.Buffer(torch.tensor(factors).view(-1, 1, 1), persistent=False)

    def simplices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices around x (N, d) and barycentric coordinates.

        Returns:
            (m, m, N, L) int64: vertex, then its m = d + 1 coordinates; and (m, N, L) weights.
        """
        m = self.in_dim + 1
        scaled = x.t().unsqueeze(-1) * self._scales.to(x.dtype) + self._shifts.to(x.dtype)
        position = torch.tensordot(self._basis.to(x.dtype), scaled, dims=1) / m  # (m, N, L)
        nearest = position.detach().round()
        rest = position.detach() - nearest
        # Rank 0 is the largest remainder; ties are ordered by coordinate.
        ahead = rest.unsqueeze(0) > rest.unsqueeze(1)  # [i, j]: coordinate j before i
        order = torch.arange(m, device=x.device)
        first = (order.unsqueeze(0) < order.unsqueeze(1)).view(m, m, 1, 1)
        ties = (rest.unsqueeze(0) == rest.unsqueeze(1)) & first
        # Rounding may leave the hyperplane; coordinates with the largest rounding errors step back.
        rank = (ahead | ties).sum(1) + nearest.sum(0).long()
        correction = (rank < 0).long() - (rank >= m).long()
        # Clamped for x that are not finite; their weights are NaN.
        rank = (rank + m * correction).clamp(0, self.in_dim)
        base = nearest.long() + correction
        delta = position - base
        ranked = torch.zeros_like(delta).scatter(0, rank, delta)  # in decreasing order
        first_weight = 1 + ranked[-1:] - ranked[:1]
        weights = torch.cat((first_weight, (ranked[:-1] - ranked[1:]).flip(0)))
        remainder = order.view(m, 1, 1, 1)
        vertices = m * base + remainder - m * (rank > self.in_dim - remainder)
        return vertices, weights

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        vertices, weights = self.simplices(x)
        # In two's complement the low bits of products and sums equal those of uint32.
        keys = (vertices[:, : self.in_dim] * self._factors).sum(1)
        return keys.bitwise_and(self._mask), weights
