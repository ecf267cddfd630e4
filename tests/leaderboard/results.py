"""Results folders with real records, arrays and pictures, as a run leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from encbench.contracts.metric import MetricValue
from encbench.results.kernel_summary import SpectrumSummary
from encbench.results.provenance import Provenance
from encbench.results.records import ErrorInfo, LearningRate, Record, StoredRecord
from encbench.results.store import Store
from encbench.suite.config import CellConfig, NetworkConfig, NtkConfig, PluginRef, TrainingConfig

FLOOR = 2.0e-11


def provenance(**changes: Any) -> Provenance:
    values: dict[str, Any] = {
        "encbench": "0.1.0",
        "python": "3.11.9",
        "libraries": {"torch": "2.13.0", "numpy": "2.1.0", "scipy": "1.15.0"},
        "os": "Linux 6.8",
        "machine": "x86_64",
        "processor": "EPYC 7763",
        "device": "cpu",
        "threads": 1,
        "started": "2026-01-05T10:20:30+00:00",
        "finished": "2026-01-05T10:25:00+00:00",
    }
    return Provenance(**values | changes)


def spectrum(size: int, decades: float, top: float, rng: np.random.Generator) -> np.ndarray:
    """Eigenvalues (size,), descending from ``top`` over so many decades, noise below the floor."""
    values = top * 10.0 ** (-decades * np.linspace(0, 1, size) ** 0.7)
    noise = rng.normal(scale=FLOOR / 20, size=size)
    return np.sort(np.where(values > FLOOR, values, noise))[::-1]


def summarize(when: Any, values: np.ndarray, outputs: Any = "trace") -> SpectrumSummary:
    def resolved(value: float) -> float | None:
        return float(value) if value > FLOOR else None

    positive = values[values > FLOOR]
    share = positive / positive.sum()
    return SpectrumSummary(
        when=when,
        step={"start": 0, "middle": 50, "end": 100}[when],
        points=len(values),
        outputs=outputs,
        size=len(values),
        floor=FLOOR,
        maximum=float(values[0]),
        median=resolved(float(np.median(values))),
        quantile_10=resolved(float(np.quantile(values, 0.1))),
        minimum=resolved(float(values[-1])),
        resolved_rank=len(positive),
        effective_rank=float(np.exp(-(share * np.log(share)).sum())),
        negative=int((values < 0).sum()),
    )


def photograph(height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: a smooth ground with one patch of fine detail, right of the middle."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    ground = np.stack([x, y, 0.5 + 0.3 * np.sin(5 * x + 3 * y)], axis=-1)
    detail = np.sin(180 * x)[..., None] * np.cos(150 * y)[..., None]
    near = np.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.01)[..., None]
    return (np.clip(ground + near * detail, 0, 1) * 255).round().astype(np.uint8)


class Results:
    """A results folder to be filled cell by cell."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store(directory)
        self.made = 0

    def add(
        self,
        encoding: str = "identity",
        *,
        task: str = "image:image=chelsea",
        task_parameters: dict[str, Any] | None = None,
        psnr: float | None = 30.0,
        seed: int = 0,
        status: Any = "ok",
        error: ErrorInfo | None = None,
        points: int = 64,
        outputs: Any = "trace",
        decades: float = 16.0,
        side: int = 48,
        pictures: bool = True,
        curves: bool = True,
        best: float | None = None,
        curve: str = "psnr",
        metrics: Mapping[str, MetricValue] | None = None,
        training: Mapping[str, Any] | None = None,
        network_settings: Mapping[str, Any] | None = None,
        data_hash: str = "ab" * 32,
        more_arrays: Mapping[str, np.ndarray] | None = None,
        **record: Any,
    ) -> StoredRecord:
        """Write one cell; its key is its number, its content follows from its arguments."""
        self.made += 1
        rng = np.random.default_rng(self.made)
        arrays = dict(more_arrays or {})
        spectra = []
        for place, when in enumerate(("start", "middle", "end") if points else ()):
            values = spectrum(points, decades - place, 900.0 * (place + 1), rng)
            arrays[f"spectrum_{when}"] = values
            arrays[f"spectrum_mlp_{when}"] = spectrum(points, decades + 3, 400.0, rng)
            spectra.append(summarize(when, values, outputs))
        if curves:
            step = np.linspace(1, 1000, 40)
            arrays["loss_step"] = arrays["curve_step"] = step
            arrays["loss"] = 0.1 * step**-0.6 * rng.uniform(0.9, 1.1, 40)
            arrays["curve"] = (psnr or 20.0) - 12 * np.exp(-step / 200)
        drawn = {}
        if pictures:
            target = photograph(side, round(side * 1.4))
            noise = 255 * 10 ** (-(psnr or 10.0) / 20) * rng.standard_normal(target.shape)
            drawn["target"] = target
            drawn["prediction"] = np.clip(target + noise, 0, 255).astype(np.uint8)
        if metrics is None:
            metrics = {
                "psnr": MetricValue(value=psnr, unit="dB"),
                "ms_ssim": MetricValue(
                    value=None if psnr is None else min(1.0, psnr / 50), details={"scales": 3}
                ),
            }
        name, _, asked = encoding.partition(":")
        values = {
            "key": f"cell{self.made:04d}",
            "status": status,
            "error": error,
            "phase": "training" if error else None,
            "cell": CellConfig(
                encoding=PluginRef(
                    name=name,
                    distribution="encbench",
                    version="0.1.0",
                    parameters={"asked": asked} if asked else {},
                    label=encoding,
                ),
                task=PluginRef(
                    name=task.partition(":")[0],
                    distribution="encbench",
                    version="0.1.0",
                    parameters={"asked": task, **(task_parameters or {})},
                    label=task,
                ),
                network=NetworkConfig(width=512, depth=2, **dict(network_settings or {})),
                training=TrainingConfig(**dict(training or {"epochs": 100})),
                ntk=NtkConfig(points=points, outputs=outputs),
                seed=seed,
                data_hash=data_hash,
            ),
            "network": {"width": 512, "depth": 2},
            "parameters": {"mlp": 265_731, "encoding": 1000 * len(encoding)},
            "learning_rate": LearningRate(value=21.0, critical=14.0, rule="auto"),
            "steps": 1000,
            "curve": curve,
            "best": best if best is not None or psnr is None else psnr + 0.4,
            "best_step": 950,
            "metrics": metrics if status == "ok" else {},
            "spectra": spectra,
            "durations": {"setup": 0.1, "training": 10.0 + len(encoding), "ntk": 2.0},
            "peak_memory_bytes": 400 * 2**20,
            "provenance": provenance(),
        }
        return self.store.write(Record(**values | record), arrays, drawn)


def diverged(step: int) -> ErrorInfo:
    """The error of a cell whose loss became NaN at that step."""
    return ErrorInfo(type="Diverged", message="the loss is nan", traceback="…", step=step)
