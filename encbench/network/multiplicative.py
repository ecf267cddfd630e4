"""Multiplicative filter networks: FourierNet and GaborNet."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Network, is_identity
from encbench.contracts.search import Search
from encbench.network.mlp import check_sizes
from encbench.plugins.parameters import Positive

InputScale = Annotated[
    Positive,
    Field(description="largest initial frequency [rad/unit], times √d_e"),
    Search(32, 512, log=True),
]
WeightScale = Annotated[
    Positive, Field(description="initial variance of a hidden layer's weights, times 3n")
]


class FilterNetwork(Network):
    """h_0 = g_0(v), h_k = g_k(v) ∘ (W_k h_{k−1} + b_k), f = W h_D + b, for filters g_0 … g_D of v.

    v = 2x − 1, as published, if the encoding is the identity; else v are the features.
    """

    source = (
        'Fathony, Sahu, Willmott, Kolter, "Multiplicative Filter Networks", ICLR 2021; '
        "boschresearch/multiplicative-filter-networks 58c3c4d, mfn/mfn.py"
    )
    usual_rate = 2.0  # the authors train images with Adam at 0.01

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int,
        depth: int,
        made_filter: Callable[[], nn.Module],
        weight_scale: float,
    ) -> None:
        check_sizes(type(self).__name__.lower(), out_dim, width, depth, "standard")
        super().__init__(encoding, out_dim)
        self.centred = is_identity(encoding)
        self.linear = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.output_linear = nn.Linear(width, out_dim)
        for layer in self.linear:
            bound = math.sqrt(weight_scale / width)
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type] # a Linear's is a tensor
        self.filters = nn.ModuleList(made_filter() for _ in range(depth + 1))

    def from_features(self, features: Tensor) -> Tensor:  # (N, d_e) -> (N, O)
        v = 2 * features - 1 if self.centred else features
        first, *others = self.filters
        hidden = first(v)
        for filtered, linear in zip(others, self.linear, strict=True):
            hidden = filtered(v) * linear(hidden)
        out: Tensor = self.output_linear(hidden)
        return out


class FourierFilter(nn.Module):
    """sin(Ω v + φ)."""

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        with torch.no_grad():
            self.linear.weight.mul_(scale)
        nn.init.uniform_(self.linear.bias, -math.pi, math.pi)

    def forward(self, v: Tensor) -> Tensor:  # (N, d_e) -> (N, width)
        return torch.sin(self.linear(v))


class GaborFilter(nn.Module):
    """sin(Ω v + φ) exp(−γ ‖v − μ‖²/2)."""

    def __init__(
        self, in_features: int, out_features: int, scale: float, alpha: float, beta: float
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.mu = nn.Parameter(2 * torch.rand(out_features, in_features) - 1)
        shape = torch.full((out_features,), alpha)
        # torch cannot sample gamma variables on the device "meta"
        drawn = shape if shape.is_meta else torch.distributions.Gamma(shape, beta).sample()
        self.gamma = nn.Parameter(drawn)
        with torch.no_grad():
            self.linear.weight.mul_(scale * drawn.sqrt().unsqueeze(1))
        nn.init.uniform_(self.linear.bias, -math.pi, math.pi)

    def forward(self, v: Tensor) -> Tensor:  # (N, d_e) -> (N, width)
        squares = v.square().sum(1, keepdim=True) + self.mu.square().sum(1) - 2 * v @ self.mu.T
        return torch.sin(self.linear(v)) * torch.exp(-0.5 * squares * self.gamma)


class FourierNet(FilterNetwork):
    """Products of sines of the input, with linear layers between them.

    ``depth`` linear layers and depth + 1 filters, all with learned weights and phases. With the
    encoding ``identity`` this is the published network with the input 2x − 1 in [−1, 1]^d; with
    another encoding, the filters act on its features. A sum of products of sines is a sum of sines
    with frequencies up to (depth + 1) times those of a filter.

    Initial values: Ω ~ U(±input_scale/√(d_e (depth + 1))), φ ~ U(±π),
    W_k ~ U(±√(weight_scale/width)), the others as in ``nn.Linear``. The authors' input_scale of
    256 [rad per unit of 2x − 1] is for images of 256 × 256 pixels; use the side of your image.

    Args:
        encoding, out_dim, width, depth: as for ``encbench.CoordinateMLP``.
        input_scale: see above.
        weight_scale: see above.
    """

    equation = "h_k = sin(Ω_k v + φ_k) ∘ (W_k h_{k−1} + b_k), h_0 = sin(Ω_0 v + φ_0), f = W h_D + b"

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int = 256,
        depth: int = 3,
        *,
        input_scale: InputScale = 256.0,
        weight_scale: WeightScale = 1.0,
    ) -> None:
        scale = input_scale / math.sqrt(depth + 1)
        made_filter = partial(FourierFilter, encoding.out_dim, width, scale)
        super().__init__(encoding, out_dim, width, depth, made_filter, weight_scale)


class GaborNet(FilterNetwork):
    """Products of sines under Gaussian windows, with linear layers between them.

    Like the network ``fouriernet``, but each filter is multiplied by exp(−γ ‖v − μ‖²/2) with
    learned centres and widths. Initially μ ~ U(±1) per coordinate, γ ~ Gamma(alpha/(depth + 1),
    rate beta), and Ω is multiplied by √γ, so that narrow windows have high frequencies.

    Args:
        encoding, out_dim, width, depth: as for ``encbench.CoordinateMLP``.
        input_scale, weight_scale: as for ``fouriernet``.
        alpha: shape of the gamma distribution, times depth + 1.
        beta: rate of the gamma distribution.
    """

    equation = "h_k = sin(Ω_k v + φ_k) exp(−γ_k ‖v − μ_k‖²/2) ∘ (W_k h_{k−1} + b_k), f = W h_D + b"

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int = 256,
        depth: int = 3,
        *,
        input_scale: InputScale = 256.0,
        weight_scale: WeightScale = 1.0,
        alpha: Annotated[
            float, Field(ge=1e-3, le=1e6, description="shape of γ's distribution")
        ] = 6.0,
        beta: Annotated[Positive, Field(description="rate of γ's distribution")] = 1.0,
    ) -> None:
        scale, shape = input_scale / math.sqrt(depth + 1), alpha / (depth + 1)
        made_filter = partial(GaborFilter, encoding.out_dim, width, scale, shape, beta)
        super().__init__(encoding, out_dim, width, depth, made_filter, weight_scale)
