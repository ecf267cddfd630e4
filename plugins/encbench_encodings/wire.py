"""The first layer of WIRE in its real form: learned Gabor wavelets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from encbench import Search
from encbench.network.activations.periodic import Gabor
from encbench.plugins.parameters import NotNegative, Positive
from encbench_encodings._first_layer import Features, FirstLayer


class Wire(FirstLayer):
    """First layer of WIRE, real form: cos(ω z) exp(−(s z)²) of z = W(2x − 1) + b; d_e = m.

    *Real* form: WIRE itself is complex, exp(jωz − |s z|²) with complex weights behind the first
    layer, and loses half of its units for it. This is the wavelet's real part. Nor is it the real
    layer of the authors' code, which takes frequency and width from two linear maps.

    Coordinates are scaled to [−1, 1]. W and b start as ``nn.Linear``'s, U(±1/√d). The hidden
    layers are expected to be the same wavelet, with the same ω and s. In a network of NTK
    parameterization the learned parameters are ωW and ωb, see ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the formula holds as it stands.

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
    activation = Gabor()

    def __init__(
        self,
        in_dim: int,
        *,
        features: Features = 256,
        omega: Annotated[
            Positive, Field(description="ω, frequency, all layers"), Search(5, 30)
        ] = Gabor.omega,
        scale: Annotated[
            NotNegative,
            Field(description="s, inverse width of the Gaussian, all layers"),
            Search(3, 30, log=True),
        ] = Gabor.scale,
    ) -> None:
        wavelet = Gabor(omega, scale)
        super().__init__(in_dim, features, wavelet, omega)
        self.activation = wavelet
