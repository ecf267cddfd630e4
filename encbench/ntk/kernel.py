"""The empirical NTK, exact, layer by layer: the Jacobian is never formed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.ntk.assembly import rectangle, symmetric
from encbench.ntk.capture import capture
from encbench.ntk.guards import OUTPUTS, Outputs, check_choice, prepare, require_memory
from encbench.ntk.plan import PARTS, Part, Plan, make_plan

__all__ = ["Ntk", "cross_ntk", "empirical_ntk"]


@dataclass(frozen=True, eq=False)
class Ntk:
    """An empirical NTK at N points of a model with O outputs.

    Θ[(i,a),(j,b)] = Σ_θ ∂f_a(x_i)/∂θ · ∂f_b(x_j)/∂θ over the trainable parameters θ.
    """

    total: Tensor
    """(M, M), symmetric to the last bit. M = N for outputs="trace", the mean over a of the
    blocks (a, a); M = N·O for "full", where point n and output a stand at n·O + a."""
    parts: dict[Part, Tensor]
    """(M, M) each: "mlp" + "encoding" = total. Read-only: parts may share memory with total,
    and an encoding without trained parameters is one zero, expanded."""
    outputs: Outputs
    points: int
    out_dim: int
    roads: dict[str, Literal["layerwise", "sparse", "jacobian"]] = field(default_factory=dict)
    """How each trained parameter was dealt with; "jacobian" is the slow, general road."""


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
    (S Sᵀ) ∘ (G Gᵀ) with the gradients of its features. Parameters of any other kind go through
    their own Jacobian.

    Args:
        model: maps (N, d) to (N, O), each row alone. Parameters under ``model.encoding`` are the
            encoding's part. Never changed: the work is done on a copy, in eval mode.
        x: (N, d), in [0, 1] where the model has an encoding; N >= 1.
        outputs: "trace" for the (N, N) mean over outputs of the diagonal blocks, "full" for all.
        dtype: of everything from the coordinates up. float32 loses all eigenvalues below some
            1e-6 of the largest.
        device: where to work; the model's own if None. x may lie anywhere.
        parts: which parts to return beside the total; () saves their memory.

    Raises:
        NtkError: x or the model cannot have a kernel, or it does not fit in memory.
        ParameterError: outputs, parts, dtype or device are not among the possible.
        PluginError: the encoding's ``sparse_jacobian`` contradicts its forward pass.

    Source: Jacot, Gabriel, Hongler, "Neural Tangent Kernel", NeurIPS 2018; the layerwise form as
    in Novak, Sohl-Dickstein, Schoenholz, "Fast Finite Width Neural Tangent Kernel", ICML 2022.
    """
    check_choice("outputs", outputs, OUTPUTS)
    for part in parts:
        check_choice("a part", part, PARTS)
    private, points, trainable = prepare(model, x, dtype, device)
    plan = make_plan(private, points, trainable)
    squares = 1 + len(set(parts)) if parts and plan.has_encoding else 1
    spare = _require(plan, points, outputs, squares)
    terms = capture(private, points, plan, spare)
    n, out_dim = len(points), plan.out_dim
    split: dict[Part, Tensor] = {}
    if parts and plan.has_encoding:
        # Each part is summed by itself: total - mlp would lose the encoding's small entries.
        split = {p: symmetric(terms.of([p]), n, out_dim, outputs, points) for p in PARTS}
        total = split["mlp"] + split["encoding"]
    else:
        total = symmetric(terms.of(PARTS), n, out_dim, outputs, points)
        zero = torch.zeros((), dtype=dtype, device=points.device).expand_as(total)
        split = {"mlp": total, "encoding": zero}
    roads = {name: plan.road(name) for name in sorted(trainable)}
    kept = {part: split[part] for part in PARTS if part in parts}
    return Ntk(total, kept, outputs, len(points), plan.out_dim, roads)


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
    _, right, _ = prepare(model, y, dtype, device)
    private, left, trainable = prepare(model, x, dtype, device)
    both = torch.cat([left, right])
    plan = make_plan(private, both, trainable)
    spare = _require(plan, both, outputs, 1)
    terms = capture(private, both, plan, spare)
    rows, columns = slice(0, len(left)), slice(len(left), len(both))
    return rectangle(terms.of(PARTS), rows, columns, plan.out_dim, outputs, both)


def _require(plan: Plan, x: Tensor, outputs: Outputs, squares: int) -> int:
    each = plan.out_dim if outputs == "full" else 1
    size = x.element_size()
    return require_memory(
        len(x), squares * each**2 * size, plan.numbers_per_point * size, x.device, "a kernel"
    )
