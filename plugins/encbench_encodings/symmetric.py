"""The coordinates from −1 to 1, as most publications of coordinate networks have them."""

from __future__ import annotations

from torch import Tensor

from encbench import Encoding


class Symmetric(Encoding):
    """Coordinates scaled to [−1, 1], γ(x) = 2x − 1; d_e = d.

    For networks whose publication has such coordinates and a first layer like the others, as WIRE
    does with the activation ``complex_gabor``. Outside [0, 1] the formula holds as it stands.
    """

    equation = "γ(x) = 2x − 1"
    source = "no encoding; coordinates as in Sitzmann et al. 2020, Saragadam et al. 2023 and others"
    bibtex = ""
    max_dim = 4

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, out_dim=in_dim)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d)
        return 2 * x - 1
