"""The first layer of SIREN: learned sines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from encbench import Search
from encbench.network.activations.periodic import Sine
from encbench.plugins.parameters import Positive
from encbench_encodings._first_layer import Features, FirstLayer, Omega0


class Siren(FirstLayer):
    """First layer of SIREN, sin(ω0 (W(2x − 1) + b)), for hidden layers of sines; d_e = m.

    The whole network is SIREN's if the hidden layers are sines too, which is this encoding's
    default (``network.activation = "auto"``). The suite ``as-published/siren`` has the settings of
    its authors' code.

    Coordinates are scaled to [−1, 1], for which ω0 = 30 was chosen; with coordinates in [0, 1], the
    same ω0 gives half the frequency. W starts as U(±1/d), not U(±√(6/d)/ω); b as in ``nn.Linear``,
    U(±1/√d). In NTK parameterization of the network the learned parameters are ω0 W and ω0 b, see
    ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        omega: ω0, frequency of this layer.
        hidden_omega: ω of the hidden layers; in standard parameterization only, as it cancels in
            NTK parameterization (see ``encbench.network.activations``).
    """

    equation = "γ(x) = sin(ω0 (W(2x − 1) + b)), W ~ U(±1/d) of m × d, learned"
    source = (
        'Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions", '
        "NeurIPS 2020, section 3.2; ω as in the authors' code"
    )
    activation = Sine()

    def __init__(
        self,
        in_dim: int,
        *,
        features: Features = 256,
        omega: Annotated[Omega0, Search(5, 30)] = 30.0,
        hidden_omega: Annotated[
            Positive, Field(description="ω of the hidden layers (standard parameterization)")
        ] = Sine.omega,
    ) -> None:
        super().__init__(in_dim, features, Sine(omega), omega)
        self.activation = Sine(hidden_omega)
        nn.init.uniform_(self.linear.weight, -1 / in_dim, 1 / in_dim)
