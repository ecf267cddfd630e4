"""BACON: a multiplicative filter network of bounded bandwidth at each of its outputs."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Loss, Network, is_identity
from encbench.contracts.search import Search
from encbench.errors import ParameterError
from encbench.network.mlp import check_sizes
from encbench.plugins.parameters import NotNegative, Positive


class Bacon(Network):
    """Products of sines of fixed integer frequencies, so that each output is band-limited.

    A filter's frequencies are integers k in [−K_j, K_j]^d, cycles over [0, 1], drawn once
    and not learned, K_j = round(bandwidth · scales_j/2); phases and linear layers are learned.
    The output at layer i has no frequency above K_0 + … + K_i along any axis, ``bands``, whatever
    is learned: it repeats with period 1. The encoding must be ``identity``; the network centres
    x, which is the published input, [−1/2, 1/2]^d.

    ``outputs`` names layers with an output of their own, the last of which is f. Training minimizes
    the mean of their losses, each against the whole target. Not the code's
    ``reuse_filters``, which evaluates filters once for several layers.

    φ starts as U(±π), weights as U(±√(6/width)), their biases as ``nn.Linear``'s.

    Args:
        encoding, out_dim, width, depth: as for ``encbench.CoordinateMLP``.
        bandwidth: samples over [0, 1] along an axis, twice the largest frequency of f but for
            rounding, where scales add up to 1.
        scales: shares of the filters, depth + 1 of them; 1/(depth + 1) each unless given.
        outputs: layers that have an output, rising, the last of them depth; that one unless given.

    Raises:
        ParameterError: another encoding, scales or outputs do not fit depth, or all frequencies
            are 0.
    """

    equation = (
        "h_j = sin(2π k_j·(x − ½) + φ_j) ∘ (W_j h_{j−1} + b_j), h_0 = sin(2π k_0·(x − ½) + φ_0), "
        "f_i = V_i h_i + c_i"
    )
    source = (
        'Lindell, Van Veen, Park, Wetzstein, "BACON: Band-limited Coordinate Networks for '
        'Multiscale Scene Representation", CVPR 2022; computational-imaging/bacon c691c69, '
        "modules.py, BACON and MultiscaleBACON"
    )

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int = 256,
        depth: int = 4,
        *,
        bandwidth: Annotated[
            Positive,
            Field(description="samples over [0, 1], twice the largest frequency"),
            Search(32, 512, log=True),
        ] = 128.0,
        scales: Annotated[
            list[NotNegative] | None,
            Field(description="each filter's share of the bandwidth; default 1/(depth + 1)"),
        ] = None,
        outputs: Annotated[
            list[int] | None, Field(description="layers with an output; default: the last")
        ] = None,
    ) -> None:
        check_sizes("bacon", out_dim, width, depth, "standard")
        if not is_identity(encoding):
            raise ParameterError(
                f"bacon: the encoding is {type(encoding).__name__}, behind which the network is "
                "not band-limited; take the encoding identity, or the network fouriernet"
            )
        shares = [1 / (depth + 1)] * (depth + 1) if scales is None else scales
        if len(shares) != depth + 1:
            raise ParameterError(
                f"bacon: {len(shares)} scales for {depth + 1} filters; give depth + 1 of them"
            )
        layers = [depth] if outputs is None else outputs
        if layers != sorted({*layers}) or layers[-1:] != [depth] or layers[0] < 1:
            raise ParameterError(
                f"bacon: outputs={layers}, expected rising numbers of layers from 1, the last of "
                f"them {depth}, the network's depth"
            )
        super().__init__(encoding, out_dim)
        largest = [round(bandwidth * share / 2) for share in shares]
        if not any(largest):
            raise ParameterError(
                f"bacon: bandwidth={bandwidth:g} leaves {depth + 1} filters of frequency 0; give "
                f"at least {2 * (depth + 1)}"
            )
        self.outputs = layers
        self.adds_to_loss = len(layers) > 1
        self.bands = {layer: sum(largest[: layer + 1]) for layer in layers}
        """By layer with an output, its largest frequency along an axis, cycles over [0, 1]."""
        self.linear = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.heads = nn.ModuleDict({str(layer): nn.Linear(width, out_dim) for layer in layers})
        bound = math.sqrt(6 / width)
        for layer in itertools.chain(self.linear, self.heads.values()):
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type] # a Linear's is a tensor
        drawn = [torch.randint(-most, most + 1, (width, encoding.in_dim)) for most in largest]
        # whole numbers, times 2π only in the precision of x: frequencies stay whole in float64
        self.register_buffer("frequencies", torch.stack(drawn).float())  # (depth + 1, width, d)
        self.phases = nn.ParameterList(
            nn.Parameter(torch.empty(width).uniform_(-math.pi, math.pi)) for _ in largest
        )

    def from_features(self, features: Tensor) -> Tensor:  # (N, d) -> (N, O)
        return self._output(features, self.outputs[-1])

    def output_at(self, x: Tensor, layer: int) -> Tensor:
        """The output (N, O) of a layer at x (N, d); only those in ``outputs`` have one."""
        return self._output(self.encoding(x), layer)

    def objective(self, loss: Loss, x: Tensor, y: Tensor) -> Tensor:
        losses = [loss(_Output(self, layer), x, y) for layer in self.outputs]
        return torch.stack(losses).mean()

    def _output(self, features: Tensor, layer: int) -> Tensor:
        v = features - 0.5
        frequencies = 2 * math.pi * self.get_buffer("frequencies")
        hidden = torch.sin(torch.addmm(self.phases[0], v, frequencies[0].T))
        for number in range(1, layer + 1):
            filtered = torch.sin(torch.addmm(self.phases[number], v, frequencies[number].T))
            hidden = filtered * self.linear[number - 1](hidden)
        out: Tensor = self.heads[str(layer)](hidden)
        return out


class _Output(nn.Module):
    """One of the outputs as a model."""

    def __init__(self, network: Bacon, layer: int) -> None:
        super().__init__()
        self.network = network
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, O)
        return self.network.output_at(x, self.layer)
