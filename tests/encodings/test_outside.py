"""Coordinates outside [0, 1], NaN and infinite coordinates, and parameters of 16 bits."""

import copy

import pytest
import torch
from encbench_encodings._multilevel import MultilevelGrid

from encbench.plugins.registry import default_registry

SMALL = {
    "densegrid": {"levels": 3, "max_resolution": 24},
    "tiledgrid": {"levels": 3, "max_resolution": 24},
    "hashgrid": {"levels": 5, "log2_hashmap_size": 8, "max_resolution": 64},
    "hashgrid_paper": {"levels": 5, "log2_hashmap_size": 8, "max_resolution": 64},
    "permutohedral": {"levels": 4, "log2_hashmap_size": 8, "max_resolution": 64.0},
    "dictionary_field": {"frequencies": [2.0, 3.2], "basis_resolutions": [8, 9]},
}
NAMES = sorted(offer.name for offer in default_registry().offers("encoding"))
ROUGH = ("siren", "finer", "wire", "gaussian", "gaussian_ffe")
"""Encodings that multiply their parameters, and so their rounding errors, by a frequency."""
GRIDS = ("densegrid", "tiledgrid", "hashgrid", "hashgrid_paper", "mpe", "grid", "sparse_multigrid")


def built(name, in_dim=None):
    kind = default_registry().find("encoding", name).load()
    torch.manual_seed(0)
    encoding = kind(in_dim or max(2, kind.min_dim), **SMALL.get(name, {}))
    for parameter in encoding.parameters():
        torch.nn.init.normal_(parameter)
    return encoding


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_says_what_holds_outside(name):
    assert "Outside [0, 1]" in default_registry().find("encoding", name).load().__doc__


@pytest.mark.parametrize("name", NAMES)
def test_far_outside_features_are_finite_and_rows_stay_within_their_level(name):
    encoding = built(name)
    x = 8 * torch.rand(500, encoding.in_dim, dtype=torch.float64) - 4
    encoding.double()
    assert encoding(x).isfinite().all()
    if isinstance(encoding, MultilevelGrid):
        rows, _ = encoding.rows_and_weights(x)
        starts = torch.tensor(encoding.starts)
        assert (rows >= starts[:-1, None]).all()
        assert (rows < starts[1:, None]).all()


@pytest.mark.parametrize("name", GRIDS)
def test_grids_go_on_as_in_their_border_cell(name):
    encoding = built(name, 1).double()
    for border, way in ((0.0, 1), (1.0, -1)):
        steps = [[border], [border + way * 1e-3], [border - way * 0.7]]
        at, within, beyond = encoding(torch.tensor(steps, dtype=torch.float64))
        torch.testing.assert_close(beyond - at, 700 * (at - within), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_coordinate_that_is_not_finite_spoils_its_own_point_only(name, wrong):
    encoding = built(name)
    x = torch.rand(5, encoding.in_dim)
    expected = encoding(x)
    x[2, 0] = wrong
    got = encoding(x)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(got[others], expected[others], rtol=0, atol=0)
    if wrong != wrong:
        assert got[2].isnan().any()


@pytest.mark.parametrize("name", NAMES)
def test_no_points_have_no_features_and_no_gradient(name):
    encoding = built(name)
    features = encoding(torch.empty(0, encoding.in_dim))
    assert features.shape == (0, encoding.out_dim)
    for block in encoding.sparse_jacobian(torch.empty(0, encoding.in_dim)) or ():
        assert len(block.rows) == len(block.weights) == 0
    if features.requires_grad:
        features.sum().backward()
        assert not any(p.grad.any() for p in encoding.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "precision"), [("half", 2e-3), ("bfloat16", 2e-2)])
def test_16_bits_round_parameters_and_not_places(name, kind, precision):
    encoding = built(name)
    if not list(encoding.parameters()):
        precision = 1e-6
    x = torch.rand(200, encoding.in_dim)
    expected = encoding(x)
    restored = getattr(copy.deepcopy(encoding), kind)().float()
    error = (restored(x) - expected).norm() / expected.norm()
    assert error < (0.5 if name in ROUGH else precision)
    if isinstance(encoding, MultilevelGrid):
        small = getattr(copy.deepcopy(encoding), kind)()
        features = small(x)
        assert (features.float() - expected).norm() / expected.norm() < precision
        features.float().square().sum().backward()
        assert small.table.grad.dtype == small.table.dtype


@pytest.mark.parametrize("name", NAMES)
def test_points_of_16_bits_are_those_points(name):
    encoding = built(name)
    x = torch.rand(50, encoding.in_dim).bfloat16()
    try:
        features = encoding(x)
    except RuntimeError as error:  # a dense layer accepts only its own dtype
        assert "dtype" in str(error)  # noqa: PT017 # most encodings have no such layer
        return
    expected = encoding(x.float())
    assert (features.float() - expected).norm() < 1e-2 * expected.norm()
