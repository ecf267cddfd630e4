"""The empirical NTK as a matrix, exact, computed layer by layer without forming the Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from encbench.ntk.capture import capture
from encbench.ntk.model import OUTPUTS, Outputs, check_choice, require_memory, working_copy
from encbench.ntk.structure import PARTS, KernelMethod, Part, Structure, find_structure
from encbench.ntk.terms import Term, Workspace, chunks

ROWS = 256  # of a tile: small enough for the cache
COLUMNS = 2048


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
    """Trained parameter to how its kernel was computed: "layerwise", "sparse" or "jacobian", which
    is slow and works for all."""


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
    (S Sᵀ) ∘ (G Gᵀ) with the gradients G of its features. For parameters of any other kind their
    Jacobian is formed.

    Args:
        model: maps (N, d) to (N, O), each row independently. Parameters under ``model.encoding``
            are the encoding's part. Never changed: a copy in eval mode is used.
        x: (N, d), in [0, 1] where the model has an encoding; N >= 1.
        outputs: "trace" for the (N, N) mean over outputs of the diagonal blocks, "full" for all.
        dtype: float64 or float32, of all computation. float32 loses all eigenvalues below some
            1e-6 of the largest.
        device: where to compute; None for the model's own. x may be on any device.
        parts: which parts to return beside the total; () saves their memory.

    Raises:
        NtkError: x or the model cannot have a kernel, or it does not fit in memory.
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
    split = bool(parts) and structure.has_encoding
    spare = _require(structure, points, outputs, 1 + len(set(parts)) if split else 1)
    terms = capture(private, points, structure, spare)

    def summed(chosen: Sequence[Part]) -> Tensor:
        return _symmetric(terms.of(chosen), len(points), structure.out_dim, outputs, points)

    if split:
        # Each part is summed separately: total - mlp would lose the encoding's small entries.
        by_part = {part: summed([part]) for part in PARTS}
        total = by_part["mlp"] + by_part["encoding"]
    else:
        total = summed(PARTS)
        zero = torch.zeros((), dtype=dtype, device=points.device).expand_as(total)
        by_part = {"mlp": total, "encoding": zero}
    methods = {name: structure.method(name) for name in sorted(trainable)}
    kept = {part: by_part[part] for part in PARTS if part in parts}
    return Ntk(total, kept, outputs, len(points), structure.out_dim, methods)


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
    spare = _require(structure, both, outputs, 1)
    terms = capture(private, both, structure, spare).of(PARTS)
    rows, cols = slice(0, len(left)), slice(len(left), len(both))
    tiles = _Tiles(terms, rows, cols, structure.out_dim, outputs, both)
    for strip in chunks(rows.stop, ROWS):
        tiles.fill(strip, cols)
    return tiles.kernel


def _require(structure: Structure, x: Tensor, outputs: Outputs, squares: int) -> int:
    """Bytes left free by that many square kernels and the factors of all terms."""
    each = structure.out_dim if outputs == "full" else 1
    size = x.element_size()
    squared, linear = squares * each**2 * size, structure.numbers_per_point * size
    return require_memory(len(x), squared, linear, x.device, "a kernel")


def _symmetric(
    terms: Sequence[Term], points: int, out_dim: int, outputs: Outputs, like: Tensor
) -> Tensor:
    """The sum of the terms, (N, N) or (N·O, N·O), in the dtype and on the device of ``like``."""
    every = slice(0, points)
    tiles = _Tiles(terms, every, every, out_dim, outputs, like)
    for strip in chunks(points, ROWS):
        start, middle, stop = strip.start, min(strip.start + ROWS // 2, points), strip.stop
        # Left of the diagonal a whole strip; on it two halves, each only up to the diagonal.
        tiles.fill(strip, slice(0, start))
        tiles.fill(slice(start, middle), slice(start, middle))
        tiles.fill(slice(middle, stop), slice(start, stop))
    _mirror(tiles.kernel)
    return tiles.kernel


class _Tiles:
    """The sum of terms between two ranges of points, filled tile by tile.

    ``kernel`` is (n_rows, n_cols), or (n_rows·O, n_cols·O) for "full"; uninitialized at first.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        rows: slice,
        cols: slice,
        out_dim: int,
        outputs: Outputs,
        like: Tensor,
    ) -> None:
        self.terms, self.out_dim, self.outputs = terms, out_dim, outputs
        self.top, self.left = rows.start, cols.start
        each = out_dim if outputs == "full" else 1
        self.kernel = like.new_empty(
            (rows.stop - rows.start) * each, (cols.stop - cols.start) * each
        )
        self.work = Workspace()

    def fill(self, rows: slice, cols: slice) -> None:
        """Overwrite the kernel between two ranges of points; empty ranges are allowed."""
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return
        columns = COLUMNS if self.outputs == "trace" else COLUMNS // self.out_dim
        for part in chunks(cols.stop, columns, cols.start):
            tile = self._view(rows, part)
            # In the full kernel outputs alternate; sums run on a tile where they do not.
            whole = tile
            if self.outputs == "full":
                whole = self.work.take("tile", 1, tile.numel(), tile).view(tile.shape)
            whole.zero_()
            self._add([term for term in self.terms if not term.whole_rows], whole, rows, part)
            if self.outputs == "full":
                tile.copy_(whole)
        strip = self._view(rows, cols)
        self._add([term for term in self.terms if term.whole_rows], strip, rows, cols)

    def _view(self, rows: slice, cols: slice) -> Tensor:
        """The kernel between points rows and cols: (n, m) for "trace", (O, O, n, m) for "full"."""
        height = slice(rows.start - self.top, rows.stop - self.top)
        width = slice(cols.start - self.left, cols.stop - self.left)
        if self.outputs == "trace":
            return self.kernel[height, width]
        size, o = self.kernel.shape, self.out_dim
        blocks = self.kernel.view(size[0] // o, o, size[1] // o, o)
        return blocks[height, :, width].permute(1, 3, 0, 2)

    def _add(self, terms: Sequence[Term], tile: Tensor, rows: slice, cols: slice) -> None:
        for term in terms:
            if self.outputs == "trace":
                term.add_trace(tile, rows, cols, self.work)
            else:
                term.add_full(tile, rows, cols, self.work)


def _mirror(kernel: Tensor) -> None:
    """Copy the lower triangle onto the upper, so that K = Kᵀ holds exactly."""
    for rows in chunks(len(kernel), ROWS):
        corner = kernel[rows, rows]
        corner.copy_(corner.tril() + corner.tril(-1).t())
        for cols in chunks(rows.start, ROWS):
            kernel[cols, rows] = kernel[rows, cols].t()
