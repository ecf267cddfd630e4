"""If not all eigenvalues can be computed, the leading ones are, and a bound of the last."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from encbench import CoordinateMLP
from encbench.ntk import empirical_ntk, spectrum
from encbench.runs import spectra
from encbench.runs.spectra import affordable, leading_spectrum
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_model import leave_free

CPU = torch.device("cpu")


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_leading_eigenvalues_are_those_of_the_kernel(
    outputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectra, "SAMPLE", 20)
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(rows=50), 2, width=32)
    x = torch.rand(90, 2, dtype=torch.float64)
    exact = spectrum(empirical_ntk(model, x, outputs=outputs).total)
    found, bound = leading_spectrum(model, x, outputs)
    assert found.eigenvalues.shape == exact.eigenvalues.shape
    assert found.eigenvalues[:32] == pytest.approx(exact.eigenvalues[:32], rel=1e-8)
    assert not found.eigenvalues[32:].any()
    assert found.resolved_rank == 31
    assert found.maximum == pytest.approx(exact.maximum)
    assert (found.minimum, found.median) == (None, None)
    assert exact.eigenvalues[-1] <= bound
    assert "largest 32" in found.method


def test_all_eigenvalues_are_taken_while_time_and_memory_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_free(1 << 40, monkeypatch)
    assert affordable(16384, CPU)
    assert not affordable(16385, CPU)
    leave_free(5 * 8 * 5000**2, monkeypatch)
    assert affordable(5000, CPU)
    assert not affordable(5001, CPU)
