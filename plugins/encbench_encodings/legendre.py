"""Legendre polynomials of each coordinate."""

from __future__ import annotations

from torch import Tensor

from encbench_encodings import _polynomials
from encbench_encodings._polynomials import PolynomialFeatures, SearchedDegree


class LegendreFeatures(PolynomialFeatures):
    """Legendre polynomials P_0 to P_K of each coordinate; d_e = d(K + 1).

    Coordinates are scaled to [−1, 1], v = 2x − 1. The polynomials are orthogonal but *not*
    normalized: P_k(1) = 1, |P_k| ≤ 1, and the mean square of P_k is 1/(2k + 1), so high degrees
    are small except near the ends. There are no products over coordinates. Order: coordinate, then
    degree. P_0 = 1 occurs once per coordinate. No learned parameters.

    Outside [0, 1] the polynomials are extrapolated, and grow like (2|v|)^K.

    Args:
        in_dim: d, 1 to 4.
        degree: K, highest degree.
    """

    equation = "γ(x) = [P_k(2x_i − 1)] for i < d, k ≤ K"
    source = (
        'Abramowitz, Stegun, "Handbook of Mathematical Functions", National Bureau of Standards, '
        "1964, section 22.7"
    )
    bibtex = """\
@book{abramowitz1964handbook,
  title = {Handbook of Mathematical Functions with Formulas, Graphs, and Mathematical Tables},
  editor = {Abramowitz, Milton and Stegun, Irene A.},
  publisher = {National Bureau of Standards},
  year = {1964}
}"""

    def __init__(self, in_dim: int, *, degree: SearchedDegree = 16) -> None:
        super().__init__(in_dim, degree)

    def polynomials(self, v: Tensor) -> Tensor:
        return _polynomials.legendre(v, self.degree)
