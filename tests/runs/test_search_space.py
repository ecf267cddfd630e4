"""Trials are drawn evenly and reproducibly from the space that each encoding declares."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from encbench import Search, Suite, UsageError, plan
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry
from encbench.runs.candidates import (
    Dimension,
    draw_settings,
    drawing_seed,
    refusals,
    searched_value,
    with_values,
)
from encbench.runs.search_space import check_option, parse_space, space_of

LEVELS = Dimension("parameters", "levels", Search(4, 12), whole=True)
RATE = Dimension("training", "lr", Search(4e-4, 1e-2, log=True), whole=False)
BATCH = Dimension("training", "batch_size", Search(choices=(64, 256)), whole=True)
SPACE = [LEVELS, RATE, BATCH]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 12, "high": 4}, "empty range"),
        ({"low": 4, "high": 4}, "empty range"),
        ({"low": 1.0, "high": math.inf}, "empty range"),
        ({"low": math.nan, "high": 1.0}, "empty range"),
        ({"low": 0, "high": 4, "log": True}, "must begin above 0"),
        ({"low": 4}, "needs low and high, or choices"),
        ({}, "needs low and high, or choices"),
        ({"choices": (1,)}, "at least two choices"),
        ({"low": 1, "high": 2, "choices": (1, 2)}, "either choices or a range"),
    ],
)
def test_a_range_that_holds_nothing_to_search_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Search(**given)


INNER = Annotated[int, Field(ge=1), Search(1, 4)]


class Example:
    def __init__(
        self,
        in_dim: int,
        *,
        levels: Annotated[INNER, Search(2, 8)] = 2,
        largest: Annotated[int | None, Search(16, 64)] = None,
        scale: Annotated[float, Search(1, 2)] = 1.0,
        name: str = "",
    ) -> None: ...


def test_a_range_is_read_from_the_signature_and_the_outermost_counts():
    levels, largest, scale, name = parameters_of(Example)
    assert (levels.search, largest.search) == (Search(2, 8), Search(16, 64))
    assert (levels.whole, largest.whole, scale.whole) == (True, True, False)
    assert name.search is None


@given(
    st.floats(0, 0.999999),
    st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=2, unique=True).map(sorted),
    st.booleans(),
)
@settings(max_examples=50)
def test_a_value_lies_in_its_range_and_has_four_digits(share, ends, log):
    value = Search(*ends, log=log).value(share, whole=False)
    assert ends[0] <= value <= ends[1]
    assert value in ends or value == float(f"{value:.4g}")


def test_whole_numbers_are_equally_likely_up_to_both_ends():
    shares = (np.arange(900) + 0.5) / 900
    counts = Counter(Search(4, 12).value(share, whole=True) for share in shares)
    assert counts == dict.fromkeys(range(4, 13), 100)
    logs = [Search(8, 32, log=True).value(share, whole=True) for share in shares]
    assert (min(logs), max(logs)) == (8, 32)
    assert all(isinstance(value, int) for value in logs)


def test_logarithmic_ranges_are_uniform_in_the_logarithm():
    values = [value for (value,) in draw_settings([RATE], 256, seed=3)]
    places = np.sort(np.log(values) - math.log(4e-4)) / math.log(25)
    assert np.abs(places - (np.arange(256) + 0.5) / 256).max() < 0.01


def test_every_trial_is_within_its_space_and_no_two_are_alike():
    trials = draw_settings(SPACE, 64, seed=0)
    assert len({json.dumps(trial) for trial in trials}) == 64
    for levels, rate, batch in trials:
        assert levels in range(4, 13)
        assert 4e-4 <= rate <= 1e-2
        assert batch in (64, 256)


def test_the_same_seed_draws_the_same_and_another_one_does_not():
    assert draw_settings(SPACE, 20, seed=1) == draw_settings(SPACE, 20, seed=1)
    assert draw_settings(SPACE, 20, seed=1) != draw_settings(SPACE, 20, seed=2)


@pytest.mark.parametrize("possible", [lambda values: True, lambda values: values[0] > 6])
def test_a_trial_does_not_change_when_more_are_drawn(possible):
    most = draw_settings(SPACE, 50, seed=5, possible=possible)
    for count in (1, 2, 7, 20, 32):
        assert draw_settings(SPACE, count, seed=5, possible=possible) == most[:count]
    assert all(possible(values) for values in most)


def test_a_space_of_few_settings_gives_each_of_them_once_but_the_default():
    space = [Dimension("parameters", "levels", Search(1, 3), whole=True), BATCH]
    trials = draw_settings(space, 20, seed=0, default=[2, 64])
    assert sorted(trials) == [[1, 64], [1, 256], [2, 256], [3, 64], [3, 256]]
    assert draw_settings([], 20, seed=0) == []


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("ffe.levels=4..12", "ffe.levels", Search(4, 12)),
        ("training.lr=1e-4..1e-2:log", "training.lr", Search(1e-4, 1e-2, log=True)),
        ("a-b.x=-1.5...5", "a-b.x", Search(-1.5, 0.5)),
        ("training.batch_size=64|256", "training.batch_size", Search(choices=(64, 256))),
        ("mpe.resolutions=[16,64]|[32]", "mpe.resolutions", Search(choices=([16, 64], [32]))),
    ],
)
def test_a_range_on_the_command_line(text, name, expected):
    option = parse_space(text)
    assert (option.name, option.search) == (name, expected)


def test_one_value_fixes_a_setting():
    option = parse_space("training.batch_size=64")
    assert (option.search, option.fixed) == (None, 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ffe.levels", "expected NAME.KEY=LOW..HIGH"),
        ("levels=4..12", "expected NAME.KEY=LOW..HIGH"),
        ("ffe.levels=", "expected NAME.KEY=LOW..HIGH"),
        ("ffe.levels=12..4", "12..4 is an empty range"),
        ("training.lr=0..1:log", "must begin above 0"),
        ("fee.levels=4..12", "did you mean 'ffe'"),
        ("ffe.level=4..12", "ffe has no 'level'; did you mean 'levels'"),
        ("training.rate=1..2", "training has no 'rate'"),
        ("training.steps=10..20", "steps is the same for all and not searched"),
        ("training.optimizer=sgd|adam", "optimizer is the same for all and not searched"),
        ("ffe.levels=0..12", "levels=0: it must be greater than or equal to 1"),
        ("ffe.levels=4..12.5", "levels=12.5: it must be an integer"),
        ("ffe.levels=4..many", "levels='4..many': it must be an integer"),
        ("training.batch_size=64|many", "batch_size = 'many'"),
        ("training.lr=-1..1", "lr = -1"),
        ("network.activation.omega=20", "such as --set network.activation=NAME:omega=20"),
    ],
)
def test_a_wrong_range_on_the_command_line_is_one_clear_line(text, message):
    encodings = {"ffe": default_registry().find("encoding", "ffe").load()}
    with pytest.raises(UsageError) as raised:
        check_option(parse_space(text), encodings)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


DECLARED = [
    pytest.param(offer, parameter, id=f"{kind}.{offer.name}.{parameter.name}")
    for kind in ("encoding", "activation", "network")
    for offer in default_registry().offers(kind)
    for parameter in parameters_of(offer.load())
    if parameter.search is not None
]


@pytest.mark.parametrize(("offer", "parameter"), DECLARED)
def test_the_ends_of_declared_ranges_are_valid(offer, parameter):
    for value in parameter.search.ends:
        assert parameter.validate(value) == value


def searched(encoding, *, space=(), budget=None, in_dim=2, **training):
    """Searched ranges of an encoding, by name."""
    asked = {
        **{"encodings": [encoding], "tasks": ["image:image=camera,side=16"]},
        **{"network": {"width": 64, **training.pop("network", {})}, "training": training},
    }
    if budget:
        asked["budget"] = {"parameters": budget}
    registry = default_registry()
    suite = Suite.model_validate(asked)
    (cell,) = plan(suite, registry)
    (entry,) = suite.encodings
    cls = registry.find("encoding", entry.name).load()
    options = [parse_space(text) for text in space]
    found = space_of(
        entry,
        cls,
        cell,
        options,
        dimensions={in_dim},
        points=256,
        budgeted=budget is not None,
        network=suite.network,
    )
    return {dimension.name: str(dimension.search) for dimension in found}


STANDARD = {"network": {"parameterization": "standard"}}
NTK = {"network": {"parameterization": "ntk"}}


def test_under_a_budget_a_first_layer_is_not_searched(monkeypatch):
    cls = default_registry().find("encoding", "siren").load()
    monkeypatch.setattr(cls, "width_parameter", "omega")  # it declares a range
    assert "omega" in searched("siren")
    assert "omega" not in searched("siren", budget=20_000)


def test_under_a_budget_the_share_of_the_network_is_searched_instead_of_sizes():
    free, bound = searched("hashgrid"), searched("hashgrid", budget=20_000)
    assert "log2_hashmap_size" in free
    assert not {"log2_hashmap_size", "max_resolution", "levels"} & bound.keys()
    assert "network.width" in bound.keys() - free.keys()
    assert "network.width" not in searched("ffe", budget=20_000)
    assert "network.width" not in searched("hashgrid", budget=20_000, network={"kind": "none"})


def test_learning_rates_are_those_that_fit_optimizer_activation_and_parameterization():
    assert searched("ffe", optimizer="sgd")["training.lr_factor"] == "0.5..6:log"
    assert searched("ffe", optimizer="adam", **STANDARD)["training.lr"] == "0.0005..0.015:log"
    assert searched("siren", optimizer="adam", **STANDARD)["training.lr"] == "4e-05..0.0012:log"
    assert searched("ffe", optimizer="adam", **NTK)["training.lr"] == "0.004..0.12:log"
    with pytest.raises(UsageError, match="rates is known for the optimizer 'torch"):
        searched("ffe", optimizer="torch:name=RMSprop", lr=0.1)
    given = searched("ffe", space=["training.lr=0.01..0.1"], optimizer="torch:name=RMSprop", lr=0.1)
    assert given["training.lr"] == "0.01..0.1"
    with pytest.raises(UsageError, match="the rate of adam does not come from lr_crit"):
        searched("ffe", space=["training.lr_factor=1..2"], optimizer="adam")


def test_only_encodings_with_parameters_have_a_learning_rate_of_their_own():
    assert "training.encoding_lr_factor" in searched("hashgrid")
    assert "training.encoding_lr_factor" not in searched("ffe")


def test_batches_are_around_the_tasks_own_and_no_larger_than_an_epoch():
    assert searched("ffe", batch_size=32)["training.batch_size"] == "16|32|64"
    assert searched("ffe", batch_size=256)["training.batch_size"] == "128|256"


def test_parameters_that_are_given_and_those_that_they_replace_are_not_searched():
    assert {"min_resolution", "max_resolution"} <= searched("mpe").keys()
    given = searched("mpe:resolutions=[8,16]")
    assert not {"resolutions", "min_resolution", "max_resolution"} & given.keys()
    assert "max_resolution" not in searched("hashgrid:per_level_scale=1.5")
    assert searched("ffe:levels=6", space=["ffe.levels=2..6"])["levels"] == "2..6"
    assert "levels" not in searched("ffe:levels=6")


def test_a_range_whose_finest_values_cannot_be_built_in_4d_is_searched():
    for name in ("hashgrid", "densegrid", "tiledgrid"):
        assert searched(name, in_dim=4).keys() == searched(name).keys()


def network_of(activation="auto", kind="mlp", **others):
    return {"network": {"activation": activation, "kind": kind, **others}}


def test_parameters_of_an_activation_and_of_a_network_are_searched_where_they_were_chosen():
    def found(space=(), **network):
        return {
            name.removeprefix("network."): text
            for name, text in searched("identity", space=space, **network).items()
            if name.count(".") == 2
        }

    gabor = {"activation.omega": "5..30", "activation.scale": "3..30:log"}
    assert found(**network_of("gabor")) == gabor
    assert found(**network_of("gabor:scale=8")) == {"activation.omega": "5..30"}
    assert found() == found(**network_of("relu")) == {}
    # ω of these has no effect in NTK parameterization
    assert found(**network_of("sine", parameterization="ntk")) == {}
    hosc = found(**network_of("hosc", parameterization="ntk"))
    assert hosc == {"activation.beta": "1..16:log"}
    assert found(**network_of("sine", parameterization="standard")) == {"activation.omega": "5..30"}
    assert found(**network_of(kind="fouriernet")) == {"kind.input_scale": "32..512:log"}
    assert found(["network.activation.beta=2..3"], **network_of("hosc:beta=8")) == {
        "activation.beta": "2..3",
        "activation.omega": "5..30",
    }
    with pytest.raises(UsageError, match=r"beta=0\.?0?: it must be greater"):
        found(["network.activation.beta=0..3"], **network_of("hosc"))


def test_a_trial_names_the_activation_with_its_values():
    asked = {"encodings": ["identity"], "tasks": ["image:image=camera"], **network_of("hosc")}
    suite = Suite.model_validate(asked)
    (cell,) = plan(suite, default_registry())
    space = [
        Dimension("network", "activation.beta", Search(1, 16), whole=False),
        Dimension("network", "activation.omega", Search(5, 30), whole=False),
        Dimension("network", "width", Search(16, 64), whole=True),
    ]
    entry = with_values(suite.encodings[0], space, [2.5, 7.0, 32], cell, "trial")
    assert entry.network == {"activation": "hosc:beta=2.5,omega=7.0", "width": 32}
    assert [searched_value(dimension, cell) for dimension in space[:2]] == [8.0, 30.0]


def test_a_wavelet_is_not_tried_where_it_grows_beyond_float32():
    asked = {"encodings": ["identity"], "tasks": ["image:image=camera"]}
    asked |= network_of("complex_gabor", parameterization="standard")
    (cell,) = plan(Suite.model_validate(asked), default_registry())
    space = [Dimension("network", "activation.scale", Search(0.5, 30), whole=False)]
    refusal = refusals(default_registry().find("encoding", "identity").load(), cell, space, {2})
    assert "grows beyond float32" in refusal([0.5])
    assert refusal([10.0]) == ""


def test_encodings_draw_their_own_trials():
    suite = Suite.model_validate({"encodings": ["ffe", "siren"], "tasks": ["image:image=camera"]})
    one, other = plan(suite, default_registry())
    first = drawing_seed(0, one.encoding, {})
    assert first != drawing_seed(0, other.encoding, {})
    assert first != drawing_seed(0, one.encoding, {"levels": 4})
    assert first != drawing_seed(1, one.encoding, {})
