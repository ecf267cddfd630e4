"""Eigenvalues are accurate down to the floor and not below it; inequalities hold between them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from encbench import CoordinateMLP, NtkError, ParameterError
from encbench.ntk import empirical_ntk, minimum_upper_bound, spectrum, weyl_check
from encbench.ntk.autograd import jacobian
from encbench.ntk.model import working_copy
from encbench.ntk.spectrum import Spectrum
from tests.ntk.grids import CollidingGrid, LearnedFeatures, SilentGrid
from tests.ntk.test_kernel import Plain


def squared_singular_values(model: CoordinateMLP, x: torch.Tensor) -> np.ndarray:
    """The trace kernel's eigenvalues without squaring the condition number: QR, then SVD.

    The R of J ᵀ = Q R is found slab by slab (TSQR), so that errors are relative to ‖J‖, not
    to ‖J‖².
    """
    private, points, trainable = working_copy(model, x, torch.float64, None)
    j = jacobian(private, sorted(trainable), points)  # (N, O, P)
    tall = j.permute(1, 2, 0).flatten(0, 1).numpy() / math.sqrt(j.shape[1])  # (O·P, N)
    r = np.empty((0, tall.shape[1]))
    for slab in np.array_split(tall, 4):
        r = np.linalg.qr(np.vstack([r, slab]), mode="r")
    return scipy.linalg.svd(r, compute_uv=False) ** 2


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", [Plain, CollidingGrid])
def test_every_eigenvalue_above_the_floor_agrees_with_the_jacobians_singular_values(
    make: type, device: str
) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(make(), 2, width=64)
    x = torch.rand(150, 2, dtype=torch.float64)
    x[140:] = x[:10]  # so that some eigenvalues are certainly below the floor
    reference = squared_singular_values(model, x)
    found = spectrum(empirical_ntk(model, x, device=device).total)
    assert ("on cuda" in found.method) == (device == "cuda")
    resolved = found.eigenvalues > found.floor
    assert 30 < resolved.sum() < 150, "the case must have values on both sides of the floor"
    error = np.abs(found.eigenvalues - reference)
    assert (error[resolved] < 0.2 * reference[resolved]).all()
    # Twenty times above the floor the first digits are right, not only the magnitude.
    clear = found.eigenvalues > 20 * found.floor
    assert (error[clear] < 0.02 * reference[clear]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_the_floor_is_not_needlessly_high(device: str) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(Plain(), 1, width=64)
    x = torch.rand(150, 2, dtype=torch.float64)
    found = spectrum(empirical_ntk(model, x, device=device).total)
    assert found.floor < 1e-13 * found.maximum
    reference = squared_singular_values(model, x)
    wrong = np.abs(found.eigenvalues - reference) > 0.1 * reference
    assert wrong.any(), "without noise there would be nothing to hide"
    assert found.eigenvalues[wrong].max() <= found.floor


def test_ten_duplicated_points_give_ten_unresolved_eigenvalues() -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(CollidingGrid(rows=64, sides=(5, 11)), 3, width=128)
    x = torch.rand(20, 2, dtype=torch.float64)
    alone = spectrum(empirical_ntk(model, x).total)
    doubled = spectrum(empirical_ntk(model, torch.cat([x, x[:10]])).total)
    assert alone.resolved_rank == 20
    assert doubled.resolved_rank == 20
    assert alone.minimum is not None
    assert doubled.minimum is None


def test_float32_kernels_get_a_float32_floor() -> None:
    model = CoordinateMLP(Plain(), 3, width=64)
    x = torch.rand(100, 2, dtype=torch.float64)
    double = spectrum(empirical_ntk(model, x).total)
    single = spectrum(empirical_ntk(model, x, dtype=torch.float32).total)
    assert single.floor >= 8 * np.finfo(np.float32).eps * single.maximum
    assert single.resolved_rank < double.resolved_rank
    assert single.maximum == pytest.approx(double.maximum, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), st.integers(0, 2**16))
def test_known_eigenvalues_are_found_in_any_basis(values: list[float], seed: int) -> None:
    generator = np.random.default_rng(seed)
    q, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    kernel = (q * values) @ q.T
    found = spectrum((kernel + kernel.T) / 2)
    expected = np.sort(values)[::-1]
    assert np.abs(found.eigenvalues - expected).max() <= found.floor
    assert (np.diff(found.eigenvalues) <= 0).all()


def test_statistics_of_a_known_spectrum() -> None:
    found = spectrum(np.diag([4.0, 2.0, 1.0, 1.0, 0.0]))
    assert (found.maximum, found.median, found.minimum) == (4.0, 1.0, None)
    assert found.resolved_rank == 4
    assert found.quantile(0.75) == 2.0
    assert found.quantile(0.1) is None
    assert found.count_above(1.5) == 2
    assert found.count_above(0.0) is None
    entropy = 0.5 * math.log(2) + 0.25 * math.log(4) + 2 * 0.125 * math.log(8)
    assert found.effective_rank == pytest.approx(math.exp(entropy))


def test_an_eigenvalue_at_the_floor_or_at_a_threshold_is_not_above_it() -> None:
    found = Spectrum(np.array([4.0, 2.0, 1.0, 0.0]), floor=1.0, method="known")
    assert (found.resolved_rank, found.negative) == (2, 0)
    assert (found.count_above(2.0), found.count_above(1.0)) == (1, 2)
    assert Spectrum(np.array([4.0, 1.0]), floor=1.0, method="known").minimum is None
    assert Spectrum(np.array([4.0, 1.0]), floor=1.0, method="known").effective_rank == 1.0


def test_a_quantile_is_known_where_both_of_its_neighbours_are_above_the_floor() -> None:
    found = Spectrum(np.array([16.0, 8.0, 4.0, 2.0, 1.0]), floor=1.5, method="known")
    quantiles = [found.quantile(q) for q in (1.0, 0.875, 0.5, 0.25, 0.249, 0.0)]
    assert quantiles == [16.0, 12.0, 4.0, 2.0, None, None]


def test_a_kernel_of_zeros_has_nothing_to_resolve() -> None:
    found = spectrum(np.zeros((3, 3)))
    assert (found.resolved_rank, found.effective_rank, found.minimum) == (0, 0.0, None)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_a_kernel_may_be_asymmetric_by_a_hundred_thousandth_of_its_largest_entry(
    size: float,
) -> None:
    kernel = size * np.eye(3)
    kernel[2, 0] = 0.9e-5 * size
    assert spectrum(kernel).resolved_rank == 3
    kernel[2, 0] = 1.1e-5 * size
    with pytest.raises(NtkError, match="not symmetric"):
        spectrum(kernel)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_floor_of_a_kernel_without_negative_eigenvalues_is_eight_ulps(dtype: type) -> None:
    found = spectrum(np.diag([4.0, 2.0, 1.0]).astype(dtype))
    assert found.floor == 8 * 4.0 * np.finfo(dtype).eps


def test_negative_eigenvalues_are_counted_and_raise_the_floor() -> None:
    found = spectrum(np.diag([1.0, 1e-6, -1e-8]))
    assert found.negative == 1
    assert found.floor == pytest.approx(1e-7)
    assert found.minimum is None
    assert found.median == pytest.approx(1e-6)
    assert found.eigenvalues[-1] == pytest.approx(-1e-8), "noise is shown as noise"


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones((0, 0)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "NaN"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.eye(2, dtype=np.int64), "float64 or float32"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel: np.ndarray, complaint: str) -> None:
    with pytest.raises(NtkError, match=complaint):
        spectrum(kernel)


@pytest.mark.parametrize("q", [95, 1.5, -0.1])
def test_quantiles_outside_the_unit_interval_are_refused(q: float) -> None:
    with pytest.raises(ParameterError, match=r"\[0, 1\]"):
        spectrum(np.eye(2)).quantile(q)


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("make", [Plain, CollidingGrid, SilentGrid, LearnedFeatures])
def test_weyls_inequality_holds_on_every_kernel(make: type, outputs: str) -> None:
    x = torch.rand(60, 2, dtype=torch.float64)
    ntk = empirical_ntk(CoordinateMLP(make(), 2, width=32), x, outputs=outputs)  # type: ignore[arg-type]
    check = weyl_check(ntk)
    assert check.ok
    assert check.worst <= check.tolerance
    given = weyl_check(ntk, spectrum(ntk.total), spectrum(ntk.parts["mlp"]))
    assert given == check


@pytest.mark.parametrize("rows", [7, 4000])
def test_the_smallest_eigenvalue_of_the_encodings_part_is_that_of_its_spectrum(rows: int) -> None:
    """At full rank, and with fewer table entries than points."""
    torch.manual_seed(0)
    grid = CollidingGrid(sides=(11, 90), rows=rows)
    ntk = empirical_ntk(CoordinateMLP(grid, 2, width=32), torch.rand(60, 2, dtype=torch.float64))
    mlp = spectrum(torch.zeros_like(ntk.total))
    check = weyl_check(dataclasses.replace(ntk, total=ntk.parts["encoding"]), mlp=mlp)
    reference = spectrum(ntk.parts["encoding"])
    assert (reference.minimum is None) == (rows == 7)
    # with zeros for the MLP's part, worst is λ_n(K_enc) − λ_n(K_enc)
    assert abs(check.worst) <= reference.floor
    assert check.tolerance == pytest.approx(2 * reference.floor, rel=1e-5)
    assert "from a Cholesky factor" in check.method


def test_the_check_takes_all_eigenvalues_where_rounding_leaves_no_factor() -> None:
    x = torch.rand(30, 2, dtype=torch.float64)
    ntk = empirical_ntk(CoordinateMLP(CollidingGrid(), 2, width=32), x)
    grid = ntk.parts["encoding"].clone()
    grid.diagonal().sub_(0.5 * float(grid.max()))
    check = weyl_check(dataclasses.replace(ntk, parts={**ntk.parts, "encoding": grid}))
    assert spectrum(grid).method in check.method


def test_a_kernel_that_is_not_the_sum_of_its_parts_fails_the_check() -> None:
    x = torch.rand(30, 2, dtype=torch.float64)
    ntk = empirical_ntk(CoordinateMLP(CollidingGrid(), 2, width=32), x)
    wrong = dataclasses.replace(ntk, total=0.9 * ntk.total - 0.1 * ntk.parts["mlp"])
    check = weyl_check(wrong)
    assert not check.ok
    assert check.worst > check.tolerance


@pytest.mark.parametrize(("times", "holds"), [(0.1, True), (3.0, False)])
def test_the_check_allows_what_rounding_can_do_and_no_more(times: float, holds: bool) -> None:
    x = torch.rand(6, 2, dtype=torch.float64)
    # the encoding has no parameters: both sides of the inequality are equal
    ntk = empirical_ntk(CoordinateMLP(Plain(), 2, width=32), x)
    tolerance = sum(spectrum(k).floor for k in (ntk.total, ntk.parts["mlp"]))
    lower = ntk.total - times * tolerance * torch.eye(6, dtype=torch.float64)
    check = weyl_check(dataclasses.replace(ntk, total=lower))
    assert check.ok is holds
    assert check.worst == pytest.approx(times * tolerance, rel=0.2)


@pytest.mark.parametrize(("largest", "worst"), [(3.0, 0.0), (2.5, 0.5)])
def test_the_encodings_smallest_eigenvalue_is_a_term_of_the_inequality(
    largest: float, worst: float
) -> None:
    x = torch.rand(4, 2, dtype=torch.float64)
    unit = torch.eye(4, dtype=torch.float64)
    ntk = dataclasses.replace(
        empirical_ntk(CoordinateMLP(CollidingGrid(), 1, width=8), x),
        total=largest * unit,
        parts={"mlp": unit, "encoding": 2 * unit},
    )
    check = weyl_check(ntk)
    assert (check.ok, check.worst) == (worst == 0, worst)
    assert check.tolerance == 8 * np.finfo(float).eps * (largest + 1 + 2)


def test_kernels_of_more_than_a_thousand_points_are_looked_at_to_their_last_row() -> None:
    kernel = 2 * torch.eye(1026, dtype=torch.float64)
    assert minimum_upper_bound(kernel) == 2.0
    kernel[1025, 3] = 1.0
    with pytest.raises(NtkError, match="not symmetric"):
        spectrum(kernel)
    kernel[3, 1025] = 1.0
    assert minimum_upper_bound(kernel) == 1.0


def test_the_check_needs_the_parts() -> None:
    x = torch.rand(5, 2, dtype=torch.float64)
    with pytest.raises(NtkError, match="parts"):
        weyl_check(empirical_ntk(CoordinateMLP(Plain(), 2, width=8), x, parts=()))


@pytest.mark.parametrize("size", [1, 2, 40])
def test_pairs_of_points_bound_the_smallest_eigenvalue_from_above(size: int) -> None:
    generator = np.random.default_rng(size)
    j = generator.standard_normal((size, 60))
    kernel = torch.from_numpy(j @ j.T)
    expected = min(
        [float(kernel[i, i]) for i in range(size)]
        + [
            float(kernel[i, i] + kernel[k, k] - 2 * kernel[i, k]) / 2
            for i in range(size)
            for k in range(i)
        ]
    )
    assert minimum_upper_bound(kernel) == pytest.approx(expected, rel=1e-12)
    assert np.linalg.eigvalsh(kernel.numpy())[0] <= minimum_upper_bound(kernel) * (1 + 1e-12)


def test_two_equal_points_bound_the_smallest_eigenvalue_by_zero() -> None:
    x = torch.rand(10, 2, dtype=torch.float64)
    kernel = empirical_ntk(CoordinateMLP(Plain(), 2, width=8), torch.cat([x, x[:1]])).total
    assert minimum_upper_bound(kernel) < 1e-14 * float(kernel.max())
