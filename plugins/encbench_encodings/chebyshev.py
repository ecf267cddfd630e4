"""Chebyshev polynomials of each coordinate."""

from __future__ import annotations

from torch import Tensor

from encbench_encodings import _polynomials
from encbench_encodings._polynomials import PolynomialFeatures, SearchedDegree
from encbench_encodings.cafe import PAPER


class ChebyshevFeatures(PolynomialFeatures):
    """Chebyshev polynomials of the first kind, T_0 to T_K, of each coordinate; d_e = d(K + 1).

    Coordinates are scaled to [−1, 1], v = 2x − 1; T_k(v) = cos(k arccos v) has k zeros, dense
    at both ends, and |T_k| ≤ 1. There are no products over coordinates. Order: coordinate, then
    degree. T_0 = 1 occurs once per coordinate, as in the authors' code of CAFE (where ``order`` is
    K + 1). No learned parameters; ``sl2a`` learns sums of these features.

    Outside [0, 1] the polynomials are extrapolated, and grow like (2|v|)^K.

    Args:
        in_dim: d, 1 to 4.
        degree: K, highest degree.
    """

    equation = "γ(x) = [T_k(2x_i − 1)] for i < d, k ≤ K"
    source = (
        'Ke, Xu, Wen, Wang, "Content-Aware Frequency Encoding for Implicit Neural Representations '
        "with Fourier-Chebyshev Features\", CVPR 2026 (arXiv 2603.01028), as in the authors' code"
    )
    bibtex = PAPER

    def __init__(self, in_dim: int, *, degree: SearchedDegree = 16) -> None:
        super().__init__(in_dim, degree)

    def polynomials(self, v: Tensor) -> Tensor:
        return _polynomials.chebyshev(v, self.degree)
