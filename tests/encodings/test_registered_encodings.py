"""Requirements of every built-in encoding: listing, documentation, defaults and training."""

import importlib
import subprocess
import sys

import encbench_encodings
import pytest
import torch

from encbench import CoordinateMLP, Encoding
from encbench.plugins.parameters import parameters_of, validate_parameters
from tests.encodings.encoding_checks import random_points

TARGETS = encbench_encodings.encbench_encodings()


def load(name: str) -> type[Encoding]:
    module, _, attribute = TARGETS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_listing_the_encodings_imports_no_torch():
    code = (
        "import sys, encbench_encodings; encbench_encodings.encbench_encodings(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_file_bears_the_registered_name(name):
    assert TARGETS[name].startswith(f"encbench_encodings.{name}:")


@pytest.mark.parametrize("name", TARGETS)
def test_an_encoding_says_what_it_computes_and_where_it_comes_from(name):
    encoding = load(name)
    assert 0 < len(encoding.__doc__.splitlines()[0]) <= 90
    assert encoding.equation
    assert encoding.source
    for parameter in parameters_of(encoding):
        assert parameter.description, f"{name}: {parameter.name} has no description"


@pytest.mark.parametrize("name", TARGETS)
def test_defaults_are_valid_by_their_own_annotations(name):
    encoding = load(name)
    defaults = {parameter.name: parameter.default for parameter in parameters_of(encoding)}
    assert validate_parameters("encoding", name, encoding, defaults) == defaults


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TARGETS)
def test_a_network_learns_on_the_default_encoding(name, dtype):
    torch.manual_seed(0)
    in_dim = max(2, load(name).min_dim)
    network = CoordinateMLP(load(name)(in_dim), out_dim=1, width=16, depth=1).to(dtype)
    x = random_points(64, in_dim).to(dtype)
    target = (3 * x).sin().prod(1, keepdim=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = (network(x) - target).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert network(x).dtype == dtype
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("name", "in_dim"),
    [
        (name, in_dim)
        for name in TARGETS
        for in_dim in (1, 2, 3)
        if load(name).min_dim <= in_dim <= load(name).max_dim
    ],
)
def test_each_row_depends_on_its_own_point_only(name, in_dim):
    torch.manual_seed(0)
    encoding = load(name)(in_dim).double()
    x = random_points(9, in_dim)
    features = encoding(x)
    assert features.shape == (9, encoding.out_dim)
    torch.testing.assert_close(features[4:5], encoding(x[4:5]), rtol=0, atol=1e-12)
    torch.testing.assert_close(features.flip(0), encoding(x.flip(0)), rtol=0, atol=1e-12)
