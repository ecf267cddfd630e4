"""The kernel of every encoding that ships with encbench is its Jacobian's Gram matrix."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from encbench_encodings import encbench_encodings

from encbench import CoordinateMLP, Encoding
from encbench.ntk import empirical_ntk, operator
from tests.ntk.conftest import OUTPUTS, gram, jacobian, relative_error

# Tables small enough for a brute-force Jacobian, and for hashes to collide.
SMALL: dict[str, list[dict[str, Any]]] = {
    "mpe": [{"levels": 2, "min_resolution": 3, "max_resolution": 9}, {"resolutions": [4]}],
    "densegrid": [{"levels": 3, "base_resolution": 3, "max_resolution": 9}],
    "tiledgrid": [{"levels": 3, "base_resolution": 3, "max_resolution": 9}],
    "hashgrid": [
        {"levels": 5, "log2_hashmap_size": 5, "base_resolution": 3, "init_scale": 1.0},
        {"levels": 3, "log2_hashmap_size": 6, "max_resolution": 32, "interpolation": "smoothstep"},
        {"levels": 3, "log2_hashmap_size": 6, "max_resolution": 32, "sparse_gradients": True},
    ],
    "composite": [{"parts": ["mpe:resolutions=[3]", "ffe:levels=2@0", "mpe:resolutions=[2,4]@0"]}],
    "hashgrid_paper": [{"levels": 4, "log2_hashmap_size": 5, "base_resolution": 2}],
    "permutohedral": [{"levels": 3, "log2_hashmap_size": 5, "base_resolution": 2.0}],
    "sparse_multigrid": [{"resolutions": [3, 9]}, {"resolutions": [3, 9], "samples": 2}],
    "kplanes": [{"resolutions": [2, 4], "features_per_level": 2}],
    "tensorf_cp": [{"rank": 3, "resolution": 4}],
    "tensorf_vm": [{"rank": 2, "resolution": 4}],
    "triplane": [{"features": 2, "resolution": 4}],
    "grid": [{"resolution": 4, "features": 2}],
    "bspline_grid": [{"features": 2, "resolution": 5}],
    "rbf_grid": [{"features": 2, "resolution": 4}],
    "gaplanes": [
        {"features": 3, "line_resolution": 5, "plane_resolution": 4, "volume_resolution": 3}
    ],
    "cafe": [{"features": 6, "frequencies": 4}, {"features": 6, "frequencies": 2, "chebyshev": 3}],
    "sl2a": [{"features": 6, "degree": 5}],
    "kan_bspline": [{"features": 6, "grid": 3}],
    "dictionary_field": [
        {
            "features_per_level": 2,
            "coefficient_resolution": 3,
            "frequencies": [1.0, 2.5],
            "basis_resolutions": [3, 4],
        }
    ],
}


def load(name: str) -> type[Encoding]:
    module, _, class_name = encbench_encodings()[name].partition(":")
    encoding: type[Encoding] = getattr(import_module(module), class_name)
    return encoding


CASES = [
    pytest.param(name, options, in_dim, id=f"{name}-{index}-{in_dim}")
    for name in encbench_encodings()
    for index, options in enumerate(SMALL.get(name, [{}]))
    for in_dim in (1, 2, 3)
    if load(name).min_dim <= in_dim <= load(name).max_dim
]


def build(name: str, in_dim: int, options: dict[str, Any]) -> Encoding:
    torch.manual_seed(5)
    return load(name)(in_dim, **options)


@pytest.mark.parametrize(("name", "options", "in_dim"), CASES)
def test_kernel_of_a_builtin_is_the_gram_matrix_of_its_jacobian(
    name: str, options: dict[str, Any], in_dim: int
) -> None:
    model = CoordinateMLP(build(name, in_dim, options), 3, width=8)
    x = torch.rand(12, in_dim, dtype=torch.float64)
    x[0], x[1] = 0.0, 1.0  # the border, where corners wrap or are clamped
    plain = {key: value for key, value in options.items() if key != "sparse_gradients"}
    reference = CoordinateMLP(build(name, in_dim, plain), 3, width=8)
    reference.load_state_dict(model.state_dict())
    parts = jacobian(reference, x)
    of_encoding = [each for each in parts if each.startswith("encoding.")]
    for outputs in OUTPUTS:
        ntk = empirical_ntk(model, x, outputs=outputs)
        assert "jacobian" not in ntk.methods.values(), "a built-in must not need the slow method"
        expected = gram(parts, outputs)
        assert relative_error(ntk.total, expected) < 1e-12
        if of_encoding:
            part = gram(parts, outputs, of_encoding)
            assert relative_error(ntk.parts["encoding"], part) < 1e-12
        v = torch.randn(len(expected), dtype=torch.float64)
        # each encoding gets all four combinations, spread over its dimensions
        cached = (outputs == "full") == (in_dim == 2)
        theta = operator(model, x, outputs=outputs, cached=cached)
        product = torch.from_numpy(theta @ v.numpy())
        assert relative_error(product, expected @ v) < 1e-12
