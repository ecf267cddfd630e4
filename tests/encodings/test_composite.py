"""Composites, compared with their concatenated parts."""

import pytest
import torch
from encbench_encodings.composite import Composite
from encbench_encodings.ffe import FourierFeatureEncoding as FFE
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.mpe import MultigridParametricEncoding as MPE

from encbench import CoordinateMLP, ParameterError
from encbench.network.activations import activation_of
from encbench.ntk import empirical_ntk
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.selector import format_selector, parse_selector
from tests.encodings.encoding_checks import (
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)
from tests.ntk.conftest import brute_force, relative_error

PARTS = ["mpe:resolutions=[3,5]@2", "ffe:levels=3@1,0", "mpe:resolutions=[4],include_input=false"]


def test_features_are_the_parts_side_by_side():
    encoding = filled(Composite(3, parts=PARTS))
    x = random_points(20, 3)
    first, last = MPE(1, resolutions=[3, 5]), MPE(3, resolutions=[4], include_input=False)
    first.double().load_state_dict(encoding.parts[0].state_dict())
    last.double().load_state_dict(encoding.parts[2].state_dict())
    expected = torch.cat((first(x[:, 2:]), FFE(2, levels=3)(x[:, [1, 0]]), last(x)), dim=1)
    assert torch.equal(encoding(x), expected)
    assert encoding.out_dim == expected.shape[1] == first.out_dim + 12 + last.out_dim


def test_a_part_reads_coordinates_in_the_order_they_are_written():
    x = random_points(5, 2)
    assert torch.equal(Composite(2, parts=["identity@1,0"])(x), x.flip(1))


def test_sparse_jacobian_is_the_jacobian_of_all_parts():
    encoding = filled(Composite(3, parts=PARTS))
    blocks = encoding.sparse_jacobian(random_points(4, 3))
    assert [block.parameter for block in blocks] == [
        "parts.0.table",
        "parts.0.table",
        "parts.2.table",
    ]
    check_sparse_jacobian(encoding, random_points(12, 3))


def test_parts_without_parameters_have_no_sparse_jacobian():
    encoding = Composite(2, parts=["ffe:levels=2@0", "identity"])
    assert encoding.sparse_jacobian(random_points(4, 2)) is None


def test_gradients_agree_with_differences():
    check_gradients(filled(Composite(3, parts=PARTS)), random_points(3, 3))


def test_each_part_has_its_own_method_in_the_kernel():
    torch.manual_seed(0)
    parts = ["mpe:resolutions=[3]@0", "tensorf_cp:rank=2,resolution=4", "siren:features=5@1"]
    model = CoordinateMLP(Composite(2, parts=parts), out_dim=2, width=8, depth=1).double()
    x = random_points(12, 2)
    kernel = empirical_ntk(model, x)
    assert kernel.methods["encoding.parts.0.table"] == "sparse"
    assert kernel.methods["encoding.parts.1.vectors.table"] == "sparse"
    assert set(kernel.methods.values()) == {"sparse", "layerwise"}
    names = [name for name, _ in model.named_parameters() if name.startswith("encoding.")]
    assert len(names) > 2
    assert relative_error(kernel.parts["encoding"], brute_force(model, x, "trace", names)) < 1e-12


def test_a_composite_of_composites_is_the_flat_one():
    torch.manual_seed(0)
    inner = format_selector("composite", {"parts": ["mpe:resolutions=[3]@0", "ffe:levels=2@1"]})
    nested = Composite(3, parts=[f"{inner}@2,1", "identity@0"])
    torch.manual_seed(0)
    flat = Composite(3, parts=["mpe:resolutions=[3]@2", "ffe:levels=2@1", "identity@0"])
    x = random_points(8, 3).float()
    assert torch.equal(nested(x), flat(x))
    check_sparse_jacobian(filled(nested), random_points(5, 3))


def test_parts_can_be_written_on_the_command_line():
    text = 'composite:parts=["ffe:levels=4@0,1","mpe:resolutions=[8]@2"]'
    name, given = parse_selector(text)
    assert name == "composite"
    values = validate_parameters("encoding", name, Composite, given)
    assert values == {"parts": ["ffe:levels=4@0,1", "mpe:resolutions=[8]@2"]}
    assert Composite(3, **values).out_dim == 2 * 2 * 4 + 3


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_the_default_is_waves_beside_grids(in_dim):
    encoding = Composite(in_dim)
    assert [type(part) for part in encoding.parts] == [FFE, HashGrid]
    assert encoding(random_points(3, in_dim)).shape == (3, 2 * in_dim * 4 + 2 * 16)


def test_an_at_sign_in_a_quoted_value_names_no_coordinates():
    with pytest.raises(ParameterError, match="has no parameter 'note'"):
        Composite(2, parts=['identity:note="a@b"'])


def test_it_expects_the_activation_that_a_part_expects():
    composite = Composite(2, parts=["siren:features=4,hidden_omega=7@0", "ffe@1"])
    assert composite.activation == activation_of("sine:omega=7")
    assert Composite(2).activation is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "no part of \\[\\] reads coordinate 0,1"),
        (["fe"], "part 'fe': unknown encoding 'fe'; did you mean 'ffe'"),
        (["ffe:level=2"], "part 'ffe:level=2': .* did you mean 'levels'"),
        (["ffe:levels=0"], "part 'ffe:levels=0': .* levels=0 is not valid"),
        (["ffe:levels"], "part 'ffe:levels'"),
        (["ffe@2"], "part 'ffe@2': there is no coordinate 2 where in_dim=2"),
        (["ffe@x"], "part 'ffe@x': 'x' after @ is no list of coordinates"),
        (["ffe@"], "part 'ffe@': '' after @ is no list of coordinates"),
        (["ffe@-1"], "'-1' after @ is no list of coordinates"),
        (["ffe@0,0"], "part 'ffe@0,0': @0,0 names a coordinate twice"),
        (["ffe@0"], "reads coordinate 1; add a part such as 'identity@1'"),
        (["triplane"], "part 'triplane': triplane takes points of 3 coordinates, got 2"),
        (["mpe:resolutions=[1]"], "part 'mpe:resolutions=\\[1\\]'"),
        (["siren", "finer"], "expect different activations of the network, finer:.* and sine:"),
    ],
)
def test_parts_that_cannot_be_built_are_refused_by_name(parts, message):
    with pytest.raises(ParameterError, match=message):
        Composite(2, parts=parts)
