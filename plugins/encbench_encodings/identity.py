"""The coordinates themselves: the baseline for all encodings."""

from __future__ import annotations

from torch import Tensor

from encbench import Encoding


class Identity(Encoding):
    """Coordinates passed through unchanged, γ(x) = x; d_e = d.

    Outside [0, 1] the same formula is used.
    """

    equation = "γ(x) = x"
    source = "the baseline; no encoding"
    bibtex = ""
    max_dim = 4

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, out_dim=in_dim)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d)
        return x
