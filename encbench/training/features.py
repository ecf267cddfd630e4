"""The features of a batch of points, and what their gradient does to the encoding.

Three ways, by what the encoding is:

- nothing to learn: the features of points that stay the same are computed once;
- features linear in rows of tables (``Encoding.sparse_jacobian``): rows and weights are computed
  once, and only rows that a batch reads are updated, so that the cost of a step does not grow
  with the table;
- anything else: forward and backward by autograd.
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
from torch.func import functional_call

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.contracts.optimizer import Optimizer
from encbench.errors import error_line

CHUNK = 1 << 14
"""Points whose features are computed at once."""
CACHE_BYTES = 1 << 28
"""Memory for what is kept of an epoch's points; beyond it they are computed in windows."""
PROOF_POINTS = 256
"""Points at which an encoding's structure is compared with what it computes."""
CHANGES = "it changes from call to call"
HOOKED = "it has hooks"
"""Reasons for which an encoding is left to autograd, and its Python must run at every step."""


class AutogradFeatures:
    """Of any encoding.

    Attributes:
        learned: the parameters, for an optimizer.
        learns: whether the encoding has any.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.learned = [p for p in encoding.parameters() if p.requires_grad]
        self.learns = bool(self.learned)

    def begin(self, x: Tensor, order: Tensor) -> None:
        """An epoch begins: points (N, d), and the order (N,) in which batches take them.

        The tensor of the epoch before stands for the same points.
        """
        self._x = x[order]

    def forward(self, start: int, stop: int) -> Tensor:
        """Features (n, d_e) of the points from start to stop in this epoch's order."""
        with torch.set_grad_enabled(self.learns):
            self._out: Tensor = self.encoding(self._x[start:stop])
        features: Tensor = self._out.detach()
        return features

    def backward(self, grad: Tensor, lr: float | None) -> None:
        """From the gradient (n, d_e) of the loss at the last features to the parameters'.

        Args:
            lr: of plain gradient descent, whose step may be taken at once; None leaves gradients
                to an optimizer, as they are left for every parameter in ``learned``.
        """
        for parameter in self.learned:
            parameter.grad = None
        out = self._out
        # autograd's nodes must not outlive the step: they belong to the stream it ran on
        del self._out
        if out.requires_grad:  # forward may use none of the parameters
            out.backward(grad)  # type: ignore[no-untyped-call] # torch leaves it untyped

    def clear(self) -> None:
        """An optimizer has taken its step: set gradients that are kept back to zero."""

    def settle(self) -> None:
        """Write values that are kept apart back to the encoding's parameters."""


@dataclass
class Lookup:
    """Adjacent features that are weighted sums of m rows of a table, at each of L levels."""

    parameter: str
    start: int
    """First feature; there are L times the table's columns."""
    rows: Tensor
    """(N, L, m)."""
    weights: Tensor
    """(N, L, m)."""


@dataclass
class Points:
    """What features of some points are made of."""

    constant: dict[int, Tensor]
    """Features that do not change: the first one's number to (N, c), c adjacent ones."""
    lookups: list[Lookup]

    def tensors(self) -> Iterator[Tensor]:
        yield from self.constant.values()
        for lookup in self.lookups:
            yield from (lookup.rows, lookup.weights)

    def map(self, function: Callable[..., Tensor], *others: Points) -> Points:
        """Of what a function makes of each tensor, and of those of others in its place."""
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
        values: (R', F), what is trained: the parameter, or only those of its rows that points
            have read. Without a gradient SGD with momentum and Adam leave a row where it is, so
            that training those alone is exactly training the table.
    """

    def __init__(self, parameter: nn.Parameter) -> None:
        self.parameter = parameter
        self.values = parameter
        self._kept: Tensor | None = None  # the rows of the parameter that ``values`` has
        self._places: Tensor | None = None  # for each row of the parameter its number there, or −1

    def keep(self, rows: Tensor) -> None:
        """Have these rows (K,) among the values, and where they are few, those alone."""
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
        """Where rows of the parameter are among the values."""
        return rows if self._places is None else self._places[rows.long()]

    def settle(self) -> None:
        """Write the values to the parameter."""
        if self._kept is not None:
            self.parameter.detach()[self._kept] = self.values.detach()

    def descend(self, rows: Tensor, gradients: Tensor, lr: float) -> None:
        """A step of gradient descent, for the gradients (K, F) at rows (K,)."""
        add_rows(self.values.detach(), rows, gradients, -lr)

    def accumulate(self, rows: Tensor, gradients: Tensor) -> None:
        """Add to the gradient of ``values``."""
        if self.values.grad is None:
            self.values.grad = torch.zeros_like(self.values)
        add_rows(self.values.grad, rows, gradients, 1.0)

    def clear(self, rows: Tensor) -> None:
        """Set the gradient at rows (K,) back to zero."""
        if self.values.grad is not None:
            self.values.grad.index_fill_(0, rows.long(), 0.0)


def add_rows(table: Tensor, rows: Tensor, values: Tensor, factor: float) -> None:
    """``table[rows[k]] += factor · values[k]``, also for rows that stand twice.

    By columns: along one axis ``index_add_`` is ten to twenty times faster than along rows (CPU,
    torch 2.13), and a pair of columns is one of complex numbers.
    """
    if table.shape[1] % 2 == 0 and table.dtype in (torch.float32, torch.float64):
        table, values = (
            torch.view_as_complex(each.view(len(each), -1, 2)) for each in (table, values)
        )
    for column, value in zip(table.unbind(1), values.unbind(1), strict=True):
        column.index_add_(0, rows, value, alpha=factor)


class TableFeatures:
    """Of an encoding whose features are constant, or linear in rows of tables.

    Args:
        encoding: one of which ``why_not_tables`` has nothing to say.
        optimizer: what will train it.
        points: how many points training takes in all, repeated ones counted.
        batch_size: of the batches.
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
        """What an optimizer trains; a new epoch may replace it by one with more rows."""
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
        """What is kept of all points; None where that does not fit or pay."""
        few = points_of(self.encoding, x[:PROOF_POINTS])
        size = sum(tensor[0].nbytes for tensor in few.tensors())
        # once a table is compact, rows that points read must be found in it
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
    """(n, L · F) features."""
    rows, weights = lookup.rows.flatten(0, 1), lookup.weights.flatten(0, 1)
    sums = F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
    return sums.view(len(lookup.rows), -1)


def points_of(encoding: Encoding, x: Tensor) -> Points:
    """What the features at x (N, d) are made of."""
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
    """Blocks whose features are adjacent and of the same shape, together."""
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
    """Why the features at x (N, d) must be left to autograd; None if they need not.

    What ``sparse_jacobian`` claims is compared with ``forward`` for random tables. An encoding
    whose features or attributes change from call to call is left to autograd too.
    """
    if any(map(has_hooks, encoding.modules())):
        return HOOKED
    # all over the domain: neighbours of an image's first pixel see little of it
    x = x[torch.linspace(0, len(x) - 1, min(len(x), PROOF_POINTS)).round().long()]
    learned = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
    with torch.enable_grad():  # as in training
        features: Tensor = encoding(x).detach()
        before = State(encoding)  # with what the first call has cached
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
        wanted = functional_call(encoding, random, (x,))
        for lookup in points.lookups:
            values = weighted_sum(random[lookup.parameter], lookup)
            features[:, lookup.start : lookup.start + values.shape[1]] = values
    close = torch.allclose(features, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    return None if close else "its sparse_jacobian is not what its features depend on"


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called beside a module, or with the gradient of its parameters."""
    names = (name for name in vars(module) if "hooks" in name and "state_dict" not in name)
    return any(vars(module)[name] for name in names) or any(
        parameter._backward_hooks or parameter._post_accumulate_grad_hooks
        for parameter in module.parameters(recurse=False)
    )


class State(pickle.Pickler):
    """What a module keeps from call to call, to be compared.

    Tensors are equal if they are the same and nobody has written to them; functions, and objects
    that refuse to be pickled, if they are the same. Where pickling fails, it equals nothing.

    Attributes:
        tensors: parameters and buffers, and those in other attributes.
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

    __hash__ = None  # type: ignore[assignment] # what is compared this way has none

    def persistent_id(self, value: Any) -> tuple[int, int] | None:
        if isinstance(value, Tensor):
            self.tensors.append(value)  # so that no later one gets its id
            return id(value), -1 if value.is_inference() else value._version
        fixed = isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType)
        return (id(value), 0) if fixed or any(value is each for each in self._modules) else None

    def reducer_override(self, value: Any) -> Any:
        try:
            return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        except Exception:  # whatever an object raises that cannot be pickled
            return int, (id(value),)
