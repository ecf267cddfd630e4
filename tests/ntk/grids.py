"""Encodings for these tests: grids with collisions, and others with or without faults."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor, nn

from encbench import Encoding, SparseBlock


class CollidingGrid(Encoding):
    """Two levels of linear interpolation, each in a table so small that corners collide."""

    def __init__(self, in_dim: int = 2, *, sides: tuple[int, ...] = (3, 9), rows: int = 7) -> None:
        super().__init__(in_dim, out_dim=2 * len(sides) + in_dim)
        self.sides, self.rows = sides, rows
        self.tables = nn.ParameterList(torch.randn(rows, 2) for _ in sides)

    def lookup(self, x: Tensor, side: int) -> tuple[Tensor, Tensor]:  # (N, 2^d) twice
        cell = (x * side).floor().clamp(max=side - 1)
        inside = x * side - cell
        rows, weights = [], []
        for corner in itertools.product((0, 1), repeat=self.in_dim):
            offset = torch.tensor(corner, device=x.device)
            node = cell.long() + offset
            strides = torch.tensor([1, 6, 11][: self.in_dim], device=x.device)
            rows.append((node * strides).sum(1) % self.rows)
            weights.append(torch.where(offset == 1, inside, 1 - inside).prod(1))
        return torch.stack(rows, 1), torch.stack(weights, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for table, side in zip(self.tables, self.sides, strict=True):
            rows, weights = self.lookup(x, side)
            features.append((table[rows] * weights[:, :, None].to(table.dtype)).sum(1))
        return torch.cat(features, 1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = []
        for level, side in enumerate(self.sides):
            rows, weights = self.lookup(x, side)
            start = self.in_dim + 2 * level
            blocks.append(SparseBlock(f"tables.{level}", rows, weights, self.rows, start, 2))
        return blocks


class SilentGrid(CollidingGrid):
    """The same features without a sparse Jacobian."""

    def sparse_jacobian(self, x: Tensor) -> None:
        return None


class ForgetfulGrid(CollidingGrid):
    """A sparse Jacobian in which a colliding corner overwrites the other."""

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = []
        for block in super().sparse_jacobian(x):
            rows, weights = block.rows, block.weights.clone()
            for first in range(rows.shape[1]):
                for second in range(first):
                    weights[rows[:, first] == rows[:, second], second] = 0.0
            blocks.append(SparseBlock(block.parameter, rows, weights, 7, block.start, 2))
        return blocks


class LearnedFeatures(Encoding):
    """gain · sin(W x) with a learned linear layer, and a gain that is a parameter of its own."""

    def __init__(self, in_dim: int = 2) -> None:
        super().__init__(in_dim, out_dim=6)
        self.linear = nn.Linear(in_dim, 6)
        self.gain = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * torch.sin(6.0 * self.linear(x))


class SharedRowsGrid(CollidingGrid):
    """Two levels that read the same table, declared as two blocks."""

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for side in self.sides:
            rows, weights = self.lookup(x, side)
            features.append((self.tables[0][rows] * weights[:, :, None].to(x)).sum(1))
        return torch.cat(features, 1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = super().sparse_jacobian(x)
        return [SparseBlock("tables.0", b.rows, b.weights, 7, b.start, 2) for b in blocks]


class ProductGrid(CollidingGrid):
    """The product of two colliding tables, each declared with the other's values as factor."""

    def __init__(self, in_dim: int = 2) -> None:
        super().__init__(in_dim)
        self.out_dim = 2

    def values(self, x: Tensor) -> list[Tensor]:  # (N, 2) of each table
        return list(super().forward(x)[:, self.in_dim :].split(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.values(x)
        return one * other

    def factors(self, x: Tensor) -> list[Tensor]:
        return self.values(x)[::-1]

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock]:
        blocks = zip(super().sparse_jacobian(x), self.factors(x), strict=True)
        return [dataclasses.replace(block, start=0, factor=factor) for block, factor in blocks]


class WrongFactor(ProductGrid):
    """Declares each table's own values as its factor."""

    def factors(self, x: Tensor) -> list[Tensor]:
        return self.values(x)


class RarelyWrongFactor(ProductGrid):
    """Declares a factor that is slightly wrong, at few points only."""

    def factors(self, x: Tensor) -> list[Tensor]:
        rare = (x[:, :1] > 0.3) & (x[:, :1] < 0.35)
        return [factor * (1 + 1e-4 * rare) for factor in super().factors(x)]


class NarrowFactor(ProductGrid):
    """Declares factors of one column for tables of two."""

    def factors(self, x: Tensor) -> list[Tensor]:
        return [factor[:, :1] for factor in super().factors(x)]
