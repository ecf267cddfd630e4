"""The first layer of Gaussian-activated networks: learned bumps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from encbench import Search
from encbench.network.activations.bumps import Gaussian
from encbench.plugins.parameters import Positive
from encbench_encodings._first_layer import Features, FirstLayer


class GaussianFirstLayer(FirstLayer):
    """First layer of a Gaussian network, exp(−z²/(2a²)) with z = W(2x − 1) + b; d_e = m.

    Each unit is a ridge of width a/|w|. Not to be confused with ``gaussian_ffe``, waves of random
    frequencies. The default activation of the hidden layers is the same, with the same a.

    Coordinates are scaled to [−1, 1]. W and b are initialized as in ``nn.Linear``, U(±1/√d). The
    paper tunes a for each signal; the default is that of the activation ``gaussian``. In NTK
    parameterization of the network the learned parameters are W/a and b/a, see ``_first_layer``.

    m(d + 1) parameters, ``linear.weight`` and ``linear.bias``.

    Outside [0, 1] the same formula is used.

    Args:
        in_dim: d, 1 to 4.
        features: m, units of the layer.
        a: standard deviation of the bump in z, in this layer and the hidden layers.
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
            Field(description="a, width of the bump in all layers"),
            Search(0.03, 0.5, log=True),
        ] = Gaussian.a,
    ) -> None:
        bump = Gaussian(a)
        super().__init__(in_dim, features, bump, 1 / a)
        self.activation = bump
