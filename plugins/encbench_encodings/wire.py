"""The first layer of WIRE in its real form: learned Gabor wavelets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding
from encbench.activations import Gabor


class Wire(Encoding):
    """First layer of WIRE, real form: cos(ω z) exp(−(s z)²) of z = W(2x − 1) + b; d_e = m.

    *Real* form: WIRE itself is complex, exp(jωz − |s z|²) with complex weights behind the first
    layer, and loses half of its units for it. This is the wavelet's real part. Nor is it the real
    layer of the authors' code, which takes frequency and width from two linear maps.

    Coordinates are brought to [−1, 1]. W and b start as ``nn.Linear``'s, U(±1/√d). The hidden
    layers are expected to be the same wavelet, with the same ω and s. This first layer is in
    standard parameterization whatever the network's is.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        omega: ω, of this layer and the hidden ones.
        scale: s, likewise; at 0 nothing but the cosine is left.
    """

    equation = "γ(x) = cos(ω z) exp(−(s z)²), z = W(2x − 1) + b, learned"
    source = (
        'Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023, real part; '
        "ω and s as Liu et al., CVPR 2024, set them"
    )
    max_dim = 4
    activation = Gabor()

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=1, description="m, units of the layer")] = 256,
        omega: Annotated[float, Field(gt=0, description="ω, frequency, all layers")] = Gabor.omega,
        scale: Annotated[
            float, Field(ge=0, description="s, inverse width of the Gaussian, all layers")
        ] = Gabor.scale,
    ) -> None:
        super().__init__(in_dim, out_dim=features)
        self.activation = self.first = Gabor(omega, scale)
        self.linear = nn.Linear(in_dim, features)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m)
        return self.first(self.linear(2 * x - 1))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, omega={self.first.omega}, scale={self.first.scale}"
