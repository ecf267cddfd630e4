"""The spectrum of a cell's kernel, as its record holds it."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from torch import Tensor

from encbench.contracts.task import Task
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.diagnosis import diagnose
from encbench.ntk.kernel import empirical_ntk
from encbench.ntk.leading import affordable, leading_spectrum
from encbench.ntk.spectrum import Spectrum, minimum_upper_bound, spectrum, weyl_check
from encbench.results.records import ActivationSummary, PartSummary, SpectrumSummary, WeylSummary

When = Literal["start", "middle", "end"]


def ntk_count(points: int | Literal["all"], task: Task) -> int:
    """Points of a task's kernel: as many as asked for, or those of an epoch."""
    return int(task.points_per_epoch) if points == "all" else points


def measure_spectrum(
    model: CoordinateMLP,
    x: Tensor,
    outputs: Literal["trace", "full"],
    when: When,
    step: int,
    *,
    leading: bool = False,
) -> tuple[SpectrumSummary, dict[str, np.ndarray]]:
    """Spectrum of the kernel and of the MLP's part at x (N, d), with what checks and explains them.

    With ``leading``, of the kernel alone, and of its leading eigenvalues only, where all of them
    are beyond reach.

    Returns the numbers, and the eigenvalues as arrays ``spectrum_<when>`` and
    ``spectrum_mlp_<when>``; raises NtkError where the kernel cannot be computed.
    """
    began = time.perf_counter()
    rows = len(x) * (model.out_dim if outputs == "full" else 1)
    if leading and not affordable(rows, next(model.parameters()).device):
        return _leading(model, x, outputs, when, step)
    kernel = empirical_ntk(model, x, outputs=outputs)
    total = spectrum(kernel.total)
    encoded = bool(kernel.parts["encoding"].any())
    mlp = spectrum(kernel.parts["mlp"]) if encoded else total
    weyl = weyl_check(kernel, total, mlp)
    bound = None if total.minimum is not None else minimum_upper_bound(kernel.total)
    seen = diagnose(model, x)
    summary = SpectrumSummary(
        **_numbers(total, f"{total.method}; {weyl.method}" if encoded else total.method),
        when=when,
        step=step,
        points=len(x),
        outputs=outputs,
        minimum_bound=bound,
        mlp=PartSummary(
            floor=mlp.floor,
            maximum=mlp.maximum,
            median=mlp.median,
            minimum=mlp.minimum,
            resolved_rank=mlp.resolved_rank,
        ),
        weyl=WeylSummary(ok=weyl.ok, worst=weyl.worst, tolerance=weyl.tolerance),
        activation=ActivationSummary(
            duplicates=seen.duplicates,
            regions=seen.regions,
            rank_bound=seen.rank_bound,
            dead_units=sum(seen.dead_units.values()),
            dead_layers=len(seen.dead_layers),
        ),
        seconds=time.perf_counter() - began,
    )
    eigenvalues = {
        f"spectrum_{when}": total.eigenvalues,
        f"spectrum_mlp_{when}": mlp.eigenvalues,
    }
    return summary, eigenvalues


def _leading(
    model: CoordinateMLP, x: Tensor, outputs: Literal["trace", "full"], when: When, step: int
) -> tuple[SpectrumSummary, dict[str, np.ndarray]]:
    began = time.perf_counter()
    total, bound = leading_spectrum(model, x, outputs)
    summary = SpectrumSummary(
        **_numbers(total, total.method),
        when=when,
        step=step,
        points=len(x),
        outputs=outputs,
        minimum_bound=bound,
        seconds=time.perf_counter() - began,
    )
    return summary, {f"spectrum_{when}": total.eigenvalues}


def _numbers(total: Spectrum, method: str) -> dict[str, Any]:
    return {
        "size": len(total.eigenvalues),
        "floor": total.floor,
        "maximum": total.maximum,
        "median": total.median,
        "quantile_10": total.quantile(0.1),
        "minimum": total.minimum,
        "resolved_rank": total.resolved_rank,
        "effective_rank": total.effective_rank,
        "negative": total.negative,
        "method": method,
    }
