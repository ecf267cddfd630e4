"""Theorem 1 as the paper words it, and the equation behind it, on kernels with the same weights.

The paper compares a network behind grids with the network without an encoding: Eq. 13 says that
K = K₀ + K⁺, where K₀ is the kernel without the grids and K⁺ the sum over levels and features of
positive semi-definite matrices, the parts of the grids' parameters. From that no eigenvalue of K is
below that of K₀. The rest R = K − K₀ − K⁺ is not 0: the first layer has weights for the features,
and these change which units behind it are on, and so the part of every other weight. Here K₀ is of
the same network with the grids' features set to 0, so that all weights are the same. Features are
then let in one after another, level by level.

This is not Weyl's inequality, which holds for the two parts of one kernel and cannot fail.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from encbench import Encoding, SparseBlock
from encbench.errors import NtkError
from encbench.network.mlp import CoordinateMLP
from encbench.ntk import empirical_ntk, spectrum


@dataclass(frozen=True)
class Remainder:
    """R of one feature, or of all of them together."""

    level: int | None
    """From 0; None for all features together, likewise ``feature``."""
    feature: int | None
    apart: float
    """‖R‖ / ‖K‖, Frobenius norms."""
    negative: float
    """Smallest eigenvalue of R, in λ_max(K); 0 where there is none below 0."""


@dataclass(frozen=True)
class Equation13:
    """One kernel: how far from an identity Eq. 13 is, and whether Theorem 1 holds as worded."""

    encoding: str
    target: str
    when: Literal["start", "end"]
    points: int
    above: int
    """Indices i with λ_i(K₀) > λ_i(K), by more than both floors."""
    remainders: tuple[Remainder, ...]
    """Of each feature, beside the kernel without it; and last of all together."""

    def data(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Equation13:
        remainders = tuple(Remainder(**one) for one in data["remainders"])
        return cls(**data | {"remainders": remainders})


class _Only(Encoding):
    """Some features of an encoding, the others 0; none of its parameters is trained."""

    on: Tensor

    def __init__(self, encoding: Encoding, on: Tensor) -> None:
        super().__init__(encoding.in_dim, encoding.out_dim)
        self.inner = encoding.requires_grad_(False)
        self.register_buffer("on", on)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.inner(x)
        return features * self.on.to(features.dtype)


def remainders(model: CoordinateMLP, x: Tensor) -> tuple[int, tuple[Remainder, ...]]:
    """Indices at which Theorem 1 fails, and R of each feature and of all, at x (N, d).

    Args:
        model: behind grids whose ``sparse_jacobian`` describes all of their parameters.
        x: (N, d) in [0, 1].

    Raises:
        NtkError: the encoding is no grid.
    """
    model, x = deepcopy(model).double(), x.double()
    with torch.no_grad():
        blocks = model.encoding.sparse_jacobian(x)
    if not blocks or any(block.factor is not None for block in blocks):
        raise NtkError("Eq. 13 is about grids; this encoding has none")
    shared = [_shared(block) for block in blocks]
    places = [(level, k) for level, block in enumerate(blocks) for k in range(block.width)]
    on = torch.ones(model.encoding.out_dim, dtype=torch.bool)
    for block in blocks:
        on[block.start : block.start + block.width] = False

    def kernels() -> tuple[Tensor, list[Tensor]]:
        """K without the grids' parameters, and the part of each feature that is on."""
        masked = deepcopy(model)
        masked.encoding = _Only(masked.encoding, on.clone())
        gradients = _gradients(masked, x)
        parts = []
        for level, k in places:
            column = blocks[level].start + k
            g = gradients[:, :, column]  # (O, N)
            part = shared[level] * (g.T @ g) / len(g)
            parts.append(part if on[column] else torch.zeros_like(part))
        return empirical_ntk(masked, x, parts=()).total, parts

    stages = [kernels()]
    for level, k in places:
        on[blocks[level].start + k] = True
        stages.append(kernels())
    found = []
    for place, ((before, earlier), (after, now)) in enumerate(pairwise(stages)):
        own = now[place]
        total = after + sum(now)
        rest = total - (before + sum(earlier)) - own
        found.append(_remainder(*places[place], rest, total))
    (plain, _), (network, grids) = stages[0], stages[-1]
    total = network + sum(grids)
    found.append(_remainder(None, None, network - plain, total))
    whole, without = spectrum(total), spectrum(plain)
    larger = without.eigenvalues > whole.eigenvalues + whole.floor + without.floor
    return int(larger.sum()), tuple(found)


def _shared(block: SparseBlock) -> Tensor:
    """S Sᵀ (N, N) of a block's interpolation matrix S; entries read twice at a point add up."""
    n, m = block.rows.shape
    at = np.repeat(np.arange(n), m), block.rows.reshape(-1).numpy()
    values = block.weights.detach().double().reshape(-1).numpy()
    s = scipy.sparse.coo_array((values, at), shape=(n, block.num_rows)).tocsr()
    return torch.from_numpy((s @ s.T).toarray())


def _gradients(model: CoordinateMLP, x: Tensor) -> Tensor:
    """∂f_a(x_i) / ∂feature, (O, N, features)."""
    features = model.encoding(x).detach().requires_grad_()
    f = model.layers(features)
    columns = [
        torch.autograd.grad(f[:, a].sum(), features, retain_graph=True)[0]
        for a in range(f.shape[1])
    ]
    return torch.stack(columns)


def _remainder(level: int | None, feature: int | None, rest: Tensor, total: Tensor) -> Remainder:
    values = torch.linalg.eigvalsh(rest)
    largest = float(torch.linalg.matrix_norm(total, 2))
    apart = float(torch.linalg.matrix_norm(rest) / torch.linalg.matrix_norm(total))
    return Remainder(level, feature, apart, min(0.0, float(values[0]) / largest))
