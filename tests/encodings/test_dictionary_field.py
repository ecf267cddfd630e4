"""Dictionary fields, held against coefficients times a repeated basis in plain numbers."""

import math

import pytest
import torch
from encbench_encodings.dictionary_field import DictionaryField

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)
from tests.encodings.interpolation_reference import interpolate
from tests.ntk.conftest import brute_force, relative_error

SMALL = {
    "features_per_level": 2,
    "coefficient_resolution": 3,
    "frequencies": [1.0, 2.5, 4.0],
    "basis_resolutions": [2, 4, 3],
}


def place(turns: float, mapping: str) -> float:
    """The place of a coordinate within its period."""
    if mapping == "sawtooth":
        return turns - math.floor(turns)
    return 1 - abs(math.fmod(turns, 2.0) - 1)


def reference(encoding: DictionaryField, point: list[float]) -> list[float]:
    coefficients = interpolate(encoding.coefficients.grid(0).tolist(), point)
    basis = []
    for level, frequency in enumerate(encoding.frequencies):
        own = [place(frequency * coordinate, encoding.mapping) for coordinate in point]
        basis += interpolate(encoding.basis.grid(level).tolist(), own)
    return [a * b for a, b in zip(coefficients, basis, strict=True)]


@pytest.mark.parametrize("mapping", ["sawtooth", "triangle"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_features_are_those_of_the_reference(in_dim, mapping):
    encoding = filled(DictionaryField(in_dim, **SMALL, mapping=mapping))
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("mapping", ["sawtooth", "triangle"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim, mapping):
    check_gradients(
        filled(DictionaryField(in_dim, **SMALL, mapping=mapping)), random_points(3, in_dim)
    )


def test_a_basis_repeats_as_often_as_its_frequency_says():
    encoding = DictionaryField(1, frequencies=[4.0], basis_resolutions=[5]).double()
    x = random_points(20, 1) / 4
    torch.testing.assert_close(encoding(x), encoding(x + 0.5))  # coefficients start constant


@pytest.mark.parametrize(("mapping", "jumps"), [("sawtooth", True), ("triangle", False)])
def test_only_the_sawtooth_jumps_between_periods(mapping, jumps):
    encoding = filled(DictionaryField(1, **SMALL, mapping=mapping))
    border = torch.tensor([[0.25 - 1e-9], [0.25 + 1e-9]], dtype=torch.float64)  # f = 4
    before, after = encoding(border)[:, -2:]
    assert bool(((before - after).abs() > 1e-6).all()) == jumps


@pytest.mark.parametrize("mapping", ["sawtooth", "triangle"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim, mapping):
    encoding = filled(DictionaryField(in_dim, **SMALL, mapping=mapping))
    check_sparse_jacobian(encoding, random_points(12, in_dim))
    check_sparse_jacobian(encoding, border_points(in_dim)[:40])


@pytest.mark.parametrize("mapping", ["sawtooth", "triangle"])
def test_the_kernel_of_products_is_their_jacobians(mapping):
    torch.manual_seed(0)
    encoding = DictionaryField(2, **SMALL, mapping=mapping)
    model = CoordinateMLP(encoding, out_dim=2, width=8, depth=1).double()
    x = random_points(10, 2)
    names = ["encoding.coefficients.table", "encoding.basis.table"]
    kernel = empirical_ntk(model, x)
    assert {kernel.methods[name] for name in names} == {"sparse"}
    assert relative_error(kernel.parts["encoding"], brute_force(model, x, "trace", names)) < 1e-12


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_it_has_the_parameters_of_its_grids(in_dim):
    encoding = DictionaryField(in_dim, **SMALL)
    grids = 3 * 3**in_dim + 2**in_dim + 4**in_dim + 3**in_dim
    assert sum(p.numel() for p in encoding.parameters()) == 2 * grids


def test_both_precisions_repeat_at_the_same_places():
    x = random_points(200, 2).float()
    encoding = DictionaryField(2)
    single = encoding(x)
    torch.testing.assert_close(single.double(), encoding.double()(x.double()), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frequencies": [1.0, 2.0]}, "2 frequencies and 6 basis_resolutions"),
        ({"frequencies": [], "basis_resolutions": []}, "give equally many of each, at least one"),
        ({"mapping": "sine"}, "mapping must be one of"),
        ({"frequencies": [0.0], "basis_resolutions": [4]}, "must be above 0"),
        ({"frequencies": [1.0], "basis_resolutions": [1]}, "at least 2"),
    ],
)
def test_settings_that_make_no_grids_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        DictionaryField(2, **settings)
