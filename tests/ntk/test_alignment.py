"""Alignment, energies in eigenvectors and drift, against their definitions; predicted times."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from encbench import CoordinateMLP, NtkError
from encbench.ntk import (
    alignment,
    drift,
    eigenvector_energy,
    empirical_ntk,
    operator,
    predict_loss,
    predict_training,
)
from tests.ntk.grids import CollidingGrid

POINTS, OUTPUTS = 30, 2


def network() -> tuple[CoordinateMLP, Tensor, Tensor]:
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(rows=40), OUTPUTS, width=16)
    return model, torch.rand(POINTS, 2, dtype=torch.float64), torch.rand(POINTS, OUTPUTS)


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("centred", [False, True])
def test_alignment_is_that_of_its_definition(outputs, centred) -> None:
    model, x, y = network()
    kernel = empirical_ntk(model, x, outputs=outputs).total.numpy()
    columns = y.double().numpy().reshape(len(kernel), -1)
    centring = np.eye(POINTS) - 1 / POINTS
    if outputs == "full":
        centring = np.kron(centring, np.eye(OUTPUTS))
    if centred:
        k, of = centring @ kernel @ centring, centring @ columns
    else:
        k, of = kernel, columns
    target = of @ of.T
    expected = (k * target).sum() / (np.linalg.norm(k) * np.linalg.norm(target))
    assert alignment(kernel, y, centred=centred) == pytest.approx(expected, rel=1e-12)
    assert 0 < expected < 1


def test_a_kernel_made_of_the_target_is_aligned_with_it() -> None:
    y = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert alignment(3 * y @ y.T, y) == pytest.approx(1)
    assert math.isnan(alignment(torch.zeros(9, 9), y))
    assert math.isnan(alignment(torch.eye(9), torch.ones(9), centred=True))


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("points", [1, 2, 3, POINTS])
def test_energies_are_those_of_projections_on_eigenvectors(outputs, points) -> None:
    model, x, y = network()
    kernel = empirical_ntk(model, x[:points], outputs=outputs).total
    residual = torch.randn(points, OUTPUTS, dtype=torch.float64)
    found = eigenvector_energy(kernel, y[:points], residual)
    values, vectors = np.linalg.eigh(kernel.numpy())
    resolved = values[::-1] > 1e-10 * values[-1]
    for column, of in zip(found.T, (y[:points].double(), residual), strict=True):
        projected = np.square(vectors.T @ of.numpy().reshape(len(kernel), -1)).sum(1)[::-1]
        expected = projected / projected.sum()
        assert column[resolved] == pytest.approx(expected[resolved], abs=1e-9)
        assert column.sum() == pytest.approx(1)


def test_zeros_have_no_shares() -> None:
    found = eigenvector_energy(torch.eye(4), torch.zeros(4), torch.ones(4))
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1].sum() == pytest.approx(1)


def test_a_constant_kernel_has_no_centred_alignment() -> None:
    wave = torch.linspace(-1, 1, 16, dtype=torch.float64)
    for scale in (0.1, 0.7, 23.3):
        constant = scale * torch.ones(16, 16, dtype=torch.float64)
        constant += 1e-15 * torch.outer(wave, wave)
        assert np.isnan(alignment(constant, wave + 0.3, centred=True))


def test_drift_is_relative_to_the_earlier_kernel() -> None:
    one, other = torch.rand(5, 5, dtype=torch.float64), torch.rand(5, 5, dtype=torch.float64)
    expected = float(torch.linalg.norm(other - one) / torch.linalg.norm(one))
    assert drift(other, one) == pytest.approx(expected, rel=1e-12)
    assert drift(other, one.float()) == pytest.approx(expected, rel=1e-6)
    assert drift(one, one) == 0


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(NtkError, match="needs a kernel of 8"):
        alignment(torch.eye(5), torch.ones(4, 2))
    with pytest.raises(NtkError, match="NaN or infinity"):
        eigenvector_energy(torch.full((4, 4), torch.nan), torch.ones(4))


def test_the_time_to_a_loss_lies_between_bounds_that_meet() -> None:
    model, x, y = network()
    with torch.no_grad():
        residual = model(x.float()) - y
    start = float(residual.square().mean())
    products = operator(model, x, outputs="full")
    kernel = empirical_ntk(model, x, outputs="full").total
    exact = predict_loss(products, residual, [0.0], steps=POINTS * OUTPUTS).flow
    for part in (0.5, 0.1):
        early, late = exact.time_to(part * start)
        assert early == pytest.approx(late, rel=1e-6)
        loss = predict_training(kernel, residual, [early]).loss[0]
        assert loss == pytest.approx(part * start, rel=1e-6)
        few = predict_loss(products, residual, [0.0], steps=4).flow.time_to(part * start)
        assert few[0] <= early * (1 + 1e-9)
        assert few[1] >= early * (1 - 1e-9)
    assert exact.time_to(2 * start) == (0, 0)
    unreachable = predict_loss(lambda v: v * np.array([1.0, 0.0]), np.ones(2), [0.0])
    assert unreachable.flow.time_to(0.4) == (math.inf, math.inf)
    assert predict_loss(products, 0 * residual, [0.0]).flow.time_to(0.1) == (0, 0)
