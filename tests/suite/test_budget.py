"""Encodings are sized to a number of parameters, and have that number when they are built."""

import logging
import subprocess
import sys
from typing import Annotated

import pytest
import torch
from pydantic import Field

from encbench import CoordinateMLP, Encoding, plan
from encbench.errors import ParameterError, PluginError, SuiteError
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.registry import default_registry
from encbench.suite.budget import (
    TOLERANCE,
    Sizing,
    dimensions,
    parameters_of_cell,
    size_names,
    sized,
)
from encbench.suite.config import NetworkConfig, PluginRef, cell_key
from encbench.suite.file import Suite, override
from tests.sample_plugin import Scaled, Wave, module, registry_of

REGISTRY = default_registry()
OFFERS = {offer.name: offer for offer in REGISTRY.offers("encoding")}
CASES = [
    (name, dim)
    for name, offer in OFFERS.items()
    for dim in (2, 3)
    if offer.load().min_dim <= dim <= offer.load().max_dim
]
ASKED = {
    "composite": {"parts": ["ffe@0", "grid:resolution=8"]},
}
"""Parameters of encodings that with their other defaults cannot be as small as the budget."""


def size(name, dim, budget, width=16, **given):
    cls = OFFERS[name].load()
    parameters = validate_parameters("encoding", name, cls, given)
    reference = PluginRef(name=name, distribution="encbench", version="1", parameters=parameters)
    return sized(cls, reference, NetworkConfig(width=width, depth=2), (dim, 3), budget)


def built(name, dim, sizing):
    model = CoordinateMLP(OFFERS[name].load()(dim, **sizing.parameters), 3, sizing.width, 2)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "dim"), CASES)
def test_every_encoding_has_the_number_of_parameters_that_was_promised(name, dim):
    budget = 6_000
    sizing = size(name, dim, budget, **ASKED.get(name, {}))
    assert built(name, dim, sizing) == sizing.count
    assert abs(sizing.count - budget) <= TOLERANCE * budget
    assert set(sizing.chosen) <= {*size_names(OFFERS[name].load()), "width"}


def test_an_encoding_with_a_table_keeps_its_network():
    assert size("mpe", 2, 20_000, resolutions=[8]).chosen == {"resolutions": [99]}
    # in proportion
    assert size("mpe", 2, 20_000, resolutions=[8, 32]).chosen == {"resolutions": [24, 96]}
    assert size("grid", 2, 20_000).chosen == {"resolution": 70}


def test_without_a_table_the_networks_width_is_chosen():
    for name in ("identity", "ffe", "siren"):
        assert size(name, 2, 20_000).chosen.keys() == {"width"}


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        ("siren", (69, 69)),
        # the default sizes have 10,147 parameters with a width of 32; given ones stay
        ("siren:features=256", (256, 32)),
        ({"name": "siren", "network": {"width": 64}}, (256, 32)),
    ],
)
def test_a_first_layer_is_as_wide_as_the_layers_after_it(asked, sizes):
    suite = Suite(encodings=[asked], tasks=["image:side=8"], budget={"parameters": 10_000})
    (cell,) = plan(suite, REGISTRY)
    assert (cell.encoding.parameters["features"], cell.network.width) == sizes
    unset = suite.model_copy(update={"network": NetworkConfig(width=None)})
    assert plan(unset, REGISTRY) == [cell]


def test_where_a_width_is_too_coarse_a_step_the_first_layer_makes_up_for_it():
    cls = OFFERS["siren"].load()
    reference = PluginRef(
        name="siren",
        distribution="encbench",
        version="1",
        parameters=validate_parameters("encoding", "siren", cls, {}),
    )
    ends, network = (2, 3), NetworkConfig(width=64, depth=2)
    for budget in (195, 215, 3_000):
        found = sized(cls, reference, network, ends, budget, tied=True)
        assert built("siren", 2, found) == found.count
        assert abs(found.count - budget) <= TOLERANCE * budget
    assert found.chosen == {"features": 37, "width": 37}


def test_a_width_that_follows_the_networks_keeps_its_limits():
    class Layer(Scaled):
        width_parameter = "features"

        def __init__(
            self, in_dim: int, *, features: Annotated[int, Field(ge=1, le=128)] = 16
        ) -> None:
            super().__init__(in_dim)
            self.out_dim = features
            self.weight = torch.nn.Parameter(torch.empty(features, in_dim))

    registry = registry_of(ours=module(encodings={"layer": Layer}, tasks={"wave": Wave}))
    suite = Suite(encodings=["layer"], tasks=["wave"], budget={"parameters": 200_000})
    (cell,) = plan(suite, registry)
    assert cell.encoding.parameters["features"] == 128
    Layer.width_parameter = "feature"
    with pytest.raises(ParameterError, match="'layer' has no parameter 'feature'"):
        plan(suite, registry)


def test_where_the_network_alone_has_more_its_width_is_chosen():
    sizing = size("mpe", 2, 5_000, width=512, resolutions=[8])
    assert sizing.chosen == {"width": 65}
    assert sizing.parameters["resolutions"] == [8]


def test_beside_a_network_that_is_too_large_an_encoding_has_half_of_the_budget():
    for name, sizes in (("hashgrid", {"log2_hashmap_size", "levels"}), ("tensorf_cp", {"rank"})):
        sizing = size(name, 2, 3_000, width=64)
        assert sizing.own == pytest.approx(1_500, rel=0.05)
        assert sizing.chosen.keys() == sizes | {"width"}
        assert built(name, 2, sizing) == sizing.count
        assert not sizing.least
    # 256 features are too many for the rest; a quarter has fewer
    sizing = size("kan_bspline", 1, 3_000, width=64)
    assert sizing.own == pytest.approx(750, rel=0.05)
    # what has less keeps its sizes
    given = {"log2_hashmap_size": 6, "levels": 4, "max_resolution": 32}
    assert size("hashgrid", 2, 3_000, width=64, **given).chosen.keys() == {"width"}


@pytest.mark.parametrize("budget", [4_600, 5_000])  # the network alone has 4,675
def test_beside_a_network_of_the_budgets_size_an_encoding_has_half_of_the_budget(budget):
    for name in ("grid", "hashgrid", "tensorf_cp"):
        assert size(name, 2, budget, width=64).own == pytest.approx(budget / 2, rel=0.05)
    # what has less keeps its sizes
    sizing = size("tiledgrid", 1, budget, width=64)
    assert (sizing.own, sizing.chosen.keys()) == (512, {"width"})
    # a network that leaves an eighth is kept
    assert size("grid", 2, 6_000, width=64).chosen.keys() == {"resolution"}


def test_a_size_reduced_to_its_minimum_is_a_warning(suite, caplog):
    assert size("siren", 2, 3_000, width=64).least == ("width",)
    assert size("kan_bspline", 2, 1_000, width=64).least == ("grid", "width")
    assert size("kan_bspline", 2, 1_000, width=64, grid=1).least == ("width",)
    # also where another size makes up for it
    sizing = size("kan_bspline", 3, 20_000, width=64)
    assert sizing.chosen == {"grid": 1, "features": 198}
    assert sizing.least == ("grid",)
    asked = {"encodings": ["siren:features=16"], "tasks": ["image:side=8"]}
    plan(Suite.model_validate(asked | {"budget": {"parameters": 280}}), REGISTRY)
    assert "siren:features=16: width=8 cannot be smaller, so results at 280 param" in caplog.text
    asked["encodings"] = ["kan_bspline"]
    plan(Suite.model_validate(asked | {"budget": {"parameters": 4_000}}), REGISTRY)
    assert "kan_bspline: grid=1 cannot be smaller at 4,000 parameters; other s" in caplog.text


@pytest.mark.parametrize("budget", [20_000, 150_000, 1_000_000])
def test_sizes_that_belong_together_keep_their_proportions(budget):
    lines = size("gaplanes", 2, budget).parameters
    assert lines["line_resolution"] / lines["plane_resolution"] == pytest.approx(128 / 20, rel=0.1)
    assert lines["volume_resolution"] == 5  # there is none in 2D
    solid = size("gaplanes", 3, budget).parameters
    assert solid["plane_resolution"] / solid["volume_resolution"] == pytest.approx(4, rel=0.3)
    field = size("dictionary_field", 2, budget).parameters
    ratio = field["basis_resolutions"][-1] / field["coefficient_resolution"]
    assert ratio == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("dim", [3, 4])
def test_sizes_with_coarse_steps_keep_their_proportions_at_any_budget(dim):
    for budget in (12_750, 30_000, 58_008, 77_065, 102_289, 1_135_239):
        dense = size("densegrid", dim, budget, width=64).parameters
        assert 5 < dense["max_resolution"] / dense["base_resolution"] < 12, budget
    assert size("densegrid", 3, 30_000, width=64).width == 64


def test_one_of_several_sizes_that_is_excluded_leaves_the_others():
    assert "max_resolution" not in size("densegrid", 2, 20_000, per_level_scale=1.2).chosen
    assert size("densegrid", 1, 30_000).count == pytest.approx(30_000, rel=TOLERANCE)


def test_a_size_in_powers_of_two_is_helped_by_a_finer_one():
    given = {"levels": 8, "max_resolution": 256, "log2_hashmap_size": 12}
    sizing = size("hashgrid", 3, 24_000, **given)
    assert sizing.chosen == {"log2_hashmap_size": 11, "levels": 6}
    # once the table has a row for each vertex, the finest grid grows instead
    sizing = size("hashgrid", 2, 60_000, **given | {"max_resolution": 32})
    assert sizing.chosen.keys() == {"log2_hashmap_size", "max_resolution"}
    assert sizing.parameters["log2_hashmap_size"] < 20


def test_a_main_size_that_a_given_parameter_excludes_is_left():
    sizing = size("mpe", 2, 20_000, levels=1)
    assert sizing.chosen.keys() == {"max_resolution"}
    assert built("mpe", 2, sizing) == sizing.count


def test_a_size_that_must_be_a_multiple_of_the_outputs_is_found():
    cls, given = OFFERS["tensorf_cp"].load(), {"rank": 48}
    parameters = validate_parameters("encoding", "tensorf_cp", cls, given)
    reference = PluginRef(
        name="tensorf_cp", distribution="encbench", version="1", parameters=parameters
    )
    found = sized(cls, reference, NetworkConfig(kind="none"), (2, 3), 60_000, REGISTRY)
    assert found.chosen == {"rank": 234}
    assert found.count == 59_904


def test_what_cannot_be_reached_is_refused_with_what_is_nearest():
    with pytest.raises(
        SuiteError, match=r"cannot have 40 param.* nearest is 123 param.*width=8; width cannot be"
    ):
        size("identity", 2, 40)


def test_that_the_parts_of_a_composite_are_not_sized_is_said():
    with pytest.raises(SuiteError, match=r"its own 8,192 are not sized: give other param"):
        size("composite", 2, 5_000, parts=["grid:resolution=64,features=2"])


def test_planned_cells_are_ordinary_ones_of_the_chosen_sizes(caplog):
    suite = Suite(
        encodings=["mpe:resolutions=[8]", "ffe:levels=2"],
        tasks=["image:side=8"],
        network=NetworkConfig(width=8, depth=1),
        budget={"parameters": "2k"},
    )
    with caplog.at_level(logging.INFO, "encbench"):
        mpe, ffe = plan(suite, REGISTRY)
    resolutions = mpe.encoding.parameters["resolutions"]
    assert f"mpe:resolutions=[8]: 1,989 parameters with resolutions={resolutions}" in caplog.text
    assert mpe.encoding.label == f"mpe:resolutions={resolutions}".replace(" ", "")
    assert (mpe.network.width, ffe.encoding.label) == (8, "ffe:levels=2")
    plain = Suite(
        encodings=[f"mpe:resolutions={resolutions}"],
        tasks=["image:side=8"],
        network=NetworkConfig(width=8, depth=1),
    )
    assert [cell_key(mpe)] == [cell_key(cell) for cell in plan(plain, REGISTRY)]
    again = Suite.model_validate(suite.as_asked())
    assert [cell_key(cell) for cell in plan(again, REGISTRY)] == [cell_key(mpe), cell_key(ffe)]


def test_a_budget_can_be_swept(registry, suite):
    swept = override(suite, {"budget": {"parameters": {"sweep": ["1k", 4000]}}})
    small, large = plan(swept, registry)
    assert small.network.width < large.network.width
    assert swept.as_asked()["budget"] == {"parameters": {"sweep": ["1k", 4000]}}


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("many", "'many': expected a whole number, or one like 300k"),
        (0, "greater than or equal"),
        (-1, "greater than"),
        (1e12, "less than or equal to"),
    ],
)
def test_a_wrong_budget_is_one_line(suite, budget, words):
    with pytest.raises(SuiteError, match=f"budget.parameters = .*{words}"):
        override(suite, {"budget": {"parameters": budget}})


def test_outputs_that_only_the_data_tell_are_read(suite):
    class Late(Wave):
        out_dim = property(lambda self: 1)

    assert dimensions(Wave, {}, "wave") == dimensions(Late, {}, "wave") == (1, 1)
    with pytest.raises(SuiteError, match="data of 'wave', which cannot be read: OSError: the tide"):
        dimensions(Late, {"broken": True}, "wave")


def test_an_encoding_that_cannot_be_built_without_memory_is_named(suite):
    class Reads(Scaled):
        def __init__(self, in_dim: int) -> None:
            super().__init__(in_dim)
            torch.ones(1).item()

    registry = registry_of(ours=module(encodings={"scaled": Reads}, tasks={"wave": Wave}))
    with pytest.raises(PluginError, match="encoding 'scaled' of ours cannot be built without mem"):
        plan(override(suite, {"budget": {"parameters": 500}}), registry)


def test_an_encoding_that_raises_is_named_where_cells_are_listed(suite):
    class Raises(Scaled):
        def __init__(self, in_dim: int) -> None:
            raise ValueError("no way")

    registry = registry_of(ours=module(encodings={"scaled": Raises}, tasks={"wave": Wave}))
    (cell,) = plan(suite, registry)
    with pytest.raises(PluginError, match=r"encoding 'scaled' of ours .* failed: ValueError: no w"):
        parameters_of_cell(cell, registry)


def test_sizes_that_are_declared_are_parameters():
    for name, offer in OFFERS.items():
        cls: type[Encoding] = offer.load()
        names = validate_parameters("encoding", name, cls, {})
        assert {*size_names(cls), *filter(None, [cls.width_parameter])} <= names.keys(), name
    assert str(Sizing(1200, 0, {}, 8)) == "1,200 parameters with the sizes given"


def test_sizing_builtin_encodings_does_not_import_torchs_compiler():
    names = {name for name, dim in CASES if dim == 2}
    code = (
        "import sys\n"
        "from encbench.plugins.registry import default_registry\n"
        "from encbench.suite.networks import without_memory\n"
        "with without_memory():\n"
        "    for offer in default_registry().offers('encoding'):\n"
        "        if offer.name in sys.argv:\n"
        "            offer.load()(2)\n"
        "        assert 'torch._dynamo' not in sys.modules, offer.name\n"
    )
    subprocess.run([sys.executable, "-c", code, *names], check=True)
