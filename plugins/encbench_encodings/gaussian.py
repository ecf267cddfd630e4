"""The first layer of Gaussian-activated networks: learned bumps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from encbench import Search
from encbench.network.activations.bumps import Gaussian
from encbench.plugins.parameters import Positive
from encbench_encodings._first_layer import Features, FirstLayer


class GaussianFirstLayer(FirstLayer):
    """First layer of a Gaussian network, exp(−z²/(2a²)) of z = W(2x − 1) + b; d_e = m.

    Each unit is a ridge of width a/|w|, constant along it; ``gaussian_ffe`` is something else,
    waves of random frequencies. The hidden layers are expected to be of the same kind, with the
    same a.

    Coordinates are scaled to [−1, 1]. W and b start as ``nn.Linear``'s, U(±1/√d). The paper
    searches a for each signal; the default is that of the activation ``gaussian``. In a network
    of NTK parameterization the learned parameters are W/a and b/a, see ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the formula holds as it stands.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        a: standard deviation of the bump in z, of this layer and the hidden ones.
    """

    equation = "γ(x) = exp(−z²/(2a²)), z = W(2x − 1) + b, learned"
    source = (
        'Ramasinghe, Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in '
        'Coordinate-MLPs", ECCV 2022, Table 1; as in kwea123/Coordinate-MLPs at 08f1c38'
    )
    bibtex = """\
@inproceedings{ramasinghe2022beyond,
  title = {Beyond Periodicity: Towards a Unifying Framework for Activations in Coordinate-{MLPs}},
  author = {Ramasinghe, Sameera and Lucey, Simon},
  booktitle = {European Conference on Computer Vision},
  year = {2022}
}"""
    activation = Gaussian()

    def __init__(
        self,
        in_dim: int,
        *,
        features: Features = 256,
        a: Annotated[
            Positive,
            Field(description="a, width of the bump, all layers"),
            Search(0.03, 0.5, log=True),
        ] = Gaussian.a,
    ) -> None:
        bump = Gaussian(a)
        super().__init__(in_dim, features, bump, 1 / a)
        self.activation = bump
