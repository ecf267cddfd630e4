"""Within what their parameters may be, activations and encodings have finite values and gradients.

In float32, at coordinates of the domain and at pre-activations as large as initialized networks
have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from encbench_encodings.symmetric import Symmetric
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from encbench import CoordinateMLP, ParameterError
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.plugins.registry import default_registry

OFFERED = {
    kind: {offer.name: offer for offer in default_registry().offers(kind)}
    for kind in ("activation", "encoding")
}


def ends(cls: type) -> dict[str, list[Any]]:
    """Of each parameter with a smallest and a largest value both, and the default."""
    found = {}
    for parameter in parameters_of(cls):
        bounds = FieldInfo.from_annotation(parameter.annotation).metadata
        low = [bound.ge for bound in bounds if hasattr(bound, "ge")]
        high = [bound.le for bound in bounds if hasattr(bound, "le")]
        if low and high:
            found[parameter.name] = [low[-1], parameter.default, high[-1]]
    return found


def finite(tensor: Tensor) -> bool:
    parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return bool(torch.isfinite(parts.to_dense()).all())


def check_finite(function: nn.Module, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    out = function(x)
    assert finite(out)
    size = (torch.view_as_real(out) if out.is_complex() else out).abs().sum()
    learned = [x, *function.parameters()]
    assert all(map(finite, torch.autograd.grad(size, learned, materialize_grads=True)))


@pytest.mark.parametrize("kind", OFFERED)
def test_every_real_parameter_has_a_domain(kind: str) -> None:
    for name, offer in OFFERED[kind].items():
        for parameter in parameters_of(offer.load()):
            if parameter.type.startswith("float") and "None" not in parameter.type:
                assert parameter.name in ends(offer.load()), f"{name}: {parameter.name}"


def corners(cls: type) -> Iterator[dict[str, Any]]:
    """Every combination of ends and defaults of real parameters."""
    whole = {parameter.name for parameter in parameters_of(cls) if parameter.whole}
    values = {name: each for name, each in ends(cls).items() if name not in whole}
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


@pytest.mark.parametrize("name", OFFERED["activation"])
def test_networks_of_an_activation_are_finite_wherever_its_parameters_may_be(name: str) -> None:
    cls: Any = OFFERED["activation"][name].load()
    x = torch.cartesian_prod(torch.linspace(0, 1, 5), torch.linspace(0, 1, 5))
    built = 0
    for given in corners(cls):
        torch.manual_seed(0)
        try:
            activation = cls(**given)
        except ParameterError:
            continue  # a combination that is refused
        check_finite(activation.module(), torch.linspace(-10, 10, 41))
        for parameterization in ("standard", "ntk"):
            with suppress(ParameterError):  # one that has no effect, or complex weights
                check_finite(
                    CoordinateMLP(Symmetric(2), 2, 8, 2, parameterization, activation=activation),  # type: ignore[arg-type] # a literal
                    x,
                )
                built += 1
    assert built


@pytest.mark.parametrize("name", OFFERED["encoding"])
def test_networks_of_an_encoding_are_finite_wherever_its_parameters_may_be(name: str) -> None:
    cls: Any = OFFERED["encoding"][name].load()
    in_dim = min(cls.max_dim, 4) if name in ("kplanes", "tensorf_cp") else max(2, cls.min_dim)
    x = torch.cat((torch.zeros(1, in_dim), torch.rand(6, in_dim), torch.ones(1, in_dim)))
    # a table of 2^30 rows holds nothing else
    small = {"log2_hashmap_size": 4} if "log2_hashmap_size" in ends(cls) else {}
    for key, values in ends(cls).items():
        for value in values if key not in small else ():
            torch.manual_seed(0)
            try:
                encoding = cls(in_dim, **small | {key: value})
                model = CoordinateMLP(encoding, 1, 8, 1, "standard")
            except ParameterError:
                continue  # one end of a range beyond the other
            check_finite(model, x)


@pytest.mark.parametrize(
    ("kind", "name", "given", "words"),
    [
        ("activation", "hosc", {"beta": 1e300}, "less than or equal to 1000000; expected float >="),
        ("activation", "gaussian", {"a": 1e-200}, "greater than or equal to 0.000001"),
        ("encoding", "gaussian_ffe", {"sigma": 1e300}, "less than or equal to 1000000"),
        ("encoding", "grid", {"resolution": 10**26}, "sizes are at most 2147483647"),
        ("encoding", "grid", {"init_std": 1e300}, "less than or equal to 1000"),
    ],
)
def test_what_lies_outside_is_refused_in_one_line(
    kind: str, name: str, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ParameterError, match=words) as refused:
        validate_parameters(kind, name, OFFERED[kind][name].load(), given)
    assert "\n" not in str(refused.value)


def test_a_wavelet_that_grows_beyond_float32_is_refused() -> None:
    cls: Any = OFFERED["activation"]["complex_gabor"].load()
    with pytest.raises(ParameterError, match=r"give a scale of at least 1\.25, a 16th"):
        cls(scale=0.0)


def test_a_finer_wavelet_of_a_large_complex_number_is_0_and_has_no_slope() -> None:
    cls: Any = OFFERED["activation"]["finer_wavelet"].load()
    z = torch.complex(torch.tensor([0.3, -2.0]), torch.tensor([9.0, -1e4])).requires_grad_()
    value = cls()(z)
    (slope,) = torch.autograd.grad(torch.view_as_real(value).sum(), z)
    assert value.tolist() == slope.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["hashgrid", "hashgrid_paper", "tiledgrid", "densegrid"])
def test_a_growth_beyond_all_integers_is_refused(name: str) -> None:
    cls: Any = OFFERED["encoding"][name].load()
    with pytest.raises(ParameterError, match="lower per_level_scale"):
        cls(2, per_level_scale=1e300)


@pytest.mark.parametrize(
    ("name", "in_dim", "parameter", "size", "dimensions", "values"),
    [
        ("grid", 4, "resolution", 65536, 4, 4 * 2**64),
        ("bspline_grid", 4, "resolution", 65536, 4, 4 * 2**64),
        ("kplanes", 3, "resolutions", [10**9], 2, 24 * 10**18),
        ("mpe", 3, "resolutions", [10**9], 3, 2 * 10**27),
        ("gaplanes", 3, "volume_resolution", 10**6, 3, 32 * 10**18),
        ("dictionary_field", 3, "coefficient_resolution", 10**6, 3, 24 * 10**18),
    ],
)
def test_a_table_beyond_all_memory_is_refused(
    name: str, in_dim: int, parameter: str, size: Any, dimensions: int, values: int
) -> None:
    cls: Any = OFFERED["encoding"][name].load()
    words = f"^{parameter} is too large: in {dimensions} dimensions there are {values:,} values"
    with pytest.raises(ParameterError, match=words):
        cls(in_dim, **{parameter: size})
