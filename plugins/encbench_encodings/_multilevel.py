"""Base classes of encodings with several grids in one table: dense and hashed."""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from math import prod
from types import ModuleType
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd import forward_ad

from encbench import LearnedGrid, ParameterError, SparseBlock
from encbench.errors import error_line
from encbench_encodings._constants import ConstantsKept, at_least_float32
from encbench_encodings._tables import (
    WITHOUT_KERNELS,
    cells_and_places,
    over_corners,
    powers,
    strides_of,
    weighted_rows,
)

Levels = Annotated[int, Field(ge=1, le=128, description="L, number of grids")]
FeaturesPerLevel = Annotated[int, Field(ge=1, description="F, features stored at a vertex")]
ScalarsPerNode = Annotated[int, Field(ge=1, description="k, scalars per node")]
IncludeInput = Annotated[bool, Field(description="append the coordinates")]
SparseGradients = Annotated[
    bool,
    Field(description="COO gradient of the table: cheap steps, only for SGD and SparseAdam"),
]

logger = logging.getLogger("encbench")

MOST_NODES = 1 << 24
"""Maximum number of vertices of a level whose rows ``node_rows`` lists."""
MOST_VALUES = 1 << 59
"""Maximum number of values of a table; the bytes of more cannot be counted in 64 bits."""
PRIMES = (1, 2654435761, 805459861, 3674653429)


@cache
def _loaded_kernels() -> ModuleType | str:
    """The module of GPU kernels; if it cannot be imported, warn and return the reason."""
    try:
        from encbench_encodings import _kernels
    except Exception as error:  # whatever a broken installation raises
        logger.warning("%s: %s", WITHOUT_KERNELS, error_line(error))
        return error_line(error)
    return _kernels


@dataclass(frozen=True)
class VertexLayout:
    """How the kernels find the vertices around a point, at position x · scale + ``offset``."""

    dense: int
    """Number of levels that are not hashed; they come first."""
    offset: float = 0.0
    interpolation: str = "linear"
    wraps_once: bool = True
    """Whether every dense index is below twice the number of entries of its level."""


def check_size(entries: Iterable[int], features: int, grid_dim: int, name: str) -> None:
    """Raise ParameterError, which names a parameter, if a table has too many values."""
    values = sum(entries) * features
    if values > MOST_VALUES:
        raise ParameterError(
            f"{name} is too large: in {grid_dim} dimensions there are {values:,} values, at most "
            "2^59 can be addressed; give less"
        )


class MultilevelGrid(ConstantsKept):
    """Base class of grids: L levels of vertices with F features each, all in one table.

    With one table instead of one per level, a single lookup serves all levels. Features are ordered
    by level, then by column of the table; the coordinates come last if they are included. A table
    in float16 or bfloat16 is read at positions computed in float32.

    Args:
        entries: number of rows of each level.
        features: F.
        name: the parameter that errors name if the table is too large.

    Raises:
        ParameterError: the table is too large.

    Attributes:
        table: (rows, F) parameter. Level l owns the rows from ``starts[l]`` to ``starts[l + 1]``.
        starts: L + 1 row numbers.
        sparse_gradients: whether the table's gradient is a sparse COO tensor.
        layout: description of the grid for the GPU kernels; None if they do not support it.
    """

    layout: VertexLayout | None = None

    def __init__(
        self,
        in_dim: int,
        *,
        entries: Sequence[int],
        features: int,
        include_input: bool = False,
        sparse_gradients: bool = False,
        name: str = "features_per_level",
    ) -> None:
        check_size(entries, features, getattr(self, "grid_dim", in_dim), name)
        super().__init__(in_dim, out_dim=len(entries) * features + in_dim * include_input)
        self.features = features
        self.include_input = include_input
        self.sparse_gradients = sparse_gradients
        self.starts = [sum(entries[:level]) for level in range(len(entries) + 1)]
        self.table = nn.Parameter(torch.empty(self.starts[-1], features))
        self._starts = nn.Buffer(torch.tensor(self.starts[:-1]), persistent=False)

    @abstractmethod
    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Entries of each level that x (N, d) reads, and their weights.

        Returns:
            (m, N, L) int64 rows counted within the level, and (m, N, L) weights in x's dtype.
        """

    def rows_and_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table (N, L, m) int64 that x (N, d) reads, and weights (N, L, m)."""
        # a wrong number of columns would be ignored or broadcast, and give wrong results
        if x.shape[1] != self.in_dim:
            raise ValueError(
                f"the encoding was built for in_dim={self.in_dim}, got x of shape {tuple(x.shape)}"
            )
        entries, weights = self.corners(at_least_float32(x))
        rows = (entries + self._starts).permute(1, 2, 0).contiguous()
        return rows, weights.permute(1, 2, 0).contiguous()

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, L * F [+ d])
        kernels = _loaded_kernels() if self._suits_kernels(x) else ""
        if isinstance(kernels, str):
            values, failure = self.interpolated(self.table, x), kernels
        else:
            values, failure = kernels.fused_features(self.table, x, self), kernels.failure
        if failure:
            self.fallback = f"{WITHOUT_KERNELS}: {failure}"
        return torch.cat((values, x), dim=1) if self.include_input else values

    def interpolated(self, table: Tensor, x: Tensor) -> Tensor:
        """Values (N, L · F) at x (N, d) of the grids in a table (rows, F)."""
        rows, weights = self.rows_and_weights(x)
        return weighted_rows(table, rows, weights, sparse=self.sparse_gradients).flatten(1)

    def _keep_for_kernels(
        self,
        layout: VertexLayout,
        scales: Sequence[float],
        last: Iterable[int],
        entries: Iterable[int],
        factors: Iterable[Sequence[int]],
    ) -> None:
        """Let ``forward`` use the kernels on a GPU.

        Args:
            scales: cells per unit length, rounded to float32, for each of the L levels.
            last: index of the last cell along an axis.
            entries: number of rows.
            factors: d factors of a vertex's coordinates in its index.
        """
        self.layout = layout
        bits = np.asarray(scales, np.float32).view(np.int32).tolist()  # unchanged by ``double()``
        levels = zip(self.starts[:-1], entries, last, bits, factors, strict=True)
        rows = [[*level, *of_axes] for *level, of_axes in levels]
        self._levels = nn.Buffer(torch.tensor(rows), persistent=False)

    def _suits_kernels(self, x: Tensor) -> bool:
        """Whether the kernels support x and all derivatives that may be requested."""
        return (
            x.is_cuda
            and self.layout is not None
            and x.device == self.table.device
            and x.dtype == self.table.dtype == torch.float32
            and x.shape[1] == self.in_dim
            and not (self.sparse_gradients or x.requires_grad)
            and not torch.are_deterministic_algorithms_enabled()  # atomics add in any order
            and not torch.compiler.is_compiling()
            and not torch._C._are_functorch_transforms_active()
            and forward_ad.unpack_dual(x).tangent is None  # type: ignore[no-untyped-call] # torch leaves it untyped
        )

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        """One block per level; rows that collide within a level occur twice in it."""
        rows, weights = self.rows_and_weights(x)
        count, width = self.table.shape
        return [
            SparseBlock("table", rows[:, level], weights[:, level], count, level * width, width)
            for level in range(rows.shape[1])
        ]

    def learned_grids(self) -> list[LearnedGrid]:
        """One grid per level."""
        levels, width = range(len(self.starts) - 1), self.features
        return [LearnedGrid("table", self.node_rows(n), n * width, width) for n in levels]

    def node_rows(self, level: int) -> Tensor | None:
        """``LearnedGrid.rows`` of a level."""
        return None

    def factor_blocks(
        self, name: str, x: Tensor, factors: Tensor, starts: Sequence[int]
    ) -> list[SparseBlock]:
        """One block per level, for features that are a level's values times other values.

        Args:
            name: attribute name of this grid in the encoding.
            factors: (N, L, F), the factors of each level's values.
            starts: first feature of each level.
        """
        blocks = zip(self.sparse_jacobian(x), factors.unbind(1), starts, strict=True)
        return [
            replace(block, parameter=f"{name}.table", factor=factor.detach(), start=start)
            for block, factor, start in blocks
        ]


def product(values: Tensor, dim: int) -> Tensor:
    """The product along ``dim``. The gradient of ``torch.prod`` would synchronize with the GPU."""
    first, *others = values.unbind(dim)
    return prod(others, start=first)


def products_of_others(values: Tensor, dim: int) -> Tensor:
    """For each slice of values along ``dim``, the product of all other slices; same shape."""
    slices = values.unbind(dim)
    one = torch.ones_like(slices[0])
    products = [prod(slices[:k] + slices[k + 1 :], start=one) for k in range(len(slices))]
    return torch.stack(products, dim)


class NodeGrid(MultilevelGrid):
    """Dense grids with nodes on both borders: n_l nodes per axis, node i at i / (n_l − 1).

    Interpolates linearly along each axis. Node i is entry Σ_a i_a · n_l^a of its grid.

    Args:
        resolutions: n_l >= 2 of each grid.
        features: F, number of values per node.
        init_std: values start as N(0, init_std²); None: the caller initializes them.
        axes: (L, k), the coordinates of each grid; default: all coordinates.
        entries: number of stored nodes of each grid; default: all nodes.
        name: the encoding's parameter that is ``resolutions``, for errors.

    Raises:
        ParameterError: no grid, one of fewer than 2 nodes per axis, or too many nodes.
    """

    max_dim = sys.maxsize

    def __init__(
        self,
        in_dim: int,
        resolutions: Sequence[int],
        features: int,
        init_std: float | None = None,
        include_input: bool = False,
        sparse_gradients: bool = False,
        *,
        axes: Sequence[Sequence[int]] | None = None,
        entries: Sequence[int] | None = None,
        name: str = "resolutions",
    ) -> None:
        if min(resolutions, default=0) < 2:
            raise ParameterError(
                f"{name} must be one or more numbers of at least 2, for a node on each border; "
                f"got {sorted(set(resolutions))}"
            )
        self.grid_dim = len(axes[0]) if axes else in_dim
        super().__init__(
            in_dim,
            entries=entries or [nodes**self.grid_dim for nodes in resolutions],
            features=features,
            include_input=include_input,
            sparse_gradients=sparse_gradients,
            name=name,
        )
        if init_std is not None:
            nn.init.normal_(self.table, 0.0, init_std)
        self.resolutions = list(resolutions)
        self._axes = nn.Buffer(torch.tensor(axes), persistent=False) if axes else None
        self._cells = nn.Buffer(torch.tensor([n - 1 for n in resolutions]), persistent=False)
        self._strides = nn.Buffer(strides_of(resolutions, self.grid_dim), persistent=False)
        stored = [nodes**in_dim for nodes in resolutions]
        # not for subclasses, which read other nodes; indices are uint32; 2^d corners are unrolled
        if (
            not (axes or entries)
            and type(self).corners is NodeGrid.corners
            and in_dim <= HashedLevels.max_dim
            and max(stored) < 1 << 31
        ):
            layout = VertexLayout(dense=len(stored))
            cells = [nodes - 1 for nodes in resolutions]
            factors = [powers(nodes, in_dim) for nodes in resolutions]
            self._keep_for_kernels(layout, cells, [n - 1 for n in cells], stored, factors)

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # (d, N, 1), or (k, N, L) if each grid has its own coordinates
        x = x.t().unsqueeze(-1) if self._axes is None else x[:, self._axes].permute(2, 0, 1)
        # The last node belongs to the last cell: no corner lies outside its grid.
        cells, place = cells_and_places(x * self._cells.to(x.dtype), self._cells - 1)
        lower = cells * self._strides
        return (
            over_corners(torch.add, torch.stack((lower, lower + self._strides))),
            over_corners(torch.mul, torch.stack((1 - place, place))),
        )

    def node_rows(self, level: int) -> Tensor | None:
        begin, end = self.starts[level], self.starts[level + 1]
        return torch.arange(begin, end).view([self.resolutions[level]] * self.grid_dim)

    def grid(self, level: int = 0) -> Tensor:
        """A view of the values of a grid that stores all nodes: (n,) * k + (F,).

        The first coordinate runs along the last axis, as in an image: ``grid(l)[j, i]`` of a plane
        is the node at x = (i, j) / (n − 1).
        """
        rows = self.table[self.starts[level] : self.starts[level + 1]]
        return rows.view(*[self.resolutions[level]] * self.grid_dim, self.features)


@dataclass(frozen=True)
class GridLevel:
    """One level: ``scale`` cells per unit length, ``resolution`` vertices per axis."""

    scale: float
    resolution: int
    entries: int
    hashed: bool


class HashedLevels(MultilevelGrid):
    """Coarse levels that store all vertices, and finer levels whose vertices share hashed entries.

    Attributes:
        plan: the levels. Resolutions never decrease, so the hashed levels are the last. A hashed
            level has 2^k entries.
    """

    max_dim = 4
    interpolation: str = "linear"

    def __init__(
        self,
        in_dim: int,
        plan: Sequence[GridLevel],
        features_per_level: int,
        init_scale: float,
        sparse_gradients: bool,
    ) -> None:
        super().__init__(
            in_dim,
            entries=[level.entries for level in plan],
            features=features_per_level,
            sparse_gradients=sparse_gradients,
        )
        self.plan = tuple(plan)
        torch.nn.init.uniform_(self.table, -init_scale, init_scale)
        self._dense = sum(not level.hashed for level in plan)
        dense, hashed = plan[: self._dense], plan[self._dense :]
        self._mask = hashed[0].entries - 1 if hashed else 0
        # One subtraction replaces the slow modulo if every index is below twice the entries.
        self._wraps_once = all(
            sum(level.resolution ** (axis + 1) for axis in range(in_dim)) < 2 * level.entries
            for level in dense
        )
        strides = strides_of([level.resolution for level in dense], in_dim)
        entries = torch.tensor([level.entries for level in dense], dtype=torch.int64)
        primes = torch.tensor(PRIMES[:in_dim]).view(-1, 1, 1)
        self._strides = nn.Buffer(strides, persistent=False)
        self._dense_entries = nn.Buffer(entries, persistent=False)
        self._primes = nn.Buffer(primes, persistent=False)

    def node_rows(self, level: int) -> Tensor | None:
        plan = self.plan[level]
        vertices = plan.resolution**self.in_dim
        if plan.hashed or vertices > MOST_NODES:
            return None
        index = torch.arange(vertices).remainder(plan.entries) + self.starts[level]
        return index.view([plan.resolution] * self.in_dim)

    def _keep_plan_for_kernels(
        self, scales: Sequence[float], last: Iterable[int], offset: float = 0.0
    ) -> None:
        """See ``_keep_for_kernels``; call it after setting ``interpolation``."""
        self._keep_for_kernels(
            VertexLayout(self._dense, offset, self.interpolation, self._wraps_once),
            scales,
            last,
            [level.entries for level in self.plan],
            [
                PRIMES[: self.in_dim] if level.hashed else powers(level.resolution, self.in_dim)
                for level in self.plan
            ],
        )

    @abstractmethod
    def cells_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cell of each level that contains x (N, d), and the place in it: (d, N, L) both."""

    def corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cells, place = self.cells_of(x)
        if self.interpolation == "nearest":
            return self._indices(cells), 1 + 0 * place.detach().sum(0, keepdim=True)
        if self.interpolation == "smoothstep":
            place = place * place * (3 - 2 * place)
        return self._indices(cells), over_corners(torch.mul, torch.stack((1 - place, place)))

    def _indices(self, cells: Tensor) -> Tensor:  # (d, N, L) -> (m, N, L)
        parts = []
        if self._dense:
            index = self._combine(torch.add, cells[..., : self._dense], self._strides)
            entries = self._dense_entries
            if self._wraps_once:
                parts.append(torch.where(index >= entries, index - entries, index))
            else:
                parts.append(index.remainder(entries))
        if self._dense < len(self.plan):
            # In two's complement the low bits of products and XOR equal those of uint32. A hashed
            # level has 2^k entries, so one mask applies both moduli.
            key = self._combine(torch.bitwise_xor, cells[..., self._dense :], self._primes)
            parts.append(key.bitwise_and(self._mask))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    def _combine(
        self, operation: Callable[[Tensor, Tensor], Tensor], cells: Tensor, factors: Tensor
    ) -> Tensor:
        lower = cells * factors
        if self.interpolation == "nearest":
            return reduce(operation, lower.unbind(0)).unsqueeze(0)
        return over_corners(operation, torch.stack((lower, lower + factors)))
