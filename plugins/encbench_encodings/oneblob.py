"""One-blob encoding: the mass of a kernel around each coordinate in equal bins."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, Search
from encbench.errors import check_choice
from encbench_encodings._constants import at_least_float32


class OneBlob(Encoding):
    """One-blob encoding: a kernel around x, integrated over each of k bins; d_e = dk.

    A soft one-hot code of each coordinate: bin i of k is the kernel's mass in [i/k, (i + 1)/k].
    Two conventions, which differ in the kernel and at the borders:

    - "tiny-cuda-nn" (default): the quartic kernel 15/16 (1 − u²)², u = k(t − x), whose support is
      one bin on each side of x. The domain is periodic: mass beyond one border is added at the
      other, so that the features of each coordinate sum to 1.
    - "paper": a Gaussian with σ = 1/k; mass outside the domain is lost.

    Order: coordinate, then bin. No learned parameters. tiny-cuda-nn requires a power of two for
    the number of bins; here it is arbitrary.

    Outside [0, 1] the features of "tiny-cuda-nn" are periodic from −1 + 1/k to 2 − 1/k and
    decrease to 0 beyond; those of "paper" decrease to 0 as the kernel leaves the domain.

    Args:
        in_dim: d, 1 to 4.
        bins: k, bins per coordinate; default as in tiny-cuda-nn.
        convention: see above.

    Raises:
        ParameterError: the convention is unknown.
    """

    equation = "γ(x) = [∫ κ(t − x) dt over bin i] for i < k, κ a kernel of width 1/k"
    source = (
        'Müller, McWilliams, Rousselle, Gross, Novák, "Neural Importance Sampling", '
        "ACM Transactions on Graphics 38(5), 2019, section 4.3; NVlabs/tiny-cuda-nn"
    )
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        bins: Annotated[
            int, Field(ge=2, description="k, bins per coordinate"), Search(8, 128, log=True)
        ] = 16,
        convention: Annotated[
            Literal["tiny-cuda-nn", "paper"],
            Field(description="quartic kernel, periodic; or Gaussian kernel, not periodic"),
        ] = "tiny-cuda-nn",
    ) -> None:
        check_choice("oneblob: convention", convention, ("tiny-cuda-nn", "paper"))
        super().__init__(in_dim, out_dim=in_dim * bins)
        self.bins = bins
        self.convention = convention

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d * k)
        point = at_least_float32(x)
        borders = torch.arange(self.bins + 1, dtype=point.dtype, device=x.device)
        u = borders - self.bins * point.unsqueeze(2)  # (N, d, k + 1), in bins
        if self.convention == "paper":
            mass: Tensor = torch.special.ndtr(u)
        else:
            around = (u - self.bins, u, u + self.bins)
            mass = sum((_quartic_cdf(part) for part in around), torch.zeros_like(u))
        return mass.diff(dim=2).flatten(1).to(x.dtype)


def _quartic_cdf(u: Tensor) -> Tensor:
    """Integral of 15/16 (1 − v²)² from −1 to u: 0 below −1, 1 above 1."""
    v = u.clamp(-1, 1)
    square = v * v
    return 0.5 + 0.9375 * v * (1 - square * (2 / 3 - square / 5))
