"""The encoding's part of a kernel, split by level or by feature.

A table entry determines one feature of the encoding, so the kernel of the encoding's tables is a
sum over features, and over levels, which are ranges of features:

    K⁺ = Σ_levels K_l,   K_l = Σ_{features f of level l} (S_l S_lᵀ) ∘ (g_f g_fᵀ)

with the interpolation matrix S_l and the gradients g_f of the outputs with respect to feature f.
This is K⁺ of Eq. 13 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.errors import NtkError
from encbench.ntk.capture import capture, table_terms
from encbench.ntk.kernel import spare_memory, summed
from encbench.ntk.model import check_choice, encoding_of, working_copy
from encbench.ntk.structure import Structure, find_structure, part_of, sparse_blocks
from encbench.ntk.terms import OUTPUTS, Outputs

SplitBy = Literal["level", "feature"]
SPLITS: tuple[str, ...] = get_args(SplitBy)


@dataclass(frozen=True, eq=False)
class LevelKernel:
    """The part of the kernel that belongs to one level's parameters, or to one feature's."""

    name: str
    """ "level 1, 64 nodes", "features 2 to 3", "feature 5", or "other parameters"."""
    features: range | None
    """The features that the parameters determine; None for those that are in no table."""
    kernel: Tensor
    """(M, M), as ``Ntk.total``."""


@torch.inference_mode(False)
def kernel_by_level(
    model: nn.Module,
    x: Tensor,
    *,
    by: SplitBy = "level",
    outputs: Outputs = "trace",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Iterator[LevelKernel]:
    """The encoding's part of ``empirical_ntk``, one level after another; the parts sum to it.

    A level is a range of features that the encoding's ``sparse_jacobian`` does not divide: the
    features of one grid, or of several whose values are multiplied. Parameters of the encoding
    without a block, such as those of a dense layer, follow as one part.

    Args:
        model, x, outputs, dtype, device: as in ``empirical_ntk``.
        by: "level", or "feature" for a part each feature.

    Yields:
        A part, computed when asked for, so that memory is needed for one at a time.

    Raises:
        NtkError: as ``empirical_ntk``, or the encoding has no level.
        ParameterError, PluginError: as ``empirical_ntk``.
    """
    check_choice("outputs", outputs, OUTPUTS)
    check_choice("by", by, SPLITS)
    private, points, trainable = working_copy(model, x, dtype, device)
    structure = find_structure(private, points, trainable)
    encoding = encoding_of(private)
    if encoding is None or not structure.tables:
        own = any(part_of(name) == "encoding" for name in trainable)
        raise NtkError(
            f"{'the model' if encoding is None else type(encoding).__name__} has no levels: "
            + (
                "its learned parameters are in no table that sparse_jacobian describes"
                if own
                else "no parameter of an encoding is trained"
            )
        )
    blocks = sparse_blocks(encoding, points, set(structure.tables))
    named = _levels(encoding, blocks)
    if by == "feature":
        named = {f"feature {f}": range(f, f + 1) for features in named.values() for f in features}
    spare = spare_memory(structure, points, outputs, 2)
    found = table_terms(private, points, structure, named.values())
    for (name, features), terms in zip(named.items(), found, strict=True):
        kernel = summed(terms.of(outputs), ["encoding"], points)
        yield LevelKernel(name, features, kernel)
    if others := _others(structure):
        terms = capture(private, points, others, spare)
        kernel = summed(terms.of(outputs), ["encoding"], points)
        yield LevelKernel("other parameters", None, kernel)


def along_eigenvectors(kernel: Tensor, parts: Iterable[Tensor]) -> np.ndarray:
    """v_iᵀ K_l v_i (M, parts), v_i the eigenvectors of a kernel (M, M), the leading one first.

    Where the parts (M, M) sum to the kernel, row i sums to λ_i: each part's share of it. Of
    eigenvalues that are equal the eigenvectors are arbitrary within the space that they span, and
    so are the shares; the mean over these eigenvectors is not.
    """
    vectors = torch.linalg.eigh(kernel)[1].flip(1)
    shares = [(vectors * (part @ vectors)).sum(0) for part in parts]
    return torch.stack(shares, 1).cpu().numpy()


def _others(structure: Structure) -> Structure | None:
    """The structure of the encoding's parameters that are in no table; None without any."""
    layers = tuple(one for one in structure.layers if part_of(one.name) == "encoding")
    rest = tuple(name for name in structure.rest if part_of(name) == "encoding")
    if not layers and not rest:
        return None
    return replace(structure, layers=layers, tables=frozenset(), rest=rest)


def _levels(encoding: Encoding, blocks: Sequence[SparseBlock]) -> dict[str, range]:
    """The ranges of features between the ends of blocks, by name."""
    ends = sorted({end for b in blocks for end in (b.start, b.start + b.width)})
    named: dict[str, range] = {}
    for start, stop in pairwise(ends):
        own = [b for b in blocks if b.start <= start < b.start + b.width]
        if own:
            grid = _grid_of(encoding, own)
            text = f"level {len(named)}, {grid}" if grid else f"features {start} to {stop - 1}"
            named[text] = range(start, stop)
    return named


def _grid_of(encoding: Encoding, blocks: Sequence[SparseBlock]) -> str:
    """ "16 nodes", "hashed", or "" where the encoding does not say which grid a level is."""
    for grid in encoding.learned_grids():
        for block in blocks:
            if block.parameter != grid.parameter:
                continue
            if grid.rows is not None and bool((grid.rows == block.rows[0, 0].cpu()).any()):
                return f"{grid.rows.shape[-1]} nodes"
            if grid.rows is None and grid.start == block.start:
                return "hashed"
    return ""
