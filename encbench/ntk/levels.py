"""The encoding's part of a kernel, split by level or by feature.

A table entry determines one feature of the encoding, so the kernel of the encoding's tables is a
sum over features, and over levels, which are ranges of features:

    K⁺ = Σ_levels K_l,   K_l = Σ_{features f of level l} (S_l S_lᵀ) ∘ (g_f g_fᵀ)

with the interpolation matrix S_l and the gradients g_f of the outputs with respect to feature f.
This is K⁺ of Eq. 13 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.ntk.structure import Structure, part_of

SplitBy = Literal["level", "feature"]
SPLITS: tuple[str, ...] = get_args(SplitBy)


@dataclass(frozen=True, eq=False)
class LevelKernel:
    """The part of the kernel that belongs to the parameters of one level or one feature."""

    name: str
    """ "level 1, 64 nodes", "lines, 128 nodes", "features 2 to 3", "feature 5", or the names of
    the parameters that are in no table."""
    features: range | None
    """The features that the parameters determine; None for those that are in no table."""
    kernel: Tensor
    """(M, M), as ``Ntk.total``."""


def along_eigenvectors(kernel: Tensor, parts: Iterable[Tensor]) -> np.ndarray:
    """v_iᵀ K_l v_i (M, parts) for the eigenvectors v_i of a kernel (M, M), the leading one first.

    If the parts (M, M) sum to the kernel, row i sums to λ_i and holds each part's share of it.
    Eigenvectors of equal eigenvalues are arbitrary within the space that they span, and so are
    their shares; the mean over these eigenvectors is not.
    """
    vectors = torch.linalg.eigh(kernel)[1].flip(1)
    shares = [(vectors * (part @ vectors)).sum(0) for part in parts]
    return torch.stack(shares, 1).cpu().numpy()


def outside_tables(structure: Structure) -> Structure | None:
    """The structure of only the encoding's parameters that are in no table; None if none are."""
    layers = tuple(one for one in structure.layers if part_of(one.name) == "encoding")
    rest = tuple(name for name in structure.rest if part_of(name) == "encoding")
    if not layers and not rest:
        return None
    return replace(structure, layers=layers, tables=frozenset(), rest=rest)


def levels_of(
    encoding: Encoding, blocks: Sequence[SparseBlock]
) -> dict[str, tuple[range, Sequence[SparseBlock]]]:
    """The blocks of each level, by name; a level is a range of features between ends of blocks.
    If several tables add to the only such range, each table is a level."""
    ends = sorted({end for b in blocks for end in (b.start, b.start + b.width)})
    named: dict[str, tuple[range, Sequence[SparseBlock]]] = {}
    for start, stop in pairwise(ends):
        own = [b for b in blocks if b.start <= start < b.start + b.width]
        if own:
            grid = _grid_of(encoding, own)
            text = f"level {len(named)}, {grid}" if grid else f"features {start} to {stop - 1}"
            named[text] = range(start, stop), own
    tables = dict.fromkeys(block.parameter for block in blocks)
    if len(named) > 1 or len(tables) < 2:
        return named
    ((features, _),) = named.values()
    named = {}
    for table in tables:
        own = [block for block in blocks if block.parameter == table]
        parts = [table.removesuffix(".table"), _grid_of(encoding, own)]
        named[", ".join(filter(None, parts))] = features, own
    return named


def names_outside(structure: Structure, trainable: Iterable[str]) -> str:
    """The encoding's trained parameters in no table: two names, and the number of others."""
    own = [name for name in trainable if part_of(name) == "encoding"]
    others = [name.removeprefix("encoding.") for name in own if name not in structure.tables]
    more = f" and {len(others) - 2} more" if len(others) > 2 else ""
    return ", ".join(others[:2]) + more


def _grid_of(encoding: Encoding, blocks: Sequence[SparseBlock]) -> str:
    """ "16 nodes", "hashed", or "" if the encoding does not tell which grid the blocks are."""
    for grid in encoding.learned_grids():
        for block in blocks:
            if block.parameter != grid.parameter:
                continue
            if grid.rows is not None and bool((grid.rows == block.rows[0, 0].cpu()).any()):
                return f"{grid.rows.shape[-1]} nodes"
            if grid.rows is None and grid.start == block.start:
                return "hashed"
    return ""
