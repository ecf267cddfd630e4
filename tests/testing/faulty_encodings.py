"""Encodings with one fault each, and one without; at module level, for workers to import."""

from __future__ import annotations

import random
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding, Search, SparseBlock

Nodes = Annotated[int, Field(ge=2, description="nodes on each axis")]


class Line(Encoding):
    """A row of learnable values per axis, interpolated linearly."""

    equation = "γ(x) = [(1 − w) θ_a[i] + w θ_a[i + 1]] for each axis a"
    source = "the tests"
    max_dim = 2

    def __init__(self, in_dim: int, *, nodes: Nodes = 4) -> None:
        super().__init__(in_dim, out_dim=in_dim)
        self.nodes = nodes
        self.table = nn.Parameter(torch.randn(in_dim * nodes, 1))

    def cells(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, d) -> rows, weights (N, d, 2)
        position = x * (self.nodes - 1)
        cell = position.detach().floor().long().clamp(max=self.nodes - 2)
        weight = position - cell
        row = cell + self.nodes * torch.arange(self.in_dim, device=x.device)
        return torch.stack((row, row + 1), -1), torch.stack((1 - weight, weight), -1)

    def forward(self, x: Tensor) -> Tensor:
        rows, weights = self.cells(x)
        return (weights * self.table[rows, 0]).sum(-1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        rows, weights = self.cells(x)
        return [
            SparseBlock("table", rows[:, axis], weights[:, axis], len(self.table), axis, 1)
            for axis in range(self.in_dim)
        ]


class Sized(Line):
    """Has a required parameter beside one with a default, which is no fault."""

    def __init__(
        self,
        in_dim: int,
        *,
        nodes: Nodes,
        slope: Annotated[float, Field(description="factor")] = 1.0,
    ) -> None:
        super().__init__(in_dim, nodes=nodes)


class Appending(Line):
    """Appends to its list of offsets, which is the default of its class."""

    def __init__(
        self,
        in_dim: int,
        *,
        offsets: Annotated[list[int], Field(description="of each axis")] = [0],  # noqa: B006 # the fault
    ) -> None:
        super().__init__(in_dim)
        offsets.append(1)
        self.offsets = offsets


class Doubling(Line):
    """Sets torch's default dtype to float64."""

    def __init__(self, in_dim: int, *, nodes: Nodes = 4) -> None:
        super().__init__(in_dim, nodes=nodes)
        torch.set_default_dtype(torch.float64)


class Ungrateful(Line):
    """Switches gradients off."""

    def forward(self, x: Tensor) -> Tensor:
        features = super().forward(x)
        torch.set_grad_enabled(False)
        return features


class Undocumented(Line):
    equation = ""


class Untyped(Line):
    """A parameter without a type."""

    def __init__(self, in_dim, *, nodes=4):
        super().__init__(in_dim, nodes=nodes)


class Undescribed(Line):
    """A parameter without a description."""

    def __init__(self, in_dim: int, *, nodes: int = 4) -> None:
        super().__init__(in_dim, nodes=nodes)


class BadDefault(Line):
    """A default outside its own annotation's range."""

    def __init__(self, in_dim: int, *, nodes: Nodes = 1) -> None:
        super().__init__(in_dim, nodes=max(nodes, 2))


class BadSearch(Line):
    """A search range outside its own annotation's range."""

    def __init__(self, in_dim: int, *, nodes: Annotated[Nodes, Search(1, 9)] = 4) -> None:
        super().__init__(in_dim, nodes=nodes)


class Keywords(Line):
    """Parameters hidden in **keywords."""

    def __init__(self, in_dim: int, **keywords: int) -> None:
        super().__init__(in_dim, **keywords)


class OldSignature(Line):
    """Built for an interface without in_dim."""

    def __init__(self, *, nodes: Nodes = 4) -> None:
        super().__init__(2, nodes=nodes)


class Abstract(Encoding):
    """Built for an interface in which forward had another name."""

    equation = source = "the tests"

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def encode(self, x: Tensor) -> Tensor:
        return x


class NoSuper(Line):
    """Never sets out_dim."""

    def __init__(self, in_dim: int) -> None:
        nn.Module.__init__(self)


class WrongShape(Line):
    """One feature more than out_dim."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((super().forward(x), x[:, :1]), 1)


class Crashing(Line):
    """Its forward raises."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no luck today")


class Single(Line):
    """Rounds to float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class Imprecise(Line):
    """A frequency too high for float32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.sin(1e9 * torch.pi * x)


class Stray(Line):
    """A tensor that is neither a parameter nor a buffer."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.offset = torch.ones(in_dim)


class Unseeded(Line):
    """Draws from Python's generator, which torch's seed does not set."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.register_buffer("factor", torch.tensor(random.random()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor.to(x.dtype) * super().forward(x)


class Noisy(Line):
    """Draws random numbers in forward, without using them."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * torch.randn_like(x)


class Undefined(Line):
    """Not a number anywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


class Random(Line):
    """Adds random numbers in forward."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn_like(x)


class Reseeding(Line):
    """Seeds torch's generator, and changes its default dtype, in forward."""

    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        return super().forward(x) + torch.rand(1).to(x.dtype)

    def sparse_jacobian(self, x: Tensor) -> None:
        return None


class Dropping(Line):
    """Another function in training than in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if self.training else 2)


class Detached(Line):
    """Detaches its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Unused(Line):
    """A parameter that forward does not use."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.spare = nn.Parameter(torch.zeros(1))


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class WrongBackward(Line):
    """Returns twice its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return _Doubled.apply(super().forward(x))


class Open(Line):
    """Not defined at the upper border."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e-3 / (1 - x)


class OpenGradient(Line):
    """Finite features with an infinite gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (x * self.table.mean() ** 2).sqrt()


class Centred(Line):
    """Subtracts the batch's mean."""

    def forward(self, x: Tensor) -> Tensor:
        features = super().forward(x)
        return features - features.mean(0)


class InPlace(Line):
    """Scales the caller's points."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(0.5))


class WrongBlocks(Line):
    """Forgets the second corner's weight."""

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        rows, weights = self.cells(x)
        weights = weights * torch.tensor([1.0, 0.5], dtype=x.dtype)
        return [
            SparseBlock("table", rows[:, axis], weights[:, axis], len(self.table), axis, 1)
            for axis in range(self.in_dim)
        ]


class MissingBlocks(Line):
    """Describes only the first axis."""

    max_dim = 2
    min_dim = 2

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        return super().sparse_jacobian(x)[:1]


class SharedRows(Line):
    """Two blocks that touch the same rows."""

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = super().sparse_jacobian(x)
        return [*blocks, *blocks]


class Misnamed(Line):
    """Blocks of a parameter that does not exist."""

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        rows, weights = self.cells(x)
        return [SparseBlock("tabel", rows[:, 0], weights[:, 0], len(self.table), 0, 1)]


class Forgetful(Line):
    """A random buffer that the state dict leaves out."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.register_buffer("shift", torch.rand(in_dim), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.shift.to(x.dtype)


class Unpicklable(Line):
    """Holds a lambda."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim)
        self.wave = lambda x: x


class SparseGradients(Line):
    """The table's gradient is a sparse tensor."""

    def forward(self, x: Tensor) -> Tensor:
        rows, weights = self.cells(x)
        values = nn.functional.embedding(rows, self.table, sparse=True)[..., 0]
        return (weights * values).sum(-1)
