"""A grid of radial basis functions, the regular part of NeuRBF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from encbench import Search
from encbench.errors import check_choice
from encbench.plugins.parameters import Positive
from encbench_encodings._multilevel import IncludeInput, NodeGrid, ScalarsPerNode, SparseGradients
from encbench_encodings._tables import InitStd, cells_and_places, over_corners

KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "inverse_quadratic": lambda square: 1 / (1 + square),
    "inverse_multiquadric": lambda square: torch.rsqrt(1 + square),
    "gaussian": lambda square: torch.exp(-square / 2),
}
"""φ as a function of s², the squared distance in units of half a cell over √α."""


class RbfGrid(NodeGrid):
    """Radial basis functions on a regular grid, normalized to sum to one; d_e = k (+ d).

    Centres lie at i/(n − 1) per axis, at distance h = 1/(n − 1). A point reads the 2^d centres of
    its cell, with weights φ(s_j²)/Σ_l φ(s_l²), s_j² = α |x − c_j|²/(h/2)². **The weights jump
    between cells**, because φ of a centre no longer read is not 0: by 0.17 for d = 1 and defaults.

    Implements NeuRBF without adaptive centres: kernel, shape, the cell's centres as neighbours,
    and normalization are those of its code. Not implemented: centres and anisotropic shapes fitted
    to the target (where the k nearest centres are read), sines of φ at several frequencies as
    additional features, the additional hash grid, and the bias. Shapes are equal for all centres
    and not learned, so the features are linear in the table.

    Outside [0, 1] the centres of the border cell are used; far outside, features tend to the mean
    of their values (Gaussian: to the nearest centre's). k·n^d parameters, ``table``.

    Args:
        in_dim: d, 1 to 3.
        resolution: n, centres per axis.
        features: k, scalars per centre.
        kernel: φ(s²): 1/(1 + s²), its square root, or exp(−s²/2).
        alpha: α, inverse squared width; for α = 1, s² = 4 at distance h.
        init_std: values start as N(0, init_std²).
        include_input: whether the coordinates are appended.
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: the kernel is unknown.
    """

    size_parameters = ("resolution", "features")
    equation = "γ(x) = Σ_j φ(s_j²) θ[j] / Σ_j φ(s_j²), s_j² = 4α |x − c_j|²/h², j the 2^d centres"
    source = (
        'Chen, Li, Song, Chen, Yu, Yuan, Xu, "NeuRBF: A Neural Fields Representation with Adaptive '
        'Radial Basis Functions", ICCV 2023; oppo-us-research/NeuRBF at 8a1e487, img_sdf/network.py'
    )
    bibtex = """\
@inproceedings{chen2023neurbf,
  title = {{NeuRBF}: A Neural Fields Representation with Adaptive Radial Basis Functions},
  author = {Chen, Zhang and Li, Zhong and Song, Liangchen and Chen, Lele and Yu, Jingyi and
            Yuan, Junsong and Xu, Yi},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year = {2023}
}"""
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        resolution: Annotated[
            int, Field(ge=2, description="n, centres per axis"), Search(16, 192, log=True)
        ] = 64,
        features: ScalarsPerNode = 4,
        kernel: Annotated[
            Literal["inverse_quadratic", "inverse_multiquadric", "gaussian"],
            Field(description="φ, the radial function"),
        ] = "inverse_quadratic",
        alpha: Annotated[
            Positive,
            Field(description="α, inverse squared width"),
            Search(0.25, 16, log=True),
        ] = 1.0,
        init_std: InitStd = 0.01,
        include_input: IncludeInput = False,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        check_choice("rbf_grid: kernel", kernel, list(KERNELS))
        super().__init__(
            in_dim,
            [resolution],
            features,
            init_std,
            include_input,
            sparse_gradients,
            name="resolution",
        )
        self.kernel = kernel
        self.alpha = alpha

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, _ = super().corners(x)
        position = x.t().unsqueeze(-1) * self._cells.to(x.dtype)
        _, place = cells_and_places(position, self._cells - 1)
        square = over_corners(torch.add, torch.stack((place**2, (1 - place) ** 2)))
        if self.kernel == "gaussian":
            return rows, torch.softmax(-2 * self.alpha * square, dim=0)  # finite far outside
        values = KERNELS[self.kernel](4 * self.alpha * square)
        return rows, values / values.sum(0)
