"""Real spherical harmonics of a direction, like tiny-cuda-nn's SphericalHarmonics."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, Search


class SphericalHarmonics(Encoding):
    """Real spherical harmonics Y_l^m of the direction v = 2x − 1, l < L; d_e = L².

    Orthonormal over the unit sphere, with the Condon-Shortley phase: Y_1 = √(3/4π) (−v_y, v_z,
    −v_x). Order: l(l + 1) + m. Only for three coordinates. No learned parameters.

    v is *not* normalized, as in tiny-cuda-nn, which expects unit vectors v as x = (v + 1)/2. Off
    the sphere, the features are the polynomials P_l^(|m|)(v_z) · Re or Im of (v_x + j v_y)^|m|,
    with P_l^(m) the m-th derivative of P_l, up to factors. In the corners of the cube they are well
    above 1.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: 3.
        degree: L, number of bands, 1 to 8 and by default 4, as in tiny-cuda-nn.
    """

    equation = "γ(x) = [Y_l^m(2x − 1)] for l < L, −l <= m <= l"
    source = (
        'Green, "Spherical Harmonic Lighting: The Gritty Details", 2003; order, signs and '
        "polynomials as in NVlabs/tiny-cuda-nn"
    )
    min_dim = 3
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        degree: Annotated[
            int, Field(ge=1, le=8, description="L, number of bands"), Search(2, 8)
        ] = 4,
    ) -> None:
        super().__init__(in_dim, out_dim=degree**2)
        self.degree = degree

    def forward(self, x: Tensor) -> Tensor:  # (N, 3) -> (N, L²)
        vx, vy, vz = (2 * x - 1).unbind(1)
        features: list[Tensor] = [vz] * self.out_dim
        real, imaginary = torch.ones_like(vz), torch.zeros_like(vz)  # of (v_x + j v_y)^m
        for m in range(self.degree):
            for band, polar in enumerate(self._polar_parts(m, vz), start=m):
                scaled = _normalization(band, m) * polar
                features[band * (band + 1) + m] = scaled * real
                if m:
                    features[band * (band + 1) - m] = scaled * imaginary
            real, imaginary = vx * real - vy * imaginary, vx * imaginary + vy * real
        return torch.stack(features, dim=1)

    def _polar_parts(self, m: int, z: Tensor) -> list[Tensor]:
        """(−1)^m d^m P_l / dz^m at z for l from m to L − 1, by the recurrence in l."""
        parts = [torch.full_like(z, (-1) ** m * math.prod(range(1, 2 * m, 2)))]
        previous = torch.zeros_like(z)
        for band in range(m + 1, self.degree):
            last = parts[-1]
            parts.append(((2 * band - 1) * z * last - (band + m - 1) * previous) / (band - m))
            previous = last
        return parts


def _normalization(band: int, m: int) -> float:
    """Factor that gives Y_l^m (for m > 0 both of its real forms) unit norm on the sphere."""
    ratio = math.factorial(band - m) / math.factorial(band + m)
    squared = (2 * band + 1) / (4 * math.pi) * ratio
    return math.sqrt(squared if m == 0 else 2 * squared)
