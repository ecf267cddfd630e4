"""Compute the features of a batch of points and pass their gradient to the encoding.

The method depends on the encoding:

- no learned parameters: the features of points that do not change are computed once;
- features linear in rows of tables (``Encoding.sparse_jacobian``): rows and weights are computed
  once; SGD without momentum updates only rows that a batch reads, so that the cost of a step does
  not grow with the table;
- any other: forward and backward by autograd.
"""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.contracts.optimizer import Optimizer
from encbench.errors import error_line
from encbench.ntk.autograd import called_with

CHUNK = 1 << 14
"""Number of points whose features are computed at once."""
CACHE_BYTES = 1 << 28
"""Maximum memory for rows and weights of all points; above it, they are computed in windows."""
PROOF_POINTS = 256
"""Number of points at which an encoding's declared structure is compared with its features."""
CHANGES = "it changes from call to call"
HOOKED = "it has hooks"
"""Reasons to leave an encoding to autograd and to run its Python code at every step."""


class AutogradFeatures:
    """Features of any encoding, by autograd.

    Attributes:
        learned: the parameters, for an optimizer.
        learns: whether the encoding has learned parameters.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.learned = [p for p in encoding.parameters() if p.requires_grad]
        self.learns = bool(self.learned)

    def begin(self, x: Tensor, order: Tensor) -> None:
        """Begin an epoch with points x (N, d), which batches take in this order (N,).

        If x is the tensor of the epoch before, the points are the same.
        """
        self._x = x[order]

    def forward(self, start: int, stop: int) -> Tensor:
        """Features (n, d_e) of the points from start to stop in this epoch's order."""
        with torch.set_grad_enabled(self.learns):
            self._out: Tensor = self.encoding(self._x[start:stop])
        features: Tensor = self._out.detach()
        return features

    def backward(self, grad: Tensor, lr: float | None) -> None:
        """Propagate the gradient (n, d_e) at the last features to the parameters.

        Args:
            lr: learning rate of plain gradient descent, whose step may be taken immediately; None
                leaves gradients to an optimizer, as is done for every parameter in ``learned``.
        """
        for parameter in self.learned:
            parameter.grad = None
        out = self._out
        # autograd's nodes must not outlive the step: they belong to the stream it ran on
        del self._out
        if out.requires_grad:  # forward may use none of the parameters
            out.backward(grad)  # type: ignore[no-untyped-call] # torch leaves it untyped

    def clear(self) -> None:
        """Set stored gradients to zero after an optimizer's step."""

    def settle(self) -> None:
        """Write values that are stored separately back to the encoding's parameters."""


@dataclass
class Lookup:
    """Adjacent features that are weighted sums of m rows of a table, at each of L levels."""

    parameter: str
    start: int
    """Index of the first feature; there are L times as many features as the table has columns."""
    rows: Tensor
    """(N, L, m)."""
    weights: Tensor
    """(N, L, m)."""


@dataclass
class Points:
    """The constant features of some points and the lookups that give the others."""

    constant: dict[int, Tensor]
    """Features that do not change: (N, c) for c adjacent ones, by the index of the first."""
    lookups: list[Lookup]

    def tensors(self) -> Iterator[Tensor]:
        yield from self.constant.values()
        for lookup in self.lookups:
            yield from (lookup.rows, lookup.weights)

    def map(self, function: Callable[..., Tensor], *others: Points) -> Points:
        """Apply a function to each tensor and the corresponding tensors of the others."""
        every = (self, *others)
        return Points(
            {start: function(*(each.constant[start] for each in every)) for start in self.constant},
            [
                Lookup(
                    same[0].parameter,
                    same[0].start,
                    function(*(each.rows for each in same)),
                    function(*(each.weights for each in same)),
                )
                for same in zip(*(each.lookups for each in every), strict=True)
            ],
        )


class TrainedTable:
    """A table of parameters of which few rows have a gradient.

    Attributes:
        values: (R', F), the trained values: the parameter, or only its rows that points have read.
            SGD with momentum and Adam do not change rows that never had a gradient, so training
            the others alone gives exactly the same result.
    """

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter
        self.values = parameter
        self._kept: Tensor | None = None  # rows of the parameter that ``values`` holds
        self._places: Tensor | None = None  # index in ``values`` of each row, or −1

    def keep(self, rows: Tensor) -> None:
        """Include these rows (K,) in the values; if they are few, drop rows that were not read."""
        read = torch.unique(rows).long()
        if self._kept is None or self._places is None:
            if self.values.grad is not None or 2 * len(read) > len(self.parameter):
                return
            self._places = rows.new_full((len(self.parameter),), -1)
            self._kept = read[:0]
            self.values = nn.Parameter(self.parameter.detach()[:0])
        new = read[self._places[read] < 0]
        if len(new):
            count = len(self._kept)
            self._places[new] = torch.arange(
                count, count + len(new), dtype=rows.dtype, device=rows.device
            )
            self._kept = torch.cat((self._kept, new))
            more = self.parameter.detach()[new]
            self.values = nn.Parameter(torch.cat((self.values.detach(), more)))

    @property
    def compact(self) -> bool:
        """Whether the values are only some of the parameter's rows."""
        return self._kept is not None

    def numbers(self, rows: Tensor) -> Tensor:
        """Indices in ``values`` of rows of the parameter."""
        return rows if self._places is None else self._places[rows.long()]

    def settle(self) -> None:
        """Write the values to the parameter."""
        if self._kept is not None:
            self.parameter.detach()[self._kept] = self.values.detach()

    def descend(self, rows: Tensor, gradients: Tensor, lr: float) -> None:
        """Take a step of gradient descent with gradients (K, F) at rows (K,)."""
        add_rows(self.values.detach(), rows, gradients, -lr)

    def accumulate(self, rows: Tensor, gradients: Tensor) -> None:
        """Add gradients (K, F) at rows (K,) to that of ``values``."""
        if self.values.grad is None:
            self.values.grad = torch.zeros_like(self.values)
        add_rows(self.values.grad, rows, gradients, 1.0)

    def clear(self, rows: Tensor) -> None:
        """Set the gradient at rows (K,) to zero."""
        if self.values.grad is not None:
            self.values.grad.index_fill_(0, rows.long(), 0.0)


def add_rows(table: Tensor, rows: Tensor, values: Tensor, factor: float) -> None:
    """``table[rows[k]] += factor · values[k]``, also for repeated rows.

    Adds column by column: in one dimension ``index_add_`` is ten to twenty times faster than by
    rows (CPU, torch 2.13); a pair of columns is added as one column of complex numbers.
    """
    if table.shape[1] % 2 == 0 and table.dtype in (torch.float32, torch.float64):
        table, values = (
            torch.view_as_complex(each.view(len(each), -1, 2)) for each in (table, values)
        )
    for column, value in zip(table.unbind(1), values.unbind(1), strict=True):
        column.index_add_(0, rows, value, alpha=factor)


class TableFeatures:
    """Features of an encoding that are constant or linear in rows of tables.

    Args:
        encoding: one for which ``why_not_tables`` returns None.
        optimizer: the optimizer that will train it.
        points: total number of points of all steps, repeated ones included.
        batch_size: number of points per batch.
    """

    def __init__(
        self, encoding: Encoding, optimizer: Optimizer, points: int, batch_size: int
    ) -> None:
        self.encoding = encoding
        self.optimizer = optimizer
        self.points = points
        self.batch_size = batch_size
        self.tables = {
            n: TrainedTable(p) for n, p in encoding.named_parameters() if p.requires_grad
        }
        self.learns = bool(self.tables)
        self._x: Tensor | None = None

    @property
    def learned(self) -> list[nn.Parameter]:
        """The parameters for an optimizer; a new epoch may replace one by one with more rows."""
        return [] if self.optimizer.plain else [table.values for table in self.tables.values()]

    def begin(self, x: Tensor, order: Tensor) -> None:
        if x is not self._x:
            self._x = x
            self._all = self._prepared(x)
        self._order = order
        self._window = range(0)

    def forward(self, start: int, stop: int) -> Tensor:
        self._batch = batch = self._points(start, stop)
        parts = dict(batch.constant)
        for lookup in batch.lookups:
            table = self.tables[lookup.parameter].values.detach()
            parts[lookup.start] = weighted_sum(table, lookup)
        if len(parts) == 1:
            return parts.popitem()[1]
        return torch.cat([parts[start] for start in sorted(parts)], dim=1)

    def backward(self, grad: Tensor, lr: float | None) -> None:
        for lookup in self._batch.lookups:
            table = self.tables[lookup.parameter]
            width = table.values.shape[1]
            columns = slice(lookup.start, lookup.start + lookup.rows.shape[1] * width)
            at_sums = grad[:, columns].reshape(-1, 1, width)
            gradients = (at_sums * lookup.weights.view(len(at_sums), -1, 1)).view(-1, width)
            rows = lookup.rows.flatten()
            if lr is None:
                table.accumulate(rows, gradients)
            else:
                table.descend(rows, gradients, lr)

    def clear(self) -> None:
        for lookup in self._batch.lookups:
            self.tables[lookup.parameter].clear(lookup.rows.flatten())

    def settle(self) -> None:
        for table in self.tables.values():
            table.settle()

    def _prepared(self, x: Tensor) -> Points | None:
        """Features and lookups of all points; None if they do not fit or storing does not pay."""
        few = points_of(self.encoding, x[:PROOF_POINTS])
        size = sum(tensor[0].nbytes for tensor in few.tensors())
        # a compact table must contain all rows that the points read
        compact = any(table.compact for table in self.tables.values())
        if not compact and (size * len(x) > CACHE_BYTES or self.points < len(x)):
            return None
        points = points_of(self.encoding, x)
        if self.optimizer.skips_zero_gradients and not self.optimizer.plain:
            for name, table in self.tables.items():
                own = [lookup for lookup in points.lookups if lookup.parameter == name]
                table.keep(torch.cat([lookup.rows.flatten() for lookup in own]))
                for lookup in own:
                    lookup.rows = table.numbers(lookup.rows)
        return points

    def _points(self, start: int, stop: int) -> Points:
        if self._all is not None:
            numbers = self._order[start:stop]
            return self._all.map(lambda values: values.index_select(0, numbers))
        if stop not in self._window or start not in self._window:
            size = max(1, CHUNK // self.batch_size) * self.batch_size
            self._window = range(start, start + size + 1)
            assert self._x is not None, "begin comes first"
            self._near = points_of(self.encoding, self._x[self._order[start : start + size]])
        first = self._window.start
        return self._near.map(lambda values: values[start - first : stop - first])


def weighted_sum(table: Tensor, lookup: Lookup) -> Tensor:
    """The features (n, L · F) of a lookup."""
    rows, weights = lookup.rows.flatten(0, 1), lookup.weights.flatten(0, 1)
    sums = F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
    return sums.view(len(lookup.rows), -1)


def points_of(encoding: Encoding, x: Tensor) -> Points:
    """The constant features and the lookups at x (N, d)."""
    first, *others = (_points_of(encoding, chunk) for chunk in torch.split(x, CHUNK))
    return first.map(lambda *each: torch.cat(each), *others) if others else first


def _points_of(encoding: Encoding, x: Tensor) -> Points:
    tables = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
    blocks = list(encoding.sparse_jacobian(x) or []) if tables else []
    blocks = [block for block in blocks if block.parameter in tables]
    lookups = []
    for level in _levels(blocks):
        first = level[0]
        weights = torch.stack([block.weights for block in level], dim=1)
        # half the memory of int64
        short = torch.int32 if first.num_rows < 2**31 else torch.int64
        rows = torch.stack([block.rows.to(short) for block in level], dim=1)
        dtype = tables[first.parameter].dtype
        lookups.append(Lookup(first.parameter, first.start, rows, weights.detach().to(dtype)))
    learned = {column for b in blocks for column in range(b.start, b.start + b.width)}
    constant = {}
    if len(learned) < encoding.out_dim:
        features = encoding(x).detach()
        for is_learned, run in itertools.groupby(
            range(encoding.out_dim), key=lambda column: column in learned
        ):
            columns = list(run)
            if not is_learned:
                constant[columns[0]] = features[:, columns[0] : columns[-1] + 1].contiguous()
    return Points(constant, lookups)


def _levels(blocks: Sequence[SparseBlock]) -> list[list[SparseBlock]]:
    """Group blocks of one table with adjacent features and rows of the same shape."""
    runs: list[list[SparseBlock]] = []
    for block in blocks:
        before = runs[-1][-1] if runs else None
        if (
            before is not None
            and (block.parameter, block.width) == (before.parameter, before.width)
            and block.start == before.start + before.width
            and block.rows.shape == before.rows.shape
        ):
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


def why_not_tables(encoding: Encoding, x: Tensor) -> str | None:
    """The reason to leave the features at x (N, d) to autograd; None if there is none.

    Features from ``sparse_jacobian`` are compared with those of ``forward`` for random tables. An
    encoding whose features or attributes change from call to call is left to autograd, too.
    """
    if any(map(has_hooks, encoding.modules())):
        return HOOKED
    # spread over the domain: the first pixels of an image cover little of it
    x = x[torch.linspace(0, len(x) - 1, min(len(x), PROOF_POINTS)).round().long()]
    learned = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
    with torch.enable_grad():  # as in training
        features: Tensor = encoding(x).detach()
        before = State(encoding)  # after the first call, which may fill caches
        again = encoding(x)
    if not torch.equal(features, again) or State(encoding) != before:
        return CHANGES
    with torch.no_grad():
        if not learned:
            return None
        try:
            if any(block.factor is not None for block in encoding.sparse_jacobian(x) or ()):
                return "its features are products of tables"
            points = points_of(encoding, x)
        except Exception as error:
            return f"its sparse_jacobian failed: {error_line(error)}"
        if {lookup.parameter for lookup in points.lookups} != set(learned):
            return "its features are not linear in rows of tables"
        for name, p in learned.items():
            if p.ndim != 2 or not p.is_contiguous() or p.dtype != features.dtype:
                return f"{name!r} is not a contiguous matrix of {features.dtype}"
        random = {name: torch.randn_like(p) for name, p in learned.items()}
        wanted = called_with(encoding, random, x)
        for lookup in points.lookups:
            values = weighted_sum(random[lookup.parameter], lookup)
            features[:, lookup.start : lookup.start + values.shape[1]] = values
    close = torch.allclose(features, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    return None if close else "its sparse_jacobian does not give its features"


def has_hooks(module: nn.Module) -> bool:
    """Whether a module or one of its own parameters has hooks."""
    names = (name for name in vars(module) if "hooks" in name and "state_dict" not in name)
    return any(vars(module)[name] for name in names) or any(
        parameter._backward_hooks or parameter._post_accumulate_grad_hooks
        for parameter in module.parameters(recurse=False)
    )


class State(pickle.Pickler):
    """A snapshot of a module's attributes, to find out whether calls change them.

    Tensors are equal if they are the same object and were not written to in between; functions,
    and objects that cannot be pickled, if they are the same object. If pickling fails as a whole,
    the snapshot equals nothing.

    Attributes:
        tensors: parameters, buffers, and tensors in other attributes.
    """

    def __init__(self, module: nn.Module) -> None:
        file = io.BytesIO()
        super().__init__(file)
        self.tensors: list[Tensor] = []
        self._modules = list(module.modules())
        try:
            self.dump([vars(each) for each in self._modules])
        except Exception:  # such as too deep a nesting
            file.truncate(0)
        self._bytes = file.getvalue()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._bytes == other._bytes != b""

    __hash__ = None  # type: ignore[assignment] # only compared, never hashed

    def persistent_id(self, value: Any) -> tuple[int, int] | None:
        if isinstance(value, Tensor):
            self.tensors.append(value)  # kept alive, so that no later tensor gets its id
            return id(value), -1 if value.is_inference() else value._version
        fixed = isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType)
        return (id(value), 0) if fixed or any(value is each for each in self._modules) else None

    def reducer_override(self, value: Any) -> Any:
        try:
            return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:  # objects that cannot be pickled raise any type
            return int, (id(value),)
