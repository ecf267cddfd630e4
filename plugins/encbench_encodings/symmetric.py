"""The coordinates scaled to [−1, 1], as in most publications on coordinate networks."""

from __future__ import annotations

from torch import Tensor

from encbench import Encoding


class Symmetric(Encoding):
    """Coordinates scaled to [−1, 1], γ(x) = 2x − 1; d_e = d.

    For networks published with such coordinates and a first layer like the other layers, such as
    WIRE (activation ``complex_gabor``). Outside [0, 1] the same formula is used.
    """

    equation = "γ(x) = 2x − 1"
    source = "no encoding; coordinates as in Sitzmann et al. 2020, Saragadam et al. 2023 and others"
    bibtex = ""
    max_dim = 4

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, out_dim=in_dim)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d)
        return 2 * x - 1
