"""A sweep makes a cell with each of its values, the same cell as without a sweep."""

import pytest

from encbench import Suite, UsageError, load_suite, plan
from encbench.errors import SuiteError
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_values
from encbench.suite.config import cell_key
from encbench.suite.file import SuiteEntry, override, suite_toml
from encbench.suite.labels import cell_names
from encbench.suite.plan import keyed_plan
from encbench.suite.sweep import each_choice


def keys(suite, registry):
    return {cell_key(cell) for cell in plan(suite, registry)}


def swept(suite, **sections):
    return override(suite, sections)


def test_a_swept_setting_plans_the_cells_of_each_value(registry, suite):
    sweep = swept(suite, training={"lr_factor": {"sweep": [0.5, 1, 2.0]}})
    each = [swept(suite, training={"lr_factor": value}) for value in (0.5, 1.0, 2.0)]
    assert keys(sweep, registry) == set().union(*(keys(one, registry) for one in each))
    assert len(plan(sweep, registry)) == 3


def test_several_sweeps_are_every_combination(registry, suite):
    sweep = swept(
        suite,
        training={"lr_factor": {"sweep": [0.5, 1]}},
        network={"width": {"sweep": [4, 8]}},
        ntk={"points": {"sweep": [0, 4, 8]}},
    )
    cells = plan(sweep, registry)
    found = {(c.training.lr_factor, c.network.width, c.ntk.points) for c in cells}
    assert len(cells) == len(found) == 12


def test_an_entrys_parameters_and_settings_can_be_swept(registry, suite):
    entry = SuiteEntry(
        name="scaled",
        parameters={"scale": {"sweep": [1, 2]}},
        training={"epochs": {"sweep": [3, 4]}},
    )
    cells = plan(suite.model_copy(update={"encodings": [entry]}), registry)
    found = [(cell.encoding.parameters["scale"], cell.training.epochs) for cell in cells]
    assert found == [(1.0, 3), (1.0, 4), (2.0, 3), (2.0, 4)]
    assert [cell.encoding.label for cell in cells[::2]] == ["scaled:scale=1", "scaled:scale=2"]
    task = SuiteEntry(name="wave", parameters={"points": {"sweep": [8, 16]}})
    cells = plan(suite.model_copy(update={"tasks": [task]}), registry)
    assert [cell.task.parameters["points"] for cell in cells] == [8, 16]


def test_cells_of_two_encodings_with_one_label_are_named_by_them(registry, suite):
    entries = [
        SuiteEntry(name="scaled", label="base"),
        SuiteEntry(name="nan", label="base", training={"epochs": {"sweep": [3, 4]}}),
    ]
    cells = keyed_plan(suite.model_copy(update={"encodings": entries}), registry)
    assert list(cell_names(cells).values()) == [
        "wave × base (scaled) seed 0",
        "wave × base (nan) · epochs=3 seed 0",
        "wave × base (nan) · epochs=4 seed 0",
    ]


def test_cells_of_one_label_are_named_by_what_differs(registry, suite):
    sweep = swept(suite, training={"lr_factor": {"sweep": [0.5, 1]}})
    names = cell_names(keyed_plan(sweep, registry)).values()
    labels = [f"wave × scaled · lr_factor={value} seed 0" for value in (0.5, 1.0)]
    assert list(names) == labels
    assert list(cell_names(keyed_plan(suite, registry)).values()) == ["wave × scaled seed 0"]
    # a multiple of lr_crit has no effect if a rate is given
    rates = swept(suite, training={"lr": {"sweep": [0.5, "auto"]}})
    names = cell_names(keyed_plan(rates, registry)).values()
    assert next(iter(names)) == "wave × scaled · lr=0.5 seed 0"
    # a parameter that is not set is not named
    texts = ["relu", "sine", "hosc:beta=4"]
    activations = swept(suite, network={"activation": {"sweep": texts}})
    names = cell_names(keyed_plan(activations, registry)).values()
    chosen = [name.split("activation=")[1].split()[0] for name in names]
    assert chosen == ["relu", "sine", "hosc:beta=4.0"]


TEXT = """
name = "mine"
encodings = [{ name = "ffe", parameters = { levels = { sweep = [2, 3] } }, label = "F" }, "mpe"]
tasks = [{ name = "image", parameters = { side = 8 }, training = { epochs = { sweep = [1, 2] } } }]

[training]
batch_size = 32
lr_factor = { sweep = [1.5, 3.0] }
"""


def test_a_suites_stored_text_plans_the_same_cells(tmp_path):
    """The first value of the sweep is the default: it must not be lost as unset."""
    registry = default_registry()
    first, again = tmp_path / "first.toml", tmp_path / "again.toml"
    first.write_text(TEXT)
    suite = load_suite(str(first), registry)
    again.write_text(suite_toml(suite.as_asked()))
    read = load_suite(str(again), registry)
    assert keys(read, registry) == keys(suite, registry)
    assert len(keys(suite, registry)) == 3 * 2 * 2
    assert read.as_asked() == suite.as_asked()
    assert suite.as_asked()["training"]["lr_factor"] == {"sweep": [1.5, 3.0]}


def test_a_flag_takes_the_place_of_a_sweep(registry, suite):
    sweep = swept(suite, training={"lr_factor": {"sweep": [0.5, 1]}})
    assert len(plan(sweep, registry)) == 2
    assert sweep != suite
    one = swept(sweep, training={"lr_factor": 1.0})
    assert keys(one, registry) == keys(swept(suite, training={"lr_factor": 1.0}), registry)


def test_a_parameter_is_swept_for_every_entry_of_its_name(registry, suite):
    entries = [SuiteEntry.from_text(text) for text in ("scaled:scale=4", "scaled")]
    twice = suite.model_copy(update={"encodings": entries})
    sweep = override(twice, {}, parameters={"scaled": {"scale": {"sweep": [1, 2]}}})
    assert [cell.encoding.parameters["scale"] for cell in plan(sweep, registry)] == [1.0, 2.0]
    with pytest.raises(SuiteError, match=r"'scald' is not a section, encoding or task .* 'scaled'"):
        override(suite, {}, parameters={"scald": {"scale": {"sweep": [1]}}})


def test_a_parameter_of_what_a_setting_names_is_swept(registry, suite):
    gabor = override(suite, {"network": {"activation": "gabor:omega=5"}})
    sweep = override(gabor, {}, parameters={"gabor": {"scale": {"sweep": [2, 4]}}})
    activations = [cell.network.activation for cell in plan(sweep, registry)]
    assert activations == ["gabor:omega=5.0,scale=2.0", "gabor:omega=5.0,scale=4.0"]
    with pytest.raises(SuiteError, match=r"^--sweep gabor.scale: a sweep needs at least one v"):
        override(gabor, {}, parameters={"gabor": {"scale": {"sweep": []}}})


@pytest.mark.parametrize(
    ("section", "table", "words"),
    [
        ("training", {"lr_fctor": {"sweep": [1]}}, "unknown key training.lr_fctor; did you mean"),
        ("training", {"lr_factor": {"sweep": []}}, "lr_factor: a sweep needs at least one value"),
        ("training", {"lr_factor": {"sweep": 1}}, "training.lr_factor: a sweep needs a list"),
        ("training", {"lr_factor": {"sweep": [1, 1.0]}}, "each value once, got 1.0 twice"),
        ("training", {"lr_factor": {"sweep": [1, True]}}, "lr_factor = True: expected a number"),
        ("training", {"lr_factor": {"sweep": [1, -2]}}, "training.lr_factor = -2: expected great"),
        ("training", {"lr_factor": {"sweep": [1, "x"]}}, "training.lr_factor = 'x': expected a nu"),
        ("training", {"lr_factor": {"sweep": [{"sweep": [1]}]}}, "cannot hold another one"),
        ("training", {"lr_factor": {"sweep": [1], "log": True}}, "takes no other keys, got log"),
        ("training", {"lr_factor": [1, 2]}, r"a cell with each of them write { sweep = \[1, 2\] }"),
        ("network", {"width": {"sweep": [0, 1]}}, "network.width = 0: expected"),
        ("ntk", {"points": {"sweep": [1, "most"]}}, "ntk.points = 'most'"),
    ],
)
def test_a_wrong_sweep_is_one_line(section, table, words):
    with pytest.raises(SuiteError, match=words) as caught:
        swept(Suite(encodings=["a"], tasks=["b"]), **{section: table})
    assert "\n" not in str(caught.value)


def test_a_wrong_sweep_of_an_entry_is_one_line(registry, suite):
    with pytest.raises(SuiteError, match=r"encodings\[0\].parameters: scale: a sweep needs at"):
        override(suite, {}, encodings=["scaled:scale={sweep=[]}"])
    wrong = override(suite, {}, encodings=["scaled:scale={sweep=[1,-1]}"])
    with pytest.raises(UsageError, match=r"scale=-1 is not valid: .* greater than 0"):
        plan(wrong, registry)


def test_values_of_the_command_line_are_split_at_their_commas():
    assert parse_values("0.5, 1,2") == [0.5, 1, 2]
    assert parse_values("[4],[8,16]") == [[4], [8, 16]]
    assert parse_values('auto,"a, b",adam:beta2=0.9') == ["auto", "a, b", "adam:beta2=0.9"]
    assert parse_values(" ") == []
    with pytest.raises(UsageError, match="opens"):
        parse_values("[4],[8")


def test_a_table_without_sweeps_is_its_only_choice():
    assert list(each_choice({"a": 1, "b": {"c": [1, 2]}})) == [{"a": 1, "b": {"c": [1, 2]}}]


def test_a_factor_that_has_no_effect_is_told_once(caplog):
    asked = {
        "encodings": ["identity", "ffe"],
        "tasks": ["image:image=camera,side=8"],
        "training": {"optimizer": "adam", "lr_factor": {"sweep": [1.0, 2.0]}},
    }
    plan(Suite.model_validate(asked), default_registry())
    assert caplog.text.count("lr_factor has no effect with the optimizer adam") == 1
    caplog.clear()
    asked["training"]["optimizer"] = "sgd"
    plan(Suite.model_validate(asked), default_registry())
    assert "no effect" not in caplog.text
    asked["training"]["lr"] = 0.1
    plan(Suite.model_validate(asked), default_registry())
    assert caplog.text.count("lr_factor has no effect where lr is a number") == 1
