"""The empirical NTK as a matrix, exact, computed layer by layer without forming the Jacobian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from encbench.device import available_memory, prefers_large_pieces
from encbench.errors import NtkError, check_choice
from encbench.ntk.autograd import jacobian
from encbench.ntk.capture import KernelTerms, capture, table_terms
from encbench.ntk.levels import (
    SPLITS,
    LevelKernel,
    SplitBy,
    levels_of,
    names_outside,
    outside_tables,
)
from encbench.ntk.model import encoding_of, working_copy
from encbench.ntk.structure import (
    PARTS,
    KernelMethod,
    Part,
    Structure,
    find_structure,
    part_of,
    sparse_blocks,
)
from encbench.ntk.terms import OUTPUTS, Outputs, Workspace, chunks

TILE = 256, 2048  # rows and columns: small enough for the cache
GPU_TILE = 1024, 8192


@dataclass(frozen=True, eq=False)
class Ntk:
    """An empirical NTK at N points of a model with O outputs.

    Θ[(i,a),(j,b)] = Σ_θ ∂f_a(x_i)/∂θ · ∂f_b(x_j)/∂θ over the trainable parameters θ.
    """

    total: Tensor
    """(M, M), exactly symmetric. M = N for outputs="trace", the mean over a of the blocks
    (a, a); M = N·O for "full", with point n and output a in row n·O + a."""
    parts: dict[Part, Tensor]
    """(M, M) each: "mlp" + "encoding" = total. Read-only: parts may share memory with total,
    and an encoding without trained parameters is one zero, expanded."""
    outputs: Outputs
    points: int
    out_dim: int
    methods: dict[str, KernelMethod] = field(default_factory=dict)
    """Method by which each trained parameter's kernel was computed: "layerwise", "sparse", or
    "jacobian", which is slow but works for any parameter."""


@torch.inference_mode(False)
def empirical_ntk(
    model: nn.Module,
    x: Tensor,
    *,
    outputs: Outputs = "trace",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    parts: Sequence[Part] = PARTS,
) -> Ntk:
    """The empirical neural tangent kernel of a model at x.

    For a linear layer h = s·W a + β b and G_a = ∂f_a/∂h,
    Θ[(i,a),(j,b)] = (s² a_i·a_j + β²) (G_ia · G_jb); for a grid with interpolation matrix S,
    (S Sᵀ) ∘ (G Gᵀ) with the gradients G of its features. For all other parameters the Jacobian is
    formed.

    Args:
        model: maps (N, d) to (N, O), each row independently. Parameters under ``model.encoding``
            are the encoding's part. Never changed: a copy in eval mode is used.
        x: (N, d), in [0, 1] if the model has an encoding; N >= 1.
        outputs: "trace" for the (N, N) mean over outputs of the diagonal blocks, "full" for all.
        dtype: float64 or float32, for all computation. float32 loses all eigenvalues below about
            1e-6 of the largest.
        device: where to compute; None for the model's device. x may be on any device.
        parts: which parts to return besides the total; () saves their memory.

    Raises:
        NtkError: the kernel is not defined for this x or model, or does not fit in memory.
        ParameterError: outputs, parts, dtype or device is not one of the allowed values.
        PluginError: the encoding's ``sparse_jacobian`` contradicts its forward pass.

    Source: Jacot, Gabriel, Hongler, "Neural Tangent Kernel", NeurIPS 2018; the layerwise form as
    in Novak, Sohl-Dickstein, Schoenholz, "Fast Finite Width Neural Tangent Kernel", ICML 2022.
    """
    check_choice("outputs", outputs, OUTPUTS)
    for part in parts:
        check_choice("a part", part, PARTS)
    private, points, trainable = working_copy(model, x, dtype, device)
    structure = find_structure(private, points, trainable)
    split = bool(parts) and any(part_of(name) == "encoding" for name in trainable)
    spare = _spare_memory(structure, points, outputs, 1 + len(set(parts)) if split else 1)
    terms = capture(private, points, structure, spare).of(outputs)

    if split:
        # Each part is summed separately: total - mlp would lose the encoding's small entries.
        by_part = {part: _summed(terms, [part], points) for part in PARTS}
        total = by_part["mlp"] + by_part["encoding"]
    else:
        total = _summed(terms, PARTS, points)
        zero = torch.zeros((), dtype=dtype, device=points.device).expand_as(total)
        by_part = {"mlp": total, "encoding": zero}
    methods = {name: structure.method(name) for name in sorted(trainable)}
    kept = {part: by_part[part] for part in PARTS if part in parts}
    return Ntk(total, kept, outputs, len(points), structure.out_dim, methods)


@torch.inference_mode(False)
def cross_ntk(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    outputs: Outputs = "trace",
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """The kernel between points x (N, d) and y (M, d): (N, M), or (N·O, M·O) for "full".

    Arguments, order of indices and errors as in ``empirical_ntk``.
    """
    check_choice("outputs", outputs, OUTPUTS)
    _, right, _ = working_copy(model, y, dtype, device)
    private, left, trainable = working_copy(model, x, dtype, device)
    both = torch.cat([left, right])
    structure = find_structure(private, both, trainable)
    spare = _spare_memory(structure, both, outputs, 1)
    terms = capture(private, both, structure, spare).of(outputs)
    rows, cols = slice(0, len(left)), slice(len(left), len(both))
    tiles = _Tiles(terms, PARTS, both, rows, cols)
    for strip in chunks(rows.stop, tiles.rows):
        tiles.fill(strip, cols)
    return tiles.kernel


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
    features of one grid, or of several whose values are multiplied. If all tables determine the
    same features, as lines, planes and a volume that are added do, each table is a level.
    Parameters of the encoding without a block, such as those of a dense layer, are the last part.

    Args:
        model, x, outputs, dtype, device: as in ``empirical_ntk``.
        by: "level", or "feature" for one part per feature.

    Yields:
        One part at a time, computed on demand.

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
    named = levels_of(encoding, blocks)
    if by == "feature":
        each = sorted({f for features, _ in named.values() for f in features})
        named = {f"feature {f}": (range(f, f + 1), blocks) for f in each}
    spare = _spare_memory(structure, points, outputs, 2)
    found = table_terms(private, points, structure, named.values())
    for (name, (features, _)), terms in zip(named.items(), found, strict=True):
        kernel = _summed(terms.of(outputs), ["encoding"], points)
        yield LevelKernel(name, features, kernel)
    if others := outside_tables(structure):
        terms = capture(private, points, others, spare)
        kernel = _summed(terms.of(outputs), ["encoding"], points)
        yield LevelKernel(names_outside(structure, sorted(trainable)), None, kernel)


def _summed(terms: KernelTerms, parts: Sequence[Part], x: Tensor) -> Tensor:
    """The sum of the terms of the given parts at x (N, d), exactly symmetric."""
    return _Tiles(terms, parts, x, slice(0, len(x)), slice(0, len(x))).symmetric()


def brute_force_ntk(model: nn.Module, x: Tensor) -> dict[Part, Tensor]:
    """Both parts of the full kernel from the Jacobian, row by row: the reference for all methods.

    For a few points x (N, d), in the model's dtype. Shapes and order of indices as in ``Ntk``.
    """
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    kernels = {}
    for part in PARTS:
        names = [name for name in trained if part_of(name) == part]
        if names:
            rows = jacobian(model, names, x, by_points=True).flatten(0, 1)
        else:
            rows = x.new_zeros(model(x).numel(), 1)
        kernels[part] = rows @ rows.T
    return kernels


def _spare_memory(structure: Structure, x: Tensor, outputs: Outputs, squares: int) -> int:
    """Memory [bytes] that ``squares`` kernels at x (N, d) and the factors of all terms leave free.

    Raises:
        NtkError: they do not fit; the message states the largest N that does.
    """
    each = structure.out_dim if outputs == "full" else 1
    squared = squares * each**2 * x.element_size()
    linear = structure.numbers_per_point * x.element_size()
    free, points = available_memory(x.device), len(x)
    need = squared * points**2 + linear * points
    if need <= free:
        return free - need
    fits = int((-linear + (linear**2 + 4 * squared * free) ** 0.5) / (2 * squared))
    raise NtkError(
        f"a kernel of {points} points needs {need / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are "
        f"free; take at most {fits} points, fewer parts or outputs='trace', or multiply without "
        "forming it: encbench.ntk.operator"
    )


class _Tiles:
    """The sum of terms between two ranges of points, filled tile by tile.

    ``kernel`` is (n_rows·O, n_cols·O), in the dtype and on the device of ``like``; uninitialized
    at first. O is the outputs of the terms, 1 for the trace kernel.
    """

    def __init__(
        self, terms: KernelTerms, parts: Sequence[Part], like: Tensor, rows: slice, cols: slice
    ) -> None:
        self.terms = [term for part in parts for term in terms.parts[part]]
        self.outputs = terms.outputs
        self.rows, self.columns = GPU_TILE if prefers_large_pieces(like.device) else TILE
        self.top, self.left = rows.start, cols.start
        height, width = rows.stop - rows.start, cols.stop - cols.start
        self.kernel = like.new_empty(height * self.outputs, width * self.outputs)
        self.blocks = self.kernel.view(height, self.outputs, width, self.outputs)
        self.work = Workspace()

    def symmetric(self) -> Tensor:
        """The kernel of one range of points with itself, from its lower triangle."""
        for strip in chunks(len(self.blocks), self.rows):
            start, stop = strip.start, strip.stop
            middle = min(start + self.rows // 2, stop)
            # The strip left of the diagonal block, then the block's upper and lower half.
            self.fill(strip, slice(0, start))
            self.fill(slice(start, middle), slice(start, middle))
            self.fill(slice(middle, stop), slice(start, stop))
        for rows in chunks(len(self.kernel), self.rows):
            corner = self.kernel[rows, rows]
            corner.copy_(corner.tril() + corner.tril(-1).t())
            for cols in chunks(rows.start, self.rows):
                self.kernel[cols, rows] = self.kernel[rows, cols].t()
        return self.kernel

    def fill(self, rows: slice, cols: slice) -> None:
        """Overwrite the kernel between two ranges of points; empty ranges are allowed."""
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return
        for part in chunks(cols.stop, self.columns // self.outputs, cols.start):
            tile = self._view(rows, part)
            # The full kernel interleaves the outputs; terms are summed in a contiguous tile.
            whole = tile
            if self.outputs > 1:
                whole = self.work.take("tile", 1, tile.numel(), tile).view(tile.shape)
            whole.zero_()
            for term in self.terms:
                if not term.whole_rows:
                    term.add(whole, rows, part, self.work)
            if self.outputs > 1:
                tile.copy_(whole)
        strip = self._view(rows, cols)
        for term in self.terms:
            if term.whole_rows:
                term.add(strip, rows, cols, self.work)

    def _view(self, rows: slice, cols: slice) -> Tensor:
        """The kernel between points rows and cols: (O, O, n, m)."""
        height = slice(rows.start - self.top, rows.stop - self.top)
        width = slice(cols.start - self.left, cols.stop - self.left)
        return self.blocks[height, :, width].permute(1, 3, 0, 2)
