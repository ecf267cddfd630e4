"""The points at which a cell's spectrum is computed, and what is recorded of it."""

from __future__ import annotations

import math

import pytest
import torch
from encbench_tasks.image import ImageTask

from encbench import CoordinateMLP
from encbench.results.kernel_summary import SpectrumSummary
from encbench.runs import spectra
from encbench.runs.spectra import measure_spectrum, ntk_count
from encbench.suite.config import NtkConfig
from tests.ntk.grids import CollidingGrid


def test_all_points_are_those_of_an_epoch() -> None:
    task = ImageTask(image="camera", side=8)
    assert ntk_count("all", task) == 64
    assert ntk_count(10, task) == 10
    assert NtkConfig(points="all").points == "all"


def test_the_record_of_a_large_kernel_has_its_leading_eigenvalues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(rows=50), 2, width=32)
    x = torch.rand(80, 2, dtype=torch.float64)
    whole, arrays = measure_spectrum(model, x, "trace", "end", 7, leading=True)
    assert whole.mlp is not None
    assert whole.weyl is not None
    assert "Cholesky" in whole.method
    monkeypatch.setattr(spectra, "EXACT_ROWS", 79)
    some, first = measure_spectrum(model, x, "trace", "end", 7, leading=True)
    assert (some.when, some.step, some.points, some.size) == ("end", 7, 80, 80)
    assert (some.minimum, some.median, some.quantile_10) == (None, None, None)
    assert (some.mlp, some.weyl) == (None, None)
    assert some.maximum == pytest.approx(whole.maximum)
    assert some.floor == pytest.approx(arrays["spectrum_end"][31])
    assert some.minimum_bound is not None
    assert math.isnan(some.effective_rank)
    again = SpectrumSummary.model_validate_json(some.model_dump_json())
    assert math.isnan(again.effective_rank)
    assert list(first) == ["spectrum_end"]
    assert first["spectrum_end"][:32] == pytest.approx(arrays["spectrum_end"][:32])
    given, _ = measure_spectrum(model, x, "trace", "end", 7)
    assert given.mlp is not None, "a number of points is taken as it is"
