"""Compute the spectrum of a cell's kernel, as it is recorded."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from encbench.contracts.network import Network
from encbench.contracts.task import Task
from encbench.device import available_memory
from encbench.errors import NtkError
from encbench.ntk.diagnosis import diagnose
from encbench.ntk.kernel import Ntk, empirical_ntk, kernel_by_level
from encbench.ntk.levels import SplitBy, along_eigenvectors
from encbench.ntk.operator import operator
from encbench.ntk.spectrum import Spectrum, minimum_upper_bound, spectrum, weyl_check
from encbench.ntk.terms import Outputs
from encbench.results.kernel_summary import (
    ActivationSummary,
    LevelShare,
    PartSummary,
    SpectrumSummary,
    SplitSummary,
    TargetSummary,
    WeylSummary,
)

When = Literal["start", "middle", "end"]
Relate = Callable[[Tensor, int], tuple[dict[str, Any], dict[str, np.ndarray]]]
"""Maps a kernel (M, M) and its resolved rank to further fields of its summary, and arrays."""
EXACT_ROWS = 16384  # maximum rows for all eigenvalues, in minutes: an image of 128 × 128 pixels
SQUARES = 5  # matrices in memory at once: the kernel, its parts, and two of the eigensolver
LEADING = 32  # number of eigenvalues computed from products with the kernel
SPLIT_ROWS = 4096  # maximum rows for eigenvectors: they take a minute, and 1 s more per level
OF_PART = [field.name for field in dataclasses.fields(PartSummary)]
OF_SPECTRUM = [*OF_PART, "effective_rank", "negative", "method"]
"""Fields of a summary that a spectrum has under the same name."""
OF_WEYL = [field.name for field in dataclasses.fields(WeylSummary)]
SAMPLE = 512  # maximum number of points for the kernel whose λ_min is the upper bound


def ntk_count(points: int | Literal["all"], task: Task) -> int:
    """Number of points of a task's kernel: ``points``, or those of an epoch for "all"."""
    return int(task.points_per_epoch) if points == "all" else points


def measure_spectrum(
    model: Network,
    x: Tensor,
    outputs: Literal["trace", "full"],
    when: When,
    step: int,
    *,
    leading: bool = False,
    relate: Relate | None = None,
    split: Literal["none", "level", "feature"] = "none",
) -> tuple[SpectrumSummary, dict[str, np.ndarray]]:
    """Spectrum of the kernel and of the MLP's part at x (N, d), with checks and explanations.

    With ``leading``, only the leading eigenvalues of the whole kernel are computed if computing all
    takes too much time or memory. ``relate`` adds comparisons of the kernel, with the target for
    example; ``split`` adds the contribution of each level or feature of the encoding.

    Returns the summary, and the eigenvalues as arrays ``spectrum_<when>`` and
    ``spectrum_mlp_<when>``, with ``levels_<when>`` and the arrays of ``relate``; raises NtkError if
    the kernel cannot be computed.
    """
    began = time.perf_counter()
    rows = len(x) * (model.out_dim if outputs == "full" else 1)
    arrays: dict[str, np.ndarray] = {}
    if leading and not affordable(rows, next(model.parameters()).device):
        total, bound = leading_spectrum(model, x, outputs)
        # the effective rank needs all eigenvalues
        fields: dict[str, Any] = {"effective_rank": math.nan, "minimum_bound": bound}
        if relate is not None:
            fields["target"] = TargetSummary(not_computed="the kernel was not formed")
        if split != "none":
            fields["split"] = SplitSummary(not_computed="the kernel was not formed")
    else:
        kernel = empirical_ntk(model, x, outputs=outputs)
        total = spectrum(kernel.total)
        fields, mlp = _parts(model, x, kernel, total)
        arrays[f"spectrum_mlp_{when}"] = mlp.eigenvalues
        if relate is not None:
            related, of_target = relate(kernel.total, total.resolved_rank)
            fields |= related
            arrays |= of_target
        if split != "none":
            fields["split"], shares = _shares(model, x, kernel, total.resolved_rank, split)
            arrays |= {} if shares is None else {f"levels_{when}": shares}
    summary = SpectrumSummary(
        **_taken(OF_SPECTRUM, total) | fields,
        size=len(total.eigenvalues),
        quantile_10=total.quantile(0.1),
        when=when,
        step=step,
        points=len(x),
        outputs=outputs,
        seconds=time.perf_counter() - began,
    )
    return summary, {f"spectrum_{when}": total.eigenvalues} | arrays


def _taken(names: Sequence[str], source: object) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def _parts(
    model: Network, x: Tensor, kernel: Ntk, total: Spectrum
) -> tuple[dict[str, Any], Spectrum]:
    """Fields of the summary about a kernel's parts and the network's units, and the spectrum of
    the MLP's part."""
    encoded = bool(kernel.parts["encoding"].any())
    mlp = spectrum(kernel.parts["mlp"]) if encoded else total
    weyl = weyl_check(kernel, total, mlp)
    seen = diagnose(model, x)
    return {
        "method": f"{total.method}; {weyl.method}" if encoded else total.method,
        "minimum_bound": None if total.minimum is not None else minimum_upper_bound(kernel.total),
        "mlp": PartSummary(**_taken(OF_PART, mlp)),
        "weyl": WeylSummary(**_taken(OF_WEYL, weyl)),
        "activation": ActivationSummary(
            duplicates=seen.duplicates,
            regions=seen.regions,
            rank_bound=seen.rank_bound,
            dead_units=sum(seen.dead_units.values()),
            dead_layers=len(seen.dead_layers),
        ),
    }, mlp


def _shares(
    model: Network, x: Tensor, kernel: Ntk, resolved_rank: int, by: SplitBy
) -> tuple[SplitSummary, np.ndarray | None]:
    """Shares of the network and of each level or feature in the trace and in each eigenvalue."""
    names, traces = ["network"], [float(kernel.parts["mlp"].trace())]

    def parts() -> Iterator[Tensor]:
        yield kernel.parts["mlp"]
        for part in kernel_by_level(model, x, by=by, outputs=kernel.outputs):
            names.append(part.name)
            traces.append(float(part.kernel.trace()))
            yield part.kernel

    found, why_not = None, ""
    try:
        if len(kernel.total) <= SPLIT_ROWS:
            found = along_eigenvectors(kernel.total, parts())[:resolved_rank]
            found = (found / found.sum(1, keepdims=True)).astype(np.float32)
        else:
            list(parts())
            why_not = (
                f"shares of eigenvalues: the kernel has {len(kernel.total):,} rows, more than "
                f"{SPLIT_ROWS:,}"
            )
    except NtkError as error:
        return SplitSummary(not_computed=str(error)), None
    means = [None] * len(names) if found is None else found.mean(0, dtype=np.float64).tolist()
    shares = [
        LevelShare(name=name, trace=trace / sum(traces), mean=mean)
        for name, trace, mean in zip(names, traces, means, strict=True)
    ]
    return SplitSummary(parts=shares, not_computed=why_not), found


def affordable(rows: int, device: torch.device) -> bool:
    """Whether time and memory suffice for all eigenvalues of a float64 kernel (rows, rows)."""
    return rows <= EXACT_ROWS and SQUARES * 8 * rows**2 <= available_memory(device)


def leading_spectrum(model: nn.Module, x: Tensor, outputs: Outputs) -> tuple[Spectrum, float]:
    """The largest eigenvalues at x (N, d) from products with the kernel, and a bound of λ_min.

    Returns:
        A spectrum of M eigenvalues whose floor is the last one computed; those below are set to 0,
        which means unknown. And an upper bound of λ_min: the smallest eigenvalue at some of the
        points is at least that at all points (Cauchy's interlacing theorem).

    Raises:
        NtkError: as raised by ``operator``.
    """
    theta = operator(model, x, outputs=outputs)
    count = min(LEADING, theta.shape[0] - 1)
    eigenvalues = np.zeros(theta.shape[0])
    eigenvalues[:count] = theta.top(count, tolerance=1e-8).values
    chosen = torch.linspace(0, len(x) - 1, min(SAMPLE, len(x))).long()
    some = empirical_ntk(model, x[chosen], outputs=outputs, parts=()).total
    smallest = spectrum(some).minimum
    bound = minimum_upper_bound(some) if smallest is None else smallest
    method = (
        f"ARPACK from products with the kernel: the largest {count} eigenvalues; the floor is the "
        "last of them"
    )
    return Spectrum(eigenvalues, float(eigenvalues[count - 1]), method), bound
