"""The coordinate MLP with a skip connection from its input, as in NeRF."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Network
from encbench.errors import ParameterError
from encbench.network.mlp import Parameterization, activation_for, check_sizes, dense_layers


class ResidualMLP(Network):
    """The coordinate MLP with the features appended again after ``skip`` hidden layers.

    The layer after these, hidden or output, has the input [γ(x), h]. NeRF has 8 hidden layers of
    256 units and ``skips=[4]``, counted from 0, which is ``skip=5`` here. Layers are initialized as
    in the network ``mlp``, not as by Keras in NeRF's code. This is not a residual network, which
    adds the input (He et al. 2016).

    Args:
        encoding, out_dim, width, depth, parameterization, beta, first_layer_scale, activation: as
            for ``encbench.CoordinateMLP``.
        skip: number of hidden layers before the features are appended, 1 to depth.

    Raises:
        ParameterError: as ``CoordinateMLP``, or skip is larger than depth.
    """

    equation = "h_{k+1} = φ(W_k [γ(x), h_k] + b_k) at k = skip, else φ(W_k h_k + b_k); h_0 = γ(x)"
    source = (
        'Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View '
        'Synthesis", ECCV 2020; bmild/nerf 14c5556, run_nerf_helpers.py, init_nerf_model'
    )

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        width: int = 256,
        depth: int = 8,
        parameterization: Parameterization = "ntk",
        beta: float = 0.1,
        first_layer_scale: Literal["fan_in", "width"] = "fan_in",
        activation: str | Activation = "auto",
        *,
        skip: Annotated[
            int, Field(ge=1, description="hidden layers before the features are appended again")
        ] = 1,
    ) -> None:
        check_sizes("resmlp", out_dim, width, depth, parameterization)
        if not 1 <= skip <= depth:
            raise ParameterError(
                f"resmlp: skip={skip} with {depth} hidden layers; give skip from 1 to {depth}, or "
                f"network.depth of at least {skip}"
            )
        super().__init__(encoding, out_dim, parameterization)
        self.skip = skip
        self.activation = activation_for(encoding, activation)
        inputs = [encoding.out_dim, *[width] * depth]
        inputs[skip] += encoding.out_dim
        self.layers: nn.Sequential = dense_layers(
            zip(inputs, [*[width] * depth, out_dim], strict=True),
            parameterization,
            beta,
            None if first_layer_scale == "fan_in" else width,
            self.activation,
        )

    def from_features(self, features: Tensor) -> Tensor:  # (N, d_e) -> (N, O)
        before = 2 * self.skip  # modules: a linear layer and an activation per hidden layer
        hidden: Tensor = self.layers[:before](features)
        out: Tensor = self.layers[before:](torch.cat((features, hidden), 1))
        return out
