"""The first layer of WIRE in its real form: learned Gabor wavelets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from encbench import Search
from encbench.network.activations.periodic import Gabor
from encbench.plugins.parameters import NotNegative, Positive
from encbench_encodings._first_layer import Features, FirstLayer


class Wire(FirstLayer):
    """First layer of WIRE, real form: cos(ω z) exp(−(s z)²) with z = W(2x − 1) + b; d_e = m.

    *Real* form: WIRE itself is complex, exp(jωz − |s z|²) with complex weights after the first
    layer; to keep the number of parameters, its width is divided by √2. This is the wavelet's real
    part. It is not the real layer of the authors' code, in which frequency and width come from two
    linear maps.

    Coordinates are scaled to [−1, 1]. W and b are initialized as in ``nn.Linear``, U(±1/√d). The
    default activation of the hidden layers is the same wavelet, with the same ω and s. In NTK
    parameterization of the network the learned parameters are ωW and ωb, see ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        omega: ω, frequency in this layer and the hidden layers.
        scale: s, inverse width of the Gaussian in this layer and the hidden layers; 0: cosine only.
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
            Positive, Field(description="ω, frequency in all layers"), Search(5, 30)
        ] = Gabor.omega,
        scale: Annotated[
            NotNegative,
            Field(description="s, inverse width of the Gaussian in all layers"),
            Search(3, 30, log=True),
        ] = Gabor.scale,
    ) -> None:
        wavelet = Gabor(omega, scale)
        super().__init__(in_dim, features, wavelet, omega)
        self.activation = wavelet
