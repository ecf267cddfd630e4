"""One-blob encoding, held against the kernel integrated numerically over each bin."""

import math

import pytest
import torch
from encbench_encodings.oneblob import OneBlob
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from encbench import ParameterError
from tests.encodings.encoding_checks import border_points, check_gradients, random_points


def quartic(t: float) -> float:
    return 15 / 16 * (1 - t * t) ** 2 if abs(t) < 1 else 0.0


def gaussian(t: float) -> float:
    return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)


def integral(kernel, bins: int, center: float, i: int) -> float:
    """Mass of the kernel around ``center``, one bin wide, on bin i."""
    kinks = [p for p in (center - 1 / bins, center, center + 1 / bins) if i < p * bins < i + 1]
    value, _ = quad(
        lambda t: bins * kernel(bins * (t - center)),
        i / bins,
        (i + 1) / bins,
        points=kinks or None,
        epsabs=1e-13,
    )
    return value


@pytest.mark.parametrize("bins", [2, 3, 8])
@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "paper"])
def test_a_feature_is_the_kernels_mass_on_its_bin(convention, bins):
    points = torch.cat((random_points(6, 2), border_points(2)[::7]))
    encoding = OneBlob(2, bins=bins, convention=convention)
    expected = []
    for point in points.tolist():
        row = []
        for value in point:
            for i in range(bins):
                if convention == "paper":
                    row.append(integral(gaussian, bins, value, i))
                else:  # the images of x around the circle
                    row.append(sum(integral(quartic, bins, value + k, i) for k in (-1, 0, 1)))
        expected.append(row)
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )


@given(st.floats(0, 1), st.integers(2, 100))
def test_quartic_features_add_up_to_one_and_are_never_negative(x, bins):
    features = OneBlob(1, bins=bins)(torch.tensor([[x]], dtype=torch.float64))
    assert features.sum().item() == pytest.approx(1, abs=1e-13)
    assert features.min().item() >= -1e-15
    assert (features > 1e-15).sum().item() <= 4


@given(st.floats(0, 1), st.integers(2, 100))
def test_gaussian_features_add_up_to_the_mass_within_the_domain(x, bins):
    features = OneBlob(1, bins=bins, convention="paper")(torch.tensor([[x]], dtype=torch.float64))
    inside = (math.erf(bins * (1 - x) / math.sqrt(2)) + math.erf(bins * x / math.sqrt(2))) / 2
    assert features.sum().item() == pytest.approx(inside, abs=1e-13)


def test_the_quartic_kernel_sees_the_domain_as_a_circle():
    encoding = OneBlob(1, bins=4)
    ends = encoding(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-15)
    assert ends[0].tolist() == pytest.approx([0.5, 0, 0, 0.5])


@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "paper"])
def test_gradients_agree_with_differences_on_borders_of_bins_too(convention):
    encoding = OneBlob(2, bins=4, convention=convention)
    check_gradients(encoding, torch.cat((random_points(5, 2), border_points(2)[:8])))


def test_features_keep_the_precision_of_the_input():
    x = random_points(50, 2)
    for convention in ("tiny-cuda-nn", "paper"):
        encoding = OneBlob(2, convention=convention)
        single = encoding(x.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), encoding(x), rtol=0, atol=3e-6)


def test_there_is_nothing_to_learn_and_nothing_to_save():
    encoding = OneBlob(2)
    assert encoding.out_dim == 2 * 16
    assert list(encoding.parameters()) == []
    assert encoding.state_dict() == {}


def test_an_unknown_convention_is_refused():
    with pytest.raises(ParameterError, match="convention must be one of"):
        OneBlob(2, convention="gaussian")
