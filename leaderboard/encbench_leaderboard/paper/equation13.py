"""Theorem 1 as the paper words it, and the equation behind it, on kernels with the same weights.

The paper compares a network on grid features with the network without an encoding: Eq. 13 says that
K = K₀ + K⁺, where K₀ is the kernel without the grids and K⁺ the sum over levels and features of
positive semi-definite matrices, the parts of the grids' parameters. It follows that no eigenvalue
of K is below that of K₀. The rest R = K − K₀ − K⁺ is not 0: the first layer has weights for the
features, which change which units of later layers are on, and so the part of every other weight.
Here K₀ is the kernel of the same network with the grids' features set to 0, so that all weights are
the same. Features are then switched on one after another, level by level.

This is not Weyl's inequality, which holds for the two parts of one kernel and cannot fail.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from encbench import Encoding, SparseBlock
from encbench.errors import NtkError
from encbench.network.mlp import CoordinateMLP
from encbench.ntk import empirical_ntk, kernel_by_level, spectrum


@dataclass(frozen=True)
class Remainder:
    """R of one feature, or of all of them together."""

    level: int | None
    """From 0; None for all features together."""
    feature: int | None
    """From 0 in each level; None for all features together."""
    apart: float
    """‖R‖ / ‖K‖, Frobenius norms."""
    negative: float
    """Smallest eigenvalue of R in units of λ_max(K); 0 if none is negative."""


@dataclass(frozen=True)
class Equation13:
    """One kernel: how far from an identity Eq. 13 is, and whether Theorem 1 holds as worded."""

    encoding: str
    target: str
    when: Literal["start", "end"]
    points: int
    above: int
    """Number of indices i with λ_i(K₀) > λ_i(K) by more than the sum of both floors."""
    remainders: tuple[Remainder, ...]
    """R of each feature, from the kernel before it is switched on; last, R of all of them."""


class _Only(Encoding):
    """An encoding with some features switched on and the others set to 0."""

    on: Tensor

    def __init__(self, encoding: Encoding, on: Tensor) -> None:
        super().__init__(encoding.in_dim, encoding.out_dim)
        self.inner = encoding
        self.register_buffer("on", on)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.inner(x)
        return features * self.on.to(features.dtype)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = self.inner.sparse_jacobian(x) or ()
        on = self.on.to(x.dtype).expand(len(x), -1)
        return [
            replace(b, parameter=f"inner.{b.parameter}", factor=on[:, b.start : b.start + b.width])
            for b in blocks
        ]


def remainders(model: CoordinateMLP, x: Tensor) -> tuple[int, tuple[Remainder, ...]]:
    """Return the number of indices at which Theorem 1 fails, and R of each feature and of all.

    Args:
        model: network on grids whose ``sparse_jacobian`` describes all of their parameters.
        x: (N, d) in [0, 1].

    Raises:
        NtkError: the encoding is not a grid.
    """
    model, x = deepcopy(model).double(), x.double()
    with torch.no_grad():
        blocks = model.encoding.sparse_jacobian(x)
    if not blocks or any(block.factor is not None for block in blocks):
        raise NtkError("Eq. 13 is about grids; this encoding has none")
    places = [(level, k) for level, block in enumerate(blocks) for k in range(block.width)]
    on = torch.ones(model.encoding.out_dim, dtype=torch.bool)
    for block in blocks:
        on[block.start : block.start + block.width] = False

    def kernels() -> tuple[Tensor, list[Tensor]]:
        """Return the part of K without the grids' parameters, and the part of each feature."""
        masked = deepcopy(model)
        masked.encoding = _Only(masked.encoding, on.clone())
        by_feature = {p.features: p.kernel for p in kernel_by_level(masked, x, by="feature")}
        columns = [blocks[level].start + k for level, k in places]
        parts = [by_feature[range(column, column + 1)] for column in columns]
        return empirical_ntk(masked, x, parts=("mlp",)).parts["mlp"], parts

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


def _remainder(level: int | None, feature: int | None, rest: Tensor, total: Tensor) -> Remainder:
    values = torch.linalg.eigvalsh(rest)
    largest = float(torch.linalg.matrix_norm(total, 2))
    apart = float(torch.linalg.matrix_norm(rest) / torch.linalg.matrix_norm(total))
    return Remainder(level, feature, apart, min(0.0, float(values[0]) / largest))
