"""BACON: a multiplicative filter network whose outputs are band-limited."""

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
    """Products of sines with fixed integer frequencies, so that each output is band-limited.

    The frequencies of filter j are random integers k in [−K_j, K_j]^d, in cycles over [0, 1], with
    K_j = round(bandwidth · scales_j/2). They are not learned; phases and linear layers are.
    Whatever the parameters, the output at layer i has no frequency above K_0 + … + K_i along any
    axis (``bands``) and has period 1. The encoding must be ``identity``; the network centres x to
    the published input, [−1/2, 1/2]^d.

    ``outputs`` lists the layers with an output of their own; the last output is f. Training
    minimizes the mean of their losses, each against the full target. The authors' option
    ``reuse_filters``, which shares filters between layers, is not implemented.

    Initial values: φ ~ U(±π), weights U(±√(6/width)), biases as in ``nn.Linear``.

    Args:
        encoding, out_dim, width, depth: as for ``encbench.CoordinateMLP``.
        bandwidth: number of samples over [0, 1] along an axis: twice the largest frequency of f, up
            to rounding, if the scales sum to 1.
        scales: share of the bandwidth of each of the depth + 1 filters; default: 1/(depth + 1).
        outputs: increasing numbers of layers with an output, ending with depth; default: [depth].

    Raises:
        ParameterError: another encoding, scales or outputs that do not fit depth, or all
            frequencies are 0.
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
                "bacon: the network is not band-limited with the encoding "
                f"{type(encoding).__name__}; use the encoding identity, or the network fouriernet"
            )
        shares = [1 / (depth + 1)] * (depth + 1) if scales is None else scales
        if len(shares) != depth + 1:
            raise ParameterError(
                f"bacon: {len(shares)} scales for {depth + 1} filters; give depth + 1 of them"
            )
        layers = [depth] if outputs is None else outputs
        if layers != sorted({*layers}) or layers[-1:] != [depth] or layers[0] < 1:
            raise ParameterError(
                f"bacon: outputs={layers}, expected increasing numbers of layers from 1 that end "
                f"with {depth}, the network's depth"
            )
        super().__init__(encoding, out_dim)
        largest = [round(bandwidth * share / 2) for share in shares]
        if not any(shares):
            raise ParameterError("bacon: scales are all 0; give at least one above 0")
        if not any(largest):
            raise ParameterError(
                f"bacon: bandwidth={bandwidth:g} leaves {depth + 1} filters of frequency 0; give "
                f"more than {1 / max(shares):g}"
            )
        self.outputs = layers
        self.adds_to_loss = len(layers) > 1
        self.bands = {layer: sum(largest[: layer + 1]) for layer in layers}
        """Layer with an output to the output's largest frequency along an axis [cycles]."""
        self.linear = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.heads = nn.ModuleDict({str(layer): nn.Linear(width, out_dim) for layer in layers})
        bound = math.sqrt(6 / width)
        for layer in itertools.chain(self.linear, self.heads.values()):
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type] # a Linear's is a tensor
        drawn = [torch.randint(-most, most + 1, (width, encoding.in_dim)) for most in largest]
        # integers, multiplied by 2π in x's dtype, so that float64 networks have exact frequencies
        self.register_buffer("frequencies", torch.stack(drawn).float())  # (depth + 1, width, d)
        self.phases = nn.ParameterList(
            nn.Parameter(torch.empty(width).uniform_(-math.pi, math.pi)) for _ in largest
        )

    def from_features(self, features: Tensor) -> Tensor:  # (N, d) -> (N, O)
        return self._output(features, self.outputs[-1])

    def output_at(self, x: Tensor, layer: int) -> Tensor:
        """The output (N, O) at x (N, d) of a layer in ``outputs``."""
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
    """The output of one layer as a model."""

    def __init__(self, network: Bacon, layer: int) -> None:
        super().__init__()
        self.network = network
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, O)
        return self.network.output_at(x, self.layer)
