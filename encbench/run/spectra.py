"""One NTK spectrum of a model at some points, with everything a record keeps of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from encbench import ntk
from encbench.plugins.registry import Registry
from encbench.results.records import ActivationSummary, PartSummary, SpectrumSummary, WeylSummary
from encbench.run.building import build_model, build_task, cell_streams
from encbench.suite.config import CellConfig
from encbench.suite.file import Suite
from encbench.suite.plan import plan

__all__ = ["Initial", "at_initialization", "measure_spectrum"]

LEADING = 8
"""Leading eigenpairs found without the kernel."""

When = Literal["start", "middle", "end"]


def measure_spectrum(
    model: nn.Module, x: Tensor, outputs: Literal["trace", "full"], when: When, step: int
) -> tuple[SpectrumSummary, dict[str, np.ndarray]]:
    """Spectrum of the kernel and of the MLP's part, Theorem 1 checked, the rank explained.

    Args:
        model: a coordinate network; not changed.
        x: (N, d) float64 in [0, 1].
        outputs: which kernel; see ``ntk.empirical_ntk``.

    Returns:
        The numbers, and the eigenvalues as arrays ``spectrum_<when>`` and
        ``spectrum_mlp_<when>``.

    Raises:
        NtkError: the kernel cannot be computed.
    """
    began = time.perf_counter()
    kernel = ntk.empirical_ntk(model, x, outputs=outputs)
    total = ntk.spectrum(kernel.total)
    encoded = bool(kernel.parts["encoding"].any())
    mlp = ntk.spectrum(kernel.parts["mlp"]) if encoded else total
    weyl = ntk.weyl_check(kernel, total, mlp)
    bound = None if total.minimum is not None else ntk.minimum_upper_bound(kernel.total)
    seen = ntk.diagnose(model, x)
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


@dataclass(frozen=True, eq=False)
class Initial:
    """The kernel of one encoding on one task's points, before any training."""

    task: str
    encoding: str
    points: int
    outputs: Literal["trace", "full"]
    critical: float
    """lr_crit at these points."""
    seconds: float
    summary: SpectrumSummary | None = None
    """None where the kernel was not formed, and the two below are given instead."""
    eigenvalues: np.ndarray | None = None
    leading: ntk.Leading | None = None
    density: ntk.Density | None = None

    def data(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        data: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("task", "encoding", "points", "outputs", "critical", "seconds")
        }
        if self.summary is not None and self.eigenvalues is not None:
            data["spectrum"] = self.summary.model_dump(mode="json")
            data["eigenvalues"] = self.eigenvalues.tolist()
        if self.leading is not None and self.density is not None:
            data["leading"] = self.leading.values.tolist()
            data["leading_bounds"] = self.leading.bounds.tolist()
            data["density_values"] = [row[~np.isnan(row)].tolist() for row in self.density.values]
            data["density_weights"] = [
                weights[~np.isnan(row)].tolist()
                for row, weights in zip(self.density.values, self.density.weights, strict=True)
            ]
        return data


def at_initialization(
    suite: Suite,
    registry: Registry,
    points: int,
    outputs: Literal["trace", "full"],
    device: str,
    *,
    matrix_free: bool = False,
) -> Iterator[tuple[CellConfig, Callable[[], Initial]]]:
    """The cells of a suite, and for each what measures its kernel at initialization.

    Weights and points are those of ``run_suite`` for the same suite, up to their number.

    Raises:
        EncbenchError: as planning, building and ``ntk.empirical_ntk``.
    """
    for cell in plan(suite, registry):

        def measure(cell: CellConfig = cell) -> Initial:
            streams = cell_streams(cell)
            task = build_task(cell, registry)
            model = build_model(cell, task, registry, streams).to(device)
            x = task.ntk_points(points, streams.generator("ntk"))
            began = time.perf_counter()
            critical = ntk.critical_learning_rate(model, x, loss=task.loss)
            found: dict[str, Any] = {}
            if matrix_free:
                operator = ntk.operator(model, x, outputs=outputs)
                found["leading"] = operator.top(min(LEADING, operator.shape[0] - 1))
                found["density"] = operator.density()
            else:
                summary, arrays = measure_spectrum(model, x, outputs, "start", 0)
                found |= {"summary": summary, "eigenvalues": arrays["spectrum_start"]}
            return Initial(
                task=cell.task.label or cell.task.name,
                encoding=cell.encoding.label or cell.encoding.name,
                points=len(x),
                outputs=outputs,
                critical=critical,
                seconds=time.perf_counter() - began,
                **found,
            )

        yield cell, measure
