"""Multigrid that stores only the nodes touched by given points."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Search
from encbench_encodings._multilevel import (
    MOST_NODES,
    IncludeInput,
    NodeGrid,
    ScalarsPerNode,
    SparseGradients,
    check_size,
)
from encbench_encodings._tables import InitStd

DEFAULT_RESOLUTIONS = (16, 128)


class SparseMultigrid(NodeGrid):
    """Multigrid that stores only the nodes touched by given points; d_e = L·k (+ d).

    The grids are those of ``mpe``: level l has n_l nodes per axis, node i at x = i / (n_l − 1),
    k values per node, linear interpolation, the coordinates last. A point *touches* the nodes of
    its cell. Only touched nodes have values; all others have the constant 0. So the encoding equals
    ``mpe`` at the given points, and decreases to 0 elsewhere.

    The points must be known before training: the optimizer needs the parameters, and the kernel at
    the start is computed before the first batch, so nodes cannot be added during training. There
    are two ways to specify the points:

    - ``samples``: a regular sampling with s points per axis at (i + ½)/s, the pixels of an image
      of s × s pixels. If not given, every node is stored, as in ``mpe``. A grid much finer than the
      sampling stores about (2 s / n_l)^d of its nodes; one of up to s cells per axis stores all.
      **For an image of another size, the encoding is 0 in some places.**
    - ``SparseMultigrid.touched_by(points)``, in Python: any points, such as those of a surface.
      This is the setting of Neural Radiosity, whose grids store values only near surfaces.

    A sorted list of node numbers is stored with the table; memory and parameters are proportional
    to the number of touched nodes, not to n_l^d.

    Parameters: k · Σ_l (touched nodes of level l); k · Σ_l n_l^d without ``samples``.

    Outside [0, 1] the border cells are extrapolated from their stored nodes.

    Args:
        in_dim: d, 1 to 3.
        features_per_level: k, scalars per node.
        resolutions: n_l, nodes per axis of each level. Default [16, 128].
        samples: s, points per axis of the sampling; None: all nodes are stored.
        init_std: node values start as N(0, init_std²).
        include_input: whether the coordinates are appended.
        sparse_gradients: COO gradient of the table: cheap steps, only for SGD and SparseAdam.

    Raises:
        ParameterError: no resolution, or one below 2.
    """

    size_parameters = ("resolutions",)
    equation = "γ(x) = [Σ_c w_c(x) · θ_l[c] for l < L, x], over the stored corners c of x's cell"
    source = (
        'Hadadan, Chen, Zwicker, "Neural Radiosity", SIGGRAPH Asia 2021 (sparse multiresolution '
        'feature grids); grids as in Audia et al., "How Learnable Grids Recover Fine Detail in '
        'Low Dimensions", ICLR 2025'
    )

    max_dim = 3

    def __init__(
        self,
        in_dim: int,
        *,
        features_per_level: ScalarsPerNode = 2,
        resolutions: Annotated[
            list[Annotated[int, Field(ge=2)]] | None,
            Field(min_length=1, description="nodes per axis of each level ([16, 128])"),
            Search(choices=([8, 32], [8, 64], [16, 64], [16, 128], [32, 128], [32, 256])),
        ] = None,
        samples: Annotated[
            int | None,
            Field(ge=1, description="points per axis whose nodes are stored; none: all nodes"),
        ] = None,
        init_std: InitStd = 0.01,
        include_input: IncludeInput = True,
        sparse_gradients: SparseGradients = False,
    ) -> None:
        resolutions = list(DEFAULT_RESOLUTIONS if resolutions is None else resolutions)
        # what is too large is refused before any nodes are listed
        most = [min(nodes, 2 * samples) if samples else nodes for nodes in resolutions]
        check_size([nodes**in_dim for nodes in most], features_per_level, in_dim, "resolutions")
        axes = [_touched_on_axis(nodes, samples) for nodes in resolutions] if samples else []
        on_axis = [len(axis) for axis in axes] or resolutions
        super().__init__(
            in_dim,
            resolutions,
            features_per_level,
            init_std,
            include_input,
            sparse_gradients,
            entries=[nodes**in_dim for nodes in on_axis],
        )
        axes = axes or [torch.arange(nodes) for nodes in resolutions]
        self.init_std = init_std
        sizes = [nodes**in_dim for nodes in resolutions]
        offsets = [sum(sizes[:level]) for level in range(len(sizes))]
        self._offsets = nn.Buffer(torch.tensor(offsets), persistent=False)
        # In the state dict, because the rows of the table have no meaning without it.
        self._keys = nn.Buffer(torch.empty(self.starts[-1], dtype=torch.int64))
        if not self._keys.is_meta:  # there torch imports its compiler for arithmetic
            for level, axis in enumerate(axes):
                keys = _product(axis, resolutions[level], in_dim) + offsets[level]
                self._keys[self.starts[level] : self.starts[level + 1]] = keys

    @classmethod
    def touched_by(cls, points: Tensor, **settings: Any) -> Self:
        """The encoding that stores the nodes touched by points (M, d) in [0, 1].

        Args:
            settings: the parameters of the class, without ``in_dim`` and ``samples``.
        """
        grid = cls(points.shape[1], samples=1, **settings)
        nodes, _ = super(cls, grid).corners(points.detach().to("cpu", torch.float64))
        grid._keys = nn.Buffer(torch.unique(nodes + grid._offsets))
        begins = torch.searchsorted(grid._keys, grid._offsets).tolist()
        grid.starts = [*begins, len(grid._keys)]
        grid._starts = nn.Buffer(torch.tensor(grid.starts[:-1]), persistent=False)
        grid.table = nn.Parameter(torch.empty(len(grid._keys), grid.features))
        nn.init.normal_(grid.table, 0.0, grid.init_std)
        return grid

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        nodes, weights = super().corners(x)
        keys = nodes + self._offsets
        found = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        stored = self._keys[found] == keys
        # An untouched node reads the level's first entry with weight 0.
        return torch.where(stored, found - self._starts, 0), weights * stored

    def node_rows(self, level: int) -> Tensor | None:
        nodes = self.resolutions[level]
        if nodes**self.in_dim > MOST_NODES:
            return None
        rows = torch.full((nodes**self.in_dim,), -1)
        stored = self.nodes(level).cpu()
        rows[stored] = torch.arange(len(stored)) + self.starts[level]
        return rows.view([nodes] * self.in_dim)

    def nodes(self, level: int) -> Tensor:
        """Numbers (M,) of the nodes in a level's rows: Σ_a i_a · n^a for node i / (n − 1)."""
        rows = slice(self.starts[level], self.starts[level + 1])
        return self._keys[rows] - self._offsets[level]


def _touched_on_axis(nodes: int, samples: int) -> Tensor:
    """The sorted nodes of one axis that a regular sampling touches."""
    # in NumPy, since the number of nodes is needed on "meta", too
    points = (np.arange(samples, dtype=np.float64) + 0.5) / samples
    cells = np.floor(points * (nodes - 1)).astype(np.int64)
    return torch.tensor(np.union1d(cells, cells + 1))


def _product(axis: Tensor, nodes: int, in_dim: int) -> Tensor:
    """The sorted numbers of the nodes of an n^d grid all of whose coordinates are in ``axis``.

    A regular sampling touches exactly these nodes if ``axis`` has the nodes touched on one axis.
    """
    numbers = axis
    for power in range(1, in_dim):
        numbers = (axis.unsqueeze(1) * nodes**power + numbers).flatten()
    return numbers
