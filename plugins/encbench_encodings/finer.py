"""The first layer of FINER: learned sines whose frequency grows with their argument."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from encbench import Search
from encbench.network.activations.periodic import Finer
from encbench.plugins.parameters import NotNegative, Positive
from encbench_encodings._first_layer import Features, FirstLayer, Omega0


class FinerEncoding(FirstLayer):
    """First layer of FINER, sin(ω0 (|z| + 1) z) with z = W(2x − 1) + b; d_e = m.

    The wider the range of the biases, the higher the available frequencies; for |z| much below 1
    the features are SIREN's. The default activation of the hidden layers is the same.

    Coordinates are scaled to [−1, 1]. W starts as U(±1/d), b as U(±k): the authors tune k for
    each signal; the default in their code is that of ``nn.Linear``, 1/√d. The derivative is exact;
    by default, their code treats |z| + 1 as a constant in the backward pass. In NTK
    parameterization of the network the learned parameters are ω0 W and ω0 b, see ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        omega: ω0, frequency of this layer.
        bias_range: k, biases start as U(±k). None: 1/√d.
        hidden_omega: ω of the hidden layers.
    """

    equation = "γ(x) = sin(ω0 (|z| + 1) z), z = W(2x − 1) + b, W ~ U(±1/d), b ~ U(±k), learned"
    source = (
        'Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit NEural Representation by '
        'Variable-periodic Activation Functions", CVPR 2024, section 3'
    )
    activation = Finer()

    def __init__(
        self,
        in_dim: int,
        *,
        features: Features = 256,
        omega: Annotated[Omega0, Search(5, 30)] = 30.0,
        bias_range: Annotated[
            NotNegative | None, Field(description="k, biases start as U(±k) (1/√d)")
        ] = None,
        hidden_omega: Annotated[
            Positive, Field(description="ω of the hidden layers")
        ] = Finer.omega,
    ) -> None:
        super().__init__(in_dim, features, Finer(omega), omega)
        self.activation = Finer(hidden_omega)
        nn.init.uniform_(self.linear.weight, -1 / in_dim, 1 / in_dim)
        if bias_range is not None:
            nn.init.uniform_(self.linear.bias, -bias_range, bias_range)
