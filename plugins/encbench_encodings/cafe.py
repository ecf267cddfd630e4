"""CAFE: products of learned mixtures of random Fourier features."""

from __future__ import annotations

import math
from functools import reduce
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench.plugins.parameters import Positive
from encbench_encodings import _polynomials
from encbench_encodings._linear_maps import LinearMaps

PAPER = """\
@inproceedings{ke2026cafe,
  title = {Content-Aware Frequency Encoding for Implicit Neural Representations with
           {Fourier-Chebyshev} Features},
  author = {Ke, Junbo and Xu, Yangyang and Wen, You-Wei and Wang, Chao},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2026}
}"""


class Cafe(LinearMaps):
    """CAFE: the product of B linear maps of random Fourier features; d_e = m.

    φ(v) = [sin(2πFv), cos(2πFv)] with v = 2x − 1 and a fixed random matrix F (M × d), F ~ N(0, σ²).
    Each map is a dense layer with bias; the product contains sums and differences of B of the M
    frequencies. σ is in cycles per unit of v, that is twice as many cycles over the domain:
    ``gaussian_ffe`` with 2σ has the same frequencies.

    With ``chebyshev`` = n > 0, the polynomials T_0 to T_(n − 1) of each coordinate are appended to
    φ, which is CAFE+ (the authors' code: M = 88, σ = 30, n = 30, B = 3 and m equal to the number
    of features of φ, for 512 pixels).

    Weights and biases are initialized as in ``nn.Linear``, U(±1/√E) with E = 2M + dn. In NTK
    parameterization of the network the learned parameters are √E W_b, see ``_linear_maps``.

    B m (E + 1) parameters, ``maps.0.weight``, ``maps.0.bias``, ….

    Outside [0, 1] the same formula is used; polynomials grow.

    Args:
        in_dim: d, 1 to 4.
        features: m, number of features.
        frequencies: M, number of frequencies.
        sigma: σ, standard deviation of each component of a frequency.
        branches: B, number of factors of the product.
        chebyshev: n, number of polynomials of each coordinate; 0: CAFE, above 0: CAFE+.
    """

    size_parameters = ("features", "frequencies")
    equation = "γ(x) = Π_b (W_b φ(2x − 1) + b_b), φ(v) = [sin(2πFv), cos(2πFv)], W_b, b_b learned"
    source = (
        'Ke, Xu, Wen, Wang, "Content-Aware Frequency Encoding for Implicit Neural Representations '
        'with Fourier-Chebyshev Features", CVPR 2026 (arXiv 2603.01028); JunboKe0619/CAFE at '
        "8fc89f6, model.py"
    )
    bibtex = PAPER
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=1, description="m, features of each map")] = 128,
        frequencies: Annotated[int, Field(ge=1, description="M, number of frequencies")] = 64,
        sigma: Annotated[
            Positive,
            Field(description="σ of a frequency's components, in cycles over half an axis"),
            Search(1, 30, log=True),
        ] = 5.0,
        branches: Annotated[
            int, Field(ge=1, le=64, description="B, number of factors"), Search(2, 4)
        ] = 3,
        chebyshev: Annotated[
            int, Field(ge=0, le=1024, description="n, polynomials of each coordinate (CAFE+)")
        ] = 0,
    ) -> None:
        width = 2 * frequencies + in_dim * chebyshev
        maps = [nn.Linear(width, features) for _ in range(branches)]
        super().__init__(in_dim, features, maps, 1 / math.sqrt(width))
        self.sigma = sigma
        self.chebyshev = chebyshev
        self.frequencies = nn.Buffer(torch.randn(frequencies, in_dim).mul_(sigma))

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m)
        v = 2 * x - 1
        phase = 2 * math.pi * (v @ self.frequencies.to(x.dtype).t())
        parts = [phase.sin(), phase.cos()]
        if self.chebyshev:
            degrees = _polynomials.chebyshev(v, max(1, self.chebyshev - 1))
            parts.append(degrees[..., : self.chebyshev].flatten(1))
        return reduce(torch.mul, self.mapped(torch.cat(parts, dim=1)))
