"""The spectrum of a cell's kernel, as its record holds it."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from torch import Tensor, nn

from encbench.ntk.diagnosis import diagnose
from encbench.ntk.kernel import empirical_ntk
from encbench.ntk.spectrum import minimum_upper_bound, spectrum, weyl_check
from encbench.results.records import ActivationSummary, PartSummary, SpectrumSummary, WeylSummary

When = Literal["start", "middle", "end"]


def measure_spectrum(
    model: nn.Module, x: Tensor, outputs: Literal["trace", "full"], when: When, step: int
) -> tuple[SpectrumSummary, dict[str, np.ndarray]]:
    """Spectrum of the kernel and of the MLP's part at x (N, d), with what checks and explains them.

    Returns the numbers, and the eigenvalues as arrays ``spectrum_<when>`` and
    ``spectrum_mlp_<when>``; raises NtkError where the kernel cannot be computed.
    """
    began = time.perf_counter()
    kernel = empirical_ntk(model, x, outputs=outputs)
    total = spectrum(kernel.total)
    encoded = bool(kernel.parts["encoding"].any())
    mlp = spectrum(kernel.parts["mlp"]) if encoded else total
    weyl = weyl_check(kernel, total, mlp)
    bound = None if total.minimum is not None else minimum_upper_bound(kernel.total)
    seen = diagnose(model, x)
    summary = SpectrumSummary(
        when=when,
        step=step,
        points=len(x),
        outputs=outputs,
        size=len(total.eigenvalues),
        floor=total.floor,
        maximum=total.maximum,
        median=total.median,
        quantile_10=total.quantile(0.1),
        minimum=total.minimum,
        resolved_rank=total.resolved_rank,
        effective_rank=total.effective_rank,
        negative=total.negative,
        method=total.method,
        minimum_bound=bound,
        mlp=PartSummary(
            floor=mlp.floor,
            maximum=mlp.maximum,
            median=mlp.median,
            minimum=mlp.minimum,
            resolved_rank=mlp.resolved_rank,
        ),
        weyl=WeylSummary(
            ok=weyl.ok, worst=weyl.worst, tolerance=weyl.tolerance, method=weyl.method
        ),
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
