"""The first layer of SL²A-INR: learned sums of Chebyshev polynomials."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search, SparseBlock
from encbench_encodings import _polynomials
from encbench_encodings._linear_maps import LinearMaps


class Sl2a(LinearMaps):
    """First layer of SL²A-INR: learned activations of each coordinate, normalized; d_e = m.

    z_j = Σ_i Σ_k a_ijk T_k(tanh v_i) with v = 2x − 1 and degrees 0 to K, then layer normalization
    over the m units with a learned gain and shift. tanh maps [−1, 1] to ±0.76, so the steep ends of
    the polynomials are not used. There are no products over coordinates; they are left to the
    network. ``chebyshev`` has the polynomials only.

    This is only the first layer. In SL²A-INR its output also multiplies the input of each hidden
    layer, including the first (the fusion block, of low-rank ReLU layers); here an ordinary network
    follows.

    a starts as U(±√(6/((d + m)(K + 1)))), the result of ``xavier_uniform_`` for the authors' tensor
    (d, m, K + 1). In NTK parameterization of the network the learned parameters are a divided by
    its initial standard deviation, see ``_linear_maps``.

    m (d(K + 1) + 2) parameters, ``maps.0.weight``, ``norm.weight``, ``norm.bias``.

    Outside [0, 1] the same formula is used; tanh keeps it bounded.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        degree: K, highest degree (the authors' code: 256).
    """

    size_parameters = ("features", "degree")
    equation = "γ(x) = LayerNorm(Σ_i Σ_(k ≤ K) a_ik T_k(tanh(2x_i − 1))), a_ik of m numbers learned"
    source = (
        'Heidari, Rezaeian, Azad, Merhof, Soltanian-Zadeh, Hacihaliloglu, "SL²A-INR: Single-Layer '
        'Learnable Activation for Implicit Neural Representation", ICCV 2025; '
        "moeinheidari7829/SL2A-INR at 3bee9c0, SL2A_INR.py and ChebyKANLayer.py"
    )
    bibtex = """\
@inproceedings{heidari2025sl2a,
  title = {{SL$^2$A-INR}: Single-Layer Learnable Activation for Implicit Neural Representation},
  author = {Heidari, Moein and Rezaeian, Reza and Azad, Reza and Merhof, Dorit and
            Soltanian-Zadeh, Hamid and Hacihaliloglu, Ilker},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2025}
}"""
    max_dim = 4

    def __init__(
        self,
        in_dim: int,
        *,
        features: Annotated[int, Field(ge=2, description="m, units of the layer")] = 256,
        degree: Annotated[_polynomials.Degree, Search(16, 512, log=True)] = 64,
    ) -> None:
        layer = nn.Linear(in_dim * (degree + 1), features, bias=False)
        bound = math.sqrt(6 / ((in_dim + features) * (degree + 1)))
        nn.init.uniform_(layer.weight, -bound, bound)
        super().__init__(in_dim, features, [layer], bound / math.sqrt(3))
        self.degree = degree
        self.norm = nn.LayerNorm(features)

    def _normalized(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m), before gain and shift
        degrees = _polynomials.chebyshev(torch.tanh(2 * x - 1), self.degree)
        (z,) = self.mapped(degrees.flatten(1))
        return nn.functional.layer_norm(z, (self.out_dim,), eps=self.norm.eps)

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, m)
        return self._normalized(x) * self.norm.weight + self.norm.bias

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """A block for the gain and one for the shift, tables of one row that every point reads."""
        row = torch.zeros(len(x), 1, dtype=torch.int64, device=x.device)
        one = torch.ones_like(x[:, :1])
        gain = self._normalized(x).detach()
        return [
            SparseBlock(f"norm.{name}", row, one, 1, 0, self.out_dim, factor)
            for name, factor in (("weight", gain), ("bias", None))
        ]
