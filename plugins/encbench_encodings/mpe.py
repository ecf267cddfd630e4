"""The paper's multigrid parametric encoding: dense grids of learnable values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encbench import ParameterError, Search
from encbench.errors import check_choice
from encbench_encodings._multilevel import IncludeInput, NodeGrid, ScalarsPerNode, SparseGradients
from encbench_encodings._tables import InitStd

PAPER = """\
@inproceedings{audia2025grids,
  title = {How Learnable Grids Recover Fine Detail in Low Dimensions: A Neural Tangent Kernel
           Analysis of Multigrid Parametric Encodings},
  author = {Audia, Samuel and Feizi, Soheil and Zwicker, Matthias and Manocha, Dinesh},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""

DEFAULT_LEVELS = 2
DEFAULT_MIN_RESOLUTION = 16
DEFAULT_MAX_RESOLUTION = 64


class MultigridParametricEncoding(NodeGrid):
    """Multigrid parametric encoding of the paper: L dense grids and x; d_e = L·k (+ d).

    Level l has n_l nodes per axis, node i at x = i / (n_l − 1): both borders lie on nodes. Its k
    values per node are interpolated linearly along each axis. Output: the k values of level 0, of
    level 1, …, then the d coordinates. Outside [0, 1] the border cells are extrapolated.

    Unlike the grids of tiny-cuda-nn (``densegrid``, ``hashgrid``), it has no half-cell offset, no
    wrapping, and exactly the given numbers of nodes.

    Args:
        in_dim: d, 1 to 3.
        features_per_level: k, scalars per node.
        levels: L, number of grids. Default 2, or the number of ``resolutions``.
        min_resolution: n_0, nodes per axis of the coarsest level. Default 16.
        max_resolution: n_(L−1), nodes per axis of the finest level. Default 64. Either of the two
            sets a single level.
        spacing: of the resolutions, "geometric" (default) or "linear", rounded to integers.
        resolutions: all n_l, instead of the four above.
        init_std: node values start as N(0, init_std²). The paper's N(0, 0.01) is read as a
            standard deviation of 0.01; read as a variance it would be 0.1.
        include_input: whether the coordinates are appended, as in the paper.
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: resolutions is given with one of the four above, a resolution is below 2,
            min_resolution is above max_resolution, one level has two different resolutions, or
            the spacing is unknown.
    """

    size_parameters = ("resolutions", "max_resolution")
    equation = "γ(x) = [Σ_c w_c(x) · θ_l[c] for l < L, x], c the corners of x's cell in grid l"
    source = (
        'Audia, Feizi, Zwicker, Manocha, "How Learnable Grids Recover Fine Detail in Low '
        'Dimensions: A Neural Tangent Kernel Analysis of Multigrid Parametric Encodings", '
        "ICLR 2025, Eq. 2 and 3"
    )
    bibtex = PAPER
    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        features_per_level: Annotated[ScalarsPerNode, Search(1, 4)] = 2,
        levels: Annotated[int | None, Field(ge=1, description="L, number of grids (2)")] = None,
        min_resolution: Annotated[
            int | None,
            Field(ge=2, description="nodes per axis, coarsest level (16)"),
            Search(8, 32, log=True),
        ] = None,
        max_resolution: Annotated[
            int | None,
            Field(ge=2, description="nodes per axis, finest level (64)"),
            Search(32, 192, log=True),
        ] = None,
        spacing: Annotated[
            Literal["linear", "geometric"] | None,
            Field(description="spacing of resolutions from coarsest to finest (geometric)"),
        ] = None,
        resolutions: Annotated[
            list[Annotated[int, Field(ge=2)]] | None,
            Field(min_length=1, description="nodes per axis of each level, instead of the above"),
        ] = None,
        init_std: InitStd = 0.01,
        include_input: IncludeInput = True,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        if resolutions is None:
            resolutions = spaced_resolutions(levels, min_resolution, max_resolution, spacing)
        else:
            replaced = {
                "levels": levels,
                "min_resolution": min_resolution,
                "max_resolution": max_resolution,
                "spacing": spacing,
            }
            for name, value in replaced.items():
                if value is not None:
                    raise ParameterError(
                        f"mpe: resolutions={resolutions} and {name}={value} both set the grids; "
                        "give one of them"
                    )
        super().__init__(
            in_dim, resolutions, features_per_level, init_std, include_input, sparse_gradients
        )


def spaced_resolutions(
    levels: int | None, lowest: int | None, highest: int | None, spacing: str | None
) -> list[int]:
    """Nodes per axis of each level, coarsest first; arguments of None have their defaults.

    Raises:
        ParameterError: lowest > highest, one level has two different resolutions, or the spacing
            is unknown.
    """
    levels = DEFAULT_LEVELS if levels is None else levels
    if levels == 1 and lowest is not None and highest is not None and lowest != highest:
        raise ParameterError(
            f"mpe: levels=1 cannot have both min_resolution={lowest} and "
            f"max_resolution={highest}; give one of them, or more levels"
        )
    if levels == 1:
        return [highest or lowest or DEFAULT_MAX_RESOLUTION]
    lowest = DEFAULT_MIN_RESOLUTION if lowest is None else lowest
    highest = DEFAULT_MAX_RESOLUTION if highest is None else highest
    if lowest > highest:
        raise ParameterError(
            f"mpe: min_resolution={lowest} is above max_resolution={highest} "
            f"(defaults {DEFAULT_MIN_RESOLUTION} and {DEFAULT_MAX_RESOLUTION}); give both in order"
        )
    steps = [level / (levels - 1) for level in range(levels)]
    check_choice(
        "mpe: spacing", "geometric" if spacing is None else spacing, ("linear", "geometric")
    )
    if spacing == "linear":
        return [round(lowest + (highest - lowest) * step) for step in steps]
    return [round(lowest * (highest / lowest) ** step) for step in steps]
