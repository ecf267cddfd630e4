"""Encodings and activations are known to have the derivatives that a loss takes."""

import pytest
import torch

from encbench import Suite, plan
from encbench.errors import PluginError, SuiteError
from encbench.network.activations import activation_of
from encbench.plugins.registry import default_registry
from encbench.suite.derivatives import first_lacking
from tests.sample_plugin import Scaled, Wave, module, registry_of

GRID = {"levels": 3, "log2_hashmap_size": 8, "max_resolution": 24}


@pytest.mark.parametrize(
    ("name", "parameters", "lacking"),
    [
        ("identity", {}, None),
        ("ffe", {"levels": 7}, None),
        ("gaussian_ffe", {"sigma": 20}, None),
        ("siren", {}, None),
        ("hashgrid", {**GRID, "interpolation": "smoothstep"}, None),
        ("hashgrid", {**GRID, "interpolation": "linear"}, 2),
        ("hashgrid", {**GRID, "interpolation": "nearest"}, 1),
        ("mpe", {"resolutions": [5]}, 2),
        ("kplanes", {"resolutions": [8]}, 2),  # a product of interpolations is curved in between
        ("composite", {"parts": ["ffe:levels=8", "mpe:resolutions=[9]"]}, 2),
        ("triangle_wave", {}, 2),
    ],
)
def test_the_lowest_derivative_that_an_encoding_lacks(name, parameters, lacking):
    torch.manual_seed(0)
    encoding = default_registry().find("encoding", name).load()(2, **parameters).double()
    assert first_lacking(encoding, 2, 2) == lacking


@pytest.mark.parametrize(("network", "refused"), [("mlp", True), ("fouriernet", False)])
def test_the_activation_matters_only_to_networks_that_have_one(network, refused):
    suite = Suite.model_validate(
        {"encodings": ["identity"], "tasks": ["pde"], "network": {"kind": network}}
        | ({"network": {"activation": "relu"}} if refused else {})
    )
    if refused:
        with pytest.raises(SuiteError, match="activation 'relu' has no second derivative"):
            plan(suite, default_registry())
    else:
        assert plan(suite, default_registry())


class Sloped(Wave):
    """A wave whose loss differentiates the network."""

    @classmethod
    def derivatives(cls, **parameters):
        return 1


class Fragile(Scaled):
    """Its constructor fails."""

    def __init__(self, in_dim: int) -> None:
        raise ZeroDivisionError("no features")


def test_an_encoding_that_cannot_be_built_is_named_in_planning():
    offered = module(encodings={"fragile": Fragile}, tasks={"sloped": Sloped})
    suite = Suite.model_validate({"encodings": ["fragile"], "tasks": ["sloped"]})
    with pytest.raises(PluginError, match=r"'fragile' of .* failed: ZeroDivisionError: no"):
        plan(suite, registry_of(ours=offered))


@pytest.mark.parametrize("name", [offer.name for offer in default_registry().offers("activation")])
def test_the_lowest_derivative_that_an_activation_lacks(name):
    # staf draws its frequencies; values of complex_gabor are complex
    torch.manual_seed(0)
    module = activation_of(name).module().double().requires_grad_(False)
    lacking = 2 if name in ("relu", "laplacian") else None
    assert first_lacking(lambda x: module(6 * x - 3), 1, 2) == lacking
    assert first_lacking(lambda x: module(6 * x - 3), 1, 1) is None
