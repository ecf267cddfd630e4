"""Suites are checked, and errors point at the key."""

import logging
import re
import tomllib
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encbench import Store, Suite, UsageError, load_suite, plan
from encbench.errors import DataError, PluginError, SuiteError
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_selector
from encbench.results.merging import merged_suites
from encbench.suite.config import CellConfig, cell_key
from encbench.suite.file import SuiteEntry, explicit_settings, override, suite_toml
from tests.sample_plugin import Scaled, Wave, module, registry_of


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_suite(str(path), default_registry())


def test_entries_are_text_or_tables(tmp_path):
    suite = load(
        tmp_path,
        """
        encodings = ["ffe:levels=8", { name = "mpe", parameters = { levels = 2 }, label = "M" }]
        tasks = ["image"]
        """,
    )
    assert suite.name == "mine"
    assert [entry.text for entry in suite.encodings] == ["ffe:levels=8", "M"]
    assert suite.encodings[0].parameters == {"levels": 8}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('tasks = ["image"]', ["encodings is missing"]),
        ('encodings = []\ntasks = ["image"]', ["encodings"]),
        ("encodings = [", ["not TOML"]),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nlearning_rate = 3',
            ["unknown key training.learning_rate", "lr"],
        ),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[trainig]\nlr = 3',
            ["unknown key trainig", "did you mean 'training'"],
        ),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nlr = -1.0',
            ["training.lr = -1.0", "greater than 0"],
        ),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nsteps = 10000000000000',
            ["training.steps = 10000000000000", "less than or equal to 1000000000"],
        ),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nbatch_size = "big"',
            ["training.batch_size = 'big'", "integer"],
        ),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nsteps = 1\nepochs = 1',
            ["training", "epochs or steps, not both"],
        ),
        ('encodings = [{ parameters = {} }]\ntasks = ["b"]', ["encodings[0].name is missing"]),
        ('encodings = ["levels=3"]\ntasks = ["b"]', ["no name"]),
        ('encodings = "a"\ntasks = ["b"]', ["encodings = 'a': expected a list"]),
        ('encodings = [1]\ntasks = ["b"]', ["encodings[0] = 1: expected a text such as"]),
        ('encodings = [["a"]]\ntasks = ["b"]', ["encodings[0] = ['a']", "or a table"]),
        ('encodings = [{ name = "a", training = 3 }]\ntasks = ["b"]', ["expected a table"]),
        (
            'encodings = ["a"]\ntasks = [{ name = "b", encodings = [{ nam = "c" }] }]',
            ["unknown key tasks[0].encodings[0].nam; did you mean 'name'"],
        ),
        (
            'encodings = ["a"]\ntasks = [{ name = "b", encodings = [{ name = "c", labl = "d" }] }]',
            ["unknown key tasks[0].encodings[0].labl", "did you mean 'label'"],
        ),
        (
            'encodings=["ffe", {nam="mpe"}]\ntasks=["image"]',
            ["unknown key encodings[1].nam", "did you mean 'name'"],
        ),
        ('encodings = ["a"]\ntasks = ["b"]\nseeds = [0, "x"]', ["seeds[1] = 'x': expected an int"]),
        ('encodings = ["a"]\ntasks = ["b"]\nseeds = [true]', ["seeds[0] = True"]),
        ('encodings = ["a"]\ntasks = ["b"]\nnetwork = 3', ["network = 3: expected a table"]),
        (
            'encodings = ["a"]\ntasks = ["b"]\n[training]\nlr = "fast"',
            ["training.lr = 'fast': expected a number or 'auto'"],
        ),
        ('encodings = ["a"]\ntasks = ["b"]\nname = "../up"', ["name = '../up'", "folder"]),
        ('encodings = ["a"]\ntasks = ["b"]\nname = ""', ["name = ''", "folder"]),
        ('encodings = [{ name = "a", label = "b\\nc" }]\ntasks = ["b"]', ["label", "one line"]),
        ('encodings = [{ name = "a", label = "" }]\ntasks = ["b"]', ["label = ''", "not empty"]),
    ],
)
def test_a_wrong_suite_is_one_line_that_points_at_the_key(tmp_path, text, words):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value).split("not TOML")[0]


def test_a_suite_may_begin_with_a_byte_order_mark(tmp_path):
    assert load(tmp_path, '\ufeffencodings = ["identity"]\ntasks = ["image"]').name == "mine"


def test_an_unknown_suite_gets_the_nearest_name():
    with pytest.raises(SuiteError, match="did you mean 'quick'"):
        load_suite("quik", default_registry())


PACKAGED = [offer.name for offer in default_registry().offers("suite")]


def test_there_is_a_quick_suite():
    assert "quick" in PACKAGED


def keys(suite, registry):
    return [cell_key(cell) for cell in plan(suite, registry)]


def stored_and_printed(suite, tmp_path):
    """The suite after a round trip through run.json and the text of a suite file."""
    store = Store(tmp_path / "results")
    with store.writing():
        store.write_suite(suite.as_asked())
    path = tmp_path / "printed.toml"
    path.write_text(suite_toml(store.suites()[-1]))
    return load_suite(str(path), default_registry())


@pytest.mark.parametrize("name", PACKAGED)
def test_the_stored_text_of_every_packaged_suite_plans_the_same_cells(tmp_path, caplog, name):
    registry = default_registry()
    suite = load_suite(name, registry)
    planned = keys(suite, registry)
    assert planned
    assert not [one for one in caplog.records if one.levelname == "WARNING"]  # a cell twice, say
    again = stored_and_printed(suite, tmp_path)
    assert (again.name, again.description) == (suite.name, suite.description)
    assert keys(again, registry) == planned


def test_the_atlas_has_every_encoding_and_activation_on_every_task_that_takes_them():
    registry = default_registry()
    cells = plan(load_suite("atlas", registry), registry)
    offers = {
        kind: {o.name: o for o in registry.offers(kind) if o.distribution == "encbench"}
        for kind in ("encoding", "activation", "task")
    }
    activations = offers["activation"].keys() - {"relu"}  # that of the others
    tasks: dict[str, list[CellConfig]] = {}
    for cell in cells:
        tasks.setdefault(cell.task.name, []).append(cell)
    assert tasks.keys() == offers["task"].keys()
    for name, of_task in tasks.items():
        dims = offers["task"][name].load().planned_dimension(**of_task[0].task.parameters) or 2
        takes = {
            encoding
            for encoding, offer in offers["encoding"].items()
            if offer.load().min_dim <= dims <= offer.load().max_dim
        }
        found = {cell.encoding.name for cell in of_task}
        chosen = {parse_selector(cell.network.activation)[0] for cell in of_task}
        if name == "pde":  # takes only smooth ones
            assert {"ffe", "siren", "bspline_grid"} <= found <= takes
            assert activations - chosen == {"laplacian"}
        else:
            assert found == takes
            assert activations <= chosen


@pytest.mark.parametrize(
    ("changes", "lists"),
    [
        ({"training": {"batch_size": 256}}, {}),
        ({"training": {"lr": 0.5, "optimizer": "adam"}}, {}),
        ({"training": {"steps": 7}, "network": {"width": 16}, "ntk": {"points": 1024}}, {}),
        ({"network": {"activation": "sine:omega=20", "parameterization": "standard"}}, {}),
        ({"training": {"lr_factor": {"sweep": [1.5, 3]}}, "ntk": {"points": {"sweep": [0]}}}, {}),
        ({"budget": {"parameters": 300_000}}, {"encodings": ["mpe:resolutions={sweep=[[8],[9]]}"]}),
        ({}, {"encodings": ["mpe:resolutions=[8,16]", "identity"], "seeds": [3, 4]}),
        ({"training": {"epochs": 2}}, {"tasks": ["image:image=coffee,side=16", "occupancy"]}),
    ],
)
def test_the_stored_text_of_a_run_with_flags_plans_the_same_cells(tmp_path, changes, lists):
    """Flags that equal a default count too: without them the task's settings would apply."""
    registry = default_registry()
    quick = load_suite("quick", registry)
    suite = override(quick, changes, **lists)
    assert keys(suite, registry) != keys(quick, registry)
    assert keys(stored_and_printed(suite, tmp_path), registry) == keys(suite, registry)


def test_the_stored_text_of_merged_suites_plans_the_cells_of_both(tmp_path):
    registry = default_registry()
    quick = load_suite("quick", registry)
    other = override(quick, {}, seeds=[5, 6])
    (merged,) = merged_suites([quick.as_asked(), other.as_asked()])
    path = tmp_path / "merged.toml"
    path.write_text(suite_toml(merged))
    planned = keys(load_suite(str(path), registry), registry)
    assert sorted(planned) == sorted(keys(quick, registry) + keys(other, registry))


def test_a_suite_stored_with_its_defaults_plans_the_cells_that_were_meant():
    """Up to schema version 2 run.json contained the defaults."""
    registry = default_registry()
    quick = load_suite("quick", registry)
    stored = quick.model_dump(mode="json")
    assert keys(Suite.model_validate(stored), registry) != keys(quick, registry)
    read = Suite.model_validate(explicit_settings(stored))
    assert keys(read, registry) == keys(quick, registry)


TEXTS = st.text(max_size=8)
SETTINGS = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)


# a slow machine is not the strategy's fault
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(parameters=st.dictionaries(TEXTS, SETTINGS, max_size=3))
def test_whatever_parameters_a_suite_has_its_text_has_too(parameters):
    entries = [{"name": "a", "parameters": parameters, "label": None}, {"name": "b"}]
    suite = {"name": 'a "quoted" one', "encodings": entries, "tasks": ["c"], "seeds": [0, 1]}
    read = tomllib.loads(suite_toml(suite))
    expected = {"name": "a", "parameters": parameters} if parameters else "a"
    assert read == suite | {"encodings": [expected, "b"]}


def test_a_label_can_be_given_in_the_short_form(suite):
    entry = SuiteEntry.from_text("scaled:scale=2.0 as twice")
    assert (entry.name, entry.parameters, entry.text) == ("scaled", {"scale": 2.0}, "twice")


@pytest.mark.parametrize(
    "text",
    ["ffe:levels=4 as a as b", "ffe as a as b", 'ffe as "q"', "ffe:levels=4 as [x]", "f as "],
)
def test_a_label_that_the_short_form_cannot_have_is_named(text):
    with pytest.raises(UsageError, match="expected a label after ' as ', without commas, quotes"):
        SuiteEntry.from_text(text)
    assert SuiteEntry.from_text("image:image=me as a as b").parameters == {"image": "me as a"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('encodings = ["scald"]\ntasks = ["wave"]', "unknown encoding 'scald'"),
        ('encodings = ["scaled:scale=-1"]\ntasks = ["wave"]', "scale=-1"),
        (
            'encodings = [{ name = "scaled", training = { lrr = 1 } }]\ntasks = ["wave"]',
            "unknown key lrr",
        ),
        ('encodings = ["scaled"]\ntasks = ["wave"]\ntraining.optimizer = "sg"', "optimizer 'sg'"),
    ],
)
def test_what_is_wrong_with_a_value_of_a_file_is_said_with_its_name(
    tmp_path, registry, text, words
):
    suite = load(tmp_path, text)
    with pytest.raises(UsageError, match=words) as named:
        plan(suite, registry)
    assert str(named.value).startswith(f"{tmp_path}/")
    assert named.value.__cause__ is None, "-v would show a traceback"
    changed = override(suite, {"training": {"steps": 3}})
    with pytest.raises(UsageError, match=words) as caught:
        plan(changed, registry)
    assert type(named.value) is type(caught.value)
    assert not str(caught.value).startswith(str(tmp_path)), "the command line's may be wrong"


def test_suites_of_equal_contents_are_equal_wherever_they_are(tmp_path):
    (tmp_path / "other").mkdir()
    text = 'encodings = ["identity"]\ntasks = ["image"]\nseeds = [0]'
    suite, other = load(tmp_path, text), load(tmp_path / "other", text)
    assert suite == other
    assert suite != load(tmp_path / "other", text.replace("0", "1"))


def test_a_suite_of_too_many_cells_is_refused_before_any_is_made(registry, suite):
    values = {"sweep": list(range(1, 401))}
    asked = suite.model_dump(exclude_unset=True) | {"ntk": {"points": values}}
    asked["training"] = {"steps": values, "batch_size": values}
    with pytest.raises(SuiteError, match="64,000,000 cells, at most 2,000,000 are planned"):
        plan(Suite.model_validate(asked), registry)
    entry = SuiteEntry(name="scaled", training={"steps": values}, parameters={"scale": values})
    assert entry.count == 400**2


def test_labels_do_not_change_the_key_and_parameters_do(registry, suite):
    (cell,) = plan(suite, registry)
    renamed = cell.model_copy(
        update={"encoding": cell.encoding.model_copy(update={"label": "another"})}
    )
    reseeded = cell.model_copy(update={"seed": 1})
    assert cell_key(renamed) == cell_key(cell)
    assert cell_key(reseeded) != cell_key(cell)


def test_a_default_given_outright_is_the_same_cell(registry, suite):
    given = suite.model_copy(
        update={"encodings": [type(suite.encodings[0]).from_text("scaled:scale=1.0")]}
    )
    assert cell_key(plan(given, registry)[0]) == cell_key(plan(suite, registry)[0])


def test_a_cell_asked_for_twice_keeps_its_first_label_and_both_are_named(registry, suite, caplog):
    scaled = suite.encodings[0]
    entries = [scaled.model_copy(update={"label": name}) for name in ("first", "second")]
    with caplog.at_level(logging.WARNING, "encbench"):
        (cell,) = plan(suite.model_copy(update={"encodings": entries}), registry)
    assert cell.encoding.label == "first"
    assert "wave × first seed 0" in caplog.text
    assert "also as wave × second" in caplog.text
    assert caplog.text.count("more than once") == 1
    caplog.clear()
    plan(suite.model_copy(update={"encodings": [scaled, scaled], "seeds": [0, 0]}), registry)
    assert caplog.text.count("more than once") == 1
    caplog.clear()
    plan(suite, registry)
    assert not caplog.records


@pytest.mark.parametrize("text", ["a = " + "[" * 9999, "a = " + "{b=" * 9999])
def test_a_suite_that_is_nested_too_deeply_is_one_line(tmp_path, text):
    (tmp_path / "deep.toml").write_text(text)
    with pytest.raises(SuiteError, match=r"deep\.toml is nested too deeply"):
        load_suite(str(tmp_path / "deep.toml"))


def test_a_file_name_that_cannot_be_written_down_costs_its_own_cell(suite, caplog):
    class Files(Wave):
        def __init__(self, *, path: str = "a") -> None: ...

        @classmethod
        def targets(cls, **parameters):
            return [{"path": "good"}, {"path": "bad\udcff"}]

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Files}))
    (cell,) = plan(suite, registry)
    assert cell.task.parameters == {"path": "good"}
    assert 'bad\\udcff" is left out: its name is not UTF-8' in caplog.text
    asked = suite.model_copy(
        update={"tasks": [SuiteEntry(name="wave", parameters={"path": "\udcff"})]}
    )
    with pytest.raises(UsageError, match="not UTF-8 and cannot be recorded; rename the file"):
        plan(asked, registry)


@pytest.mark.parametrize(("dim", "takes"), [(2, "2"), (3, "3 to 4")])
def test_a_dimension_that_an_encoding_does_not_take_stops_the_plan(suite, dim, takes):
    class Higher(Scaled):
        min_dim = dim
        max_dim = max(dim, 2 * dim - 2)

    registry = registry_of(ours=module(encodings={"scaled": Higher}, tasks={"wave": Wave}))
    message = rf"encoding 'scaled\S*' takes points of {takes} coordinates, task 'wave' has 1; leave"
    with pytest.raises(SuiteError, match=message):
        plan(suite, registry)


def test_parts_of_a_composite_that_do_not_fit_the_task_stop_the_plan(suite):
    registry = default_registry()
    for part, problem in {
        "triplane": "takes points of 3 coordinates, got 2",
        "ffe@2": "there is no coordinate 2",
        "ffe@0": "no part of .* reads coordinate 1",
        'composite:parts=["kplanes"]@1': "takes points of 2 to 4 coordinates, got 1",
    }.items():
        entry = SuiteEntry(name="composite", parameters={"parts": [part]})
        asked = {"encodings": [entry], "tasks": [SuiteEntry.from_text("image:side=8")]}
        with pytest.raises(SuiteError, match=f"task 'image:side=8': composite: .*{problem}"):
            plan(suite.model_copy(update=asked), registry)


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("mpe:resolutions=[8],levels=2", "both set the grids"),
        ("densegrid:base_resolution=65536", "max_resolution=128 is below"),
        ("grid:resolution=2147483647", "too large"),
        ('composite:parts=["kplanes:init_low=3"]', "composite: part .* is above init_high"),
    ],
)
def test_parameters_that_contradict_each_other_stop_the_plan(encoding, problem):
    suite = Suite(encodings=["identity", encoding], tasks=["image:side=8"])
    with pytest.raises(SuiteError, match=f"^encoding '{re.escape(encoding)}': .*{problem}"):
        plan(suite, default_registry())


def test_a_contradictory_combination_of_a_sweep_leaves_the_others(caplog):
    swept = {"max_resolution": {"sweep": [8, 64]}}
    asked, registry = [SuiteEntry(name="densegrid", parameters=swept)], default_registry()
    assert len(plan(Suite(encodings=asked, tasks=["image:side=8"]), registry)) == 2
    (line,) = caplog.messages
    assert line.startswith("encoding 'densegrid:max_resolution=8': ")
    assert line.endswith("; its cells will fail")
    with pytest.raises(SuiteError, match="max_resolution=8"):
        plan(Suite(encodings=["densegrid:max_resolution=8"], tasks=["image:side=8"]), registry)


def test_no_constructor_of_another_plugin_is_called_while_planning(suite):
    class Dies(Scaled):
        def __init__(self, in_dim: int) -> None:
            pytest.fail("it could have ended the process")

    dies = module(encodings={"dies": Dies, "scaled": Scaled}, tasks={"wave": Wave})
    asked = {"encodings": [SuiteEntry(name="dies")]}
    assert plan(suite.model_copy(update=asked), registry_of(ours=dies))


def test_an_encoding_whose_check_of_the_dimension_fails_is_named(suite):
    class Faulty(Scaled):
        @classmethod
        def check_dimension(cls, in_dim, **parameters):
            raise KeyError("levels")

    registry = registry_of(ours=module(encodings={"scaled": Faulty}, tasks={"wave": Wave}))
    with pytest.raises(PluginError, match=r"encoding 'scaled' of ours 1\.0 failed: KeyError"):
        plan(suite, registry)


@pytest.mark.parametrize("name", ["targets", "planned_dimension", "planned_loss", "derivatives"])
def test_a_task_that_fails_while_a_run_is_planned_is_named(name, suite):
    def fails(cls, **parameters):
        raise KeyError("levels")

    faulty = type("Faulty", (Wave,), {name: classmethod(fails), "__doc__": "A wave."})
    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": faulty}))
    with pytest.raises(PluginError, match=r"task 'wave' of ours 1\.0 failed: KeyError"):
        plan(suite, registry)


def test_several_targets_are_cells_labelled_by_what_is_not_the_default(suite):
    class Heights(Wave):
        def __init__(self, *, height: float = 1.0, names: str = "a") -> None: ...

        @classmethod
        def targets(cls, **parameters):
            return [{**parameters, "height": height} for height in (1.0, 2.0)]

        @classmethod
        def data_hash(cls, **parameters):
            return f"hash of {parameters['height']}"

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Heights}))
    cells = plan(suite, registry)
    assert [cell.task.label for cell in cells] == ["wave", "wave:height=2.0"]
    assert [cell.task.parameters["names"] for cell in cells] == ["a", "a"]
    assert [cell.data_hash for cell in cells] == ["hash of 1.0", "hash of 2.0"]


def test_a_task_all_of_whose_targets_are_left_out_is_an_error(suite):
    class Nameless(Wave):
        def __init__(self, *, path: str = "a") -> None: ...

        @classmethod
        def targets(cls, **parameters):
            return [{"path": "\udcff"}]

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Nameless}))
    with pytest.raises(SuiteError, match="'wave' has no target whose name can be recorded"):
        plan(suite, registry)


def test_training_is_100_epochs_of_256_points_a_batch_where_nobody_says_otherwise(registry, suite):
    silent = suite.model_copy(update={"training": type(suite.training)()})
    (cell,) = plan(silent, registry)
    assert (cell.training.epochs, cell.training.steps) == (100, None)
    assert cell.training.batch_size == 256


def test_an_entry_has_a_network_of_its_own(registry, suite):
    entry = suite.tasks[0].model_copy(update={"network": {"width": 7}})
    (cell,) = plan(suite.model_copy(update={"tasks": [entry]}), registry)
    assert (cell.network.width, cell.network.depth) == (7, 1)


def test_settings_of_an_entry_that_do_not_fit_together_are_named(registry, suite):
    entry = suite.encodings[0].model_copy(update={"training": {"epochs": 3, "steps": 4}})
    with pytest.raises(SuiteError, match="training of wave × scaled: give epochs or steps"):
        plan(suite.model_copy(update={"encodings": [entry]}), registry)


def test_a_length_that_is_none_leaves_the_tasks_own(suite):
    class Slow(Wave):
        training: ClassVar = {"epochs": 7}

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Slow}))
    unset = type(suite.training)(steps=None, epochs=None)
    (cell,) = plan(suite.model_copy(update={"training": unset}), registry)
    assert (cell.training.epochs, cell.training.steps) == (7, None)


def test_an_encoding_whose_parameters_cannot_be_read_is_named(suite):
    class Untyped(Scaled):
        def __init__(self, in_dim, *, scale=1.0): ...

    registry = registry_of(ours=module(encodings={"scaled": Untyped}, tasks={"wave": Wave}))
    with pytest.raises(PluginError, match=r"'scaled' of ours .* 'scale' has no type annotation"):
        plan(suite, registry)


def test_the_tasks_network_is_the_default_and_an_entry_overrides_the_suite(registry, suite):
    (cell,) = plan(suite, registry)
    assert (cell.network.width, cell.network.depth) == (32, 1)
    entry = suite.encodings[0].model_copy(update={"training": {"epochs": 3}})
    (cell,) = plan(suite.model_copy(update={"encodings": [entry]}), registry)
    assert (cell.training.epochs, cell.training.steps) == (3, None)


def test_a_wrong_parameter_stops_the_plan(registry, suite):
    wrong = type(suite.encodings[0]).from_text("scaled:scal=2")
    with pytest.raises(UsageError, match="did you mean 'scale'"):
        plan(suite.model_copy(update={"encodings": [wrong]}), registry)


def test_a_task_can_have_encodings_of_its_own(registry, suite):
    task = suite.tasks[0].model_copy(update={"encodings": [SuiteEntry.from_text("scaled:scale=3")]})
    cells = plan(suite.model_copy(update={"tasks": [*suite.tasks, task]}), registry)
    assert [cell.encoding.parameters["scale"] for cell in cells] == [1.0, 3.0]


def test_encodings_asked_for_on_the_command_line_hold_for_every_task(registry, suite):
    task = suite.tasks[0].model_copy(update={"encodings": [SuiteEntry.from_text("scaled:scale=3")]})
    suite = suite.model_copy(update={"tasks": [task]})
    (cell,) = plan(override(suite, {}, encodings=["scaled:scale=5"]), registry)
    assert cell.encoding.parameters["scale"] == 5.0


def test_an_encoding_cannot_have_encodings(tmp_path):
    with pytest.raises(SuiteError, match="only a task has encodings"):
        load(tmp_path, 'encodings = [{ name = "a", encodings = ["b"] }]\ntasks = ["c"]')


def test_settings_come_from_the_task_then_the_suite_then_the_entry_then_the_flags(suite):
    class Slow(Wave):
        training: ClassVar = {"batch_size": 8, "epochs": 7, "lr_factor": 0.5}

    ours = module(encodings={"scaled": Scaled}, tasks={"wave": Slow})
    registry = registry_of(ours=ours)
    silent = suite.model_copy(update={"training": type(suite.training)()})
    (cell,) = plan(silent, registry)
    assert (cell.training.batch_size, cell.training.epochs, cell.training.lr_factor) == (8, 7, 0.5)
    (cell,) = plan(suite, registry)
    assert (cell.training.batch_size, cell.training.steps, cell.training.epochs) == (16, 40, None)
    entry = suite.tasks[0].model_copy(update={"training": {"batch_size": 4, "epochs": 2}})
    special = suite.model_copy(update={"tasks": [entry]})
    (cell,) = plan(special, registry)
    assert (cell.training.batch_size, cell.training.steps, cell.training.epochs) == (4, None, 2)
    (cell,) = plan(override(special, {"training": {"steps": 9}}), registry)
    assert (cell.training.batch_size, cell.training.steps, cell.training.epochs) == (4, 9, None)


def test_a_flag_that_equals_a_default_overrides_the_task(suite):
    class Small(Wave):
        training: ClassVar = {"batch_size": 8}

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Small}))
    silent = suite.model_copy(update={"training": type(suite.training)()})
    (cell,) = plan(override(silent, {"training": {"batch_size": 256}}), registry)
    assert cell.training.batch_size == 256


@pytest.mark.parametrize(
    "given", [{"schedule": "constant"}, {"encoding_lr_factor": 1.0}, {"optimizer": "sgd"}]
)
def test_a_default_that_a_suite_sets_is_kept_in_what_is_stored(suite, given):
    class Decayed(Wave):
        training: ClassVar = {"schedule": "cosine", "encoding_lr_factor": 2.0, "optimizer": "adam"}

    registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": Decayed}))
    asked = override(suite, {"training": given})
    for each in (asked, Suite.model_validate(asked.as_asked())):
        (cell,) = plan(each, registry)
        assert given.items() <= dict(cell.training).items()


def test_a_description_does_not_outlive_a_change():
    told = Suite.model_validate(
        {"description": "two seeds", "encodings": ["a"], "tasks": ["b"], "seeds": [0, 1]}
    )
    unchanged = {"network": {}, "training": {}, "ntk": {}}
    assert override(told, unchanged, seeds=[0, 1]) == told
    assert override(told, unchanged, seeds=[0]).description == ""
    assert override(told, {**unchanged, "training": {"steps": 9}}).description == ""


def test_the_default_suite_has_another_name_with_other_encodings_or_tasks():
    quick = load_suite("quick")
    assert override(None, {}) == quick
    for changed in (override(None, {}, tasks=["image"]), override(None, {}, encodings=["ffe"])):
        assert (changed.name, changed.description) == ("custom", "")
    assert override("quick", {}, tasks=["image"]).name == "quick"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("encodings = []", "encodings = []: expected at least 1 item"),
        ("seeds = []", "seeds = []: expected at least 1 item"),
        ("seeds = [true]", "seeds[0] = True: expected an integer"),
        ("network = { width = 0 }", "network.width = 0: expected greater than or equal to 1"),
        ("network = 'mlp'", "network = 'mlp': expected a table"),
        ("training = { lr = -1 }", "training.lr = -1: expected greater than 0 or 'auto'"),
        (
            "training = { lr = { swep = [1, 2] } }",
            "training.lr: expected a number or 'auto'; did you mean 'sweep'?",
        ),
        (
            "training = { optimizer = { steps = 'adam' } }",
            "training.optimizer: expected a text",
        ),
        ("training = { lr = inf }", "training.lr = inf: expected a finite number or 'auto'"),
        (
            "training = { batch_size = 'al' }",
            "training.batch_size = 'al': expected an integer or 'all'; did you mean 'all'?",
        ),
        (
            "ntk = { outputs = 'ful' }",
            "ntk.outputs = 'ful': expected 'trace' or 'full'; did you mean 'full'?",
        ),
        ("description = 3", "description = 3: expected a text"),
    ],
)
def test_what_does_not_fit_is_said_in_plain_words(tmp_path, text, words):
    whole = {"encodings": "encodings = ['ffe']", "tasks": "tasks = ['image']"}
    path = tmp_path / "s.toml"
    path.write_text("\n".join((whole | {text.partition(" ")[0]: text}).values()))
    with pytest.raises(SuiteError) as caught:
        load_suite(str(path))
    assert str(caught.value) == f"{path}: {words}"


def test_an_empty_name_is_refused_with_the_file_that_has_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('encodings = ["mpe", ""]\ntasks = ["signal"]\n')
    with pytest.raises(SuiteError, match=r"mine\.toml: an empty name"):
        load_suite(str(path), default_registry())


def test_a_number_of_more_digits_than_python_reads_is_no_toml(tmp_path):
    file = tmp_path / "long.toml"
    file.write_text(f"seeds = [{'9' * 5000}]")
    with pytest.raises(SuiteError, match=r"long\.toml has an integer of too many digits"):
        load_suite(str(file))


def test_a_task_without_a_target_is_wrong_usage(registry, suite, monkeypatch):
    def empty(**parameters):
        raise DataError("folder 'x' holds no image")

    monkeypatch.setattr(Wave, "targets", empty)
    with pytest.raises(SuiteError, match="folder 'x' holds no image"):
        plan(suite, registry)
