"""Plug-ins are isolated from one another, and names are unambiguous."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from encbench import Suite, load_suite, plan
from encbench.errors import (
    AmbiguousNameError,
    PluginError,
    StoreError,
    SuiteError,
    UnknownNameError,
)
from encbench.plugins.host import Plugin, PluginHost
from encbench.plugins.isolation import output_to_stderr
from encbench.plugins.registry import Registry
from encbench.results.provenance import distributions
from encbench.runs.cell import run_cell
from encbench.runs.parts import direction_of, metric_results
from tests.sample_plugin import Scaled, Wave, module, registry_of


class Unprintable(str):
    """A text of which str() and repr() raise."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__
    __hash__ = str.__hash__


def test_names_and_targets_of_a_text_class_are_plain_texts():
    offered = {Unprintable("odd"): Unprintable("nowhere:Odd")}
    offer = registry_of(texts=module(encodings=offered)).find("encoding", "odd")
    assert (type(offer.name), type(offer.target)) == (str, str)
    with pytest.raises(PluginError, match=r"encoding 'odd' of texts .*cannot be loaded"):
        offer.load()


def test_a_hook_that_raises_leaves_the_others_working():
    registry = registry_of(
        bad=module(encodings=RuntimeError("no luck")), good=module(encodings={"scaled": Scaled})
    )
    assert registry.find("encoding", "scaled").load() is Scaled
    (broken,) = registry.host.broken()
    assert broken.distribution == "bad"
    assert "RuntimeError: no luck" in broken.problem
    assert "Traceback" in broken.details


def test_a_misspelt_hook_is_refused_with_the_hooks_there_are():
    registry = registry_of(bad=module(encoding={"scaled": Scaled}))
    (broken,) = registry.host.broken()
    assert "encbench_encoding is not a hook" in broken.problem
    assert "encbench_encodings" in broken.problem


def test_an_offer_that_is_no_mapping_is_refused():
    registry = registry_of(bad=module(encodings=[Scaled]))
    (broken,) = registry.host.broken()
    assert "must return a mapping" in broken.problem


def test_two_plugins_with_one_name_are_told_apart_by_distribution():
    registry = registry_of(
        first=module(encodings={"scaled": Scaled}), second=module(encodings={"scaled": Scaled})
    )
    with pytest.raises(AmbiguousNameError, match="say first:scaled or second:scaled"):
        registry.find("encoding", "scaled")
    assert registry.find("encoding", "second:scaled").distribution == "second"
    assert registry.conflicts() == [("encoding", "scaled", ["first", "second"])]


def test_an_unknown_name_gets_the_nearest_and_the_broken_plugins_that_may_have_had_it(registry):
    with pytest.raises(UnknownNameError, match="did you mean 'scaled'"):
        registry.find("encoding", "scalde")
    registry = registry_of(bad=module(encodings=RuntimeError("no luck")))
    with pytest.raises(UnknownNameError, match=r"broken plug-in may have offered it: bad"):
        registry.find("encoding", "scaled")


def test_a_name_of_any_kind_is_found_or_gets_the_nearest_of_all_kinds():
    registry = registry_of(both=module(encodings={"triangle_wave": Scaled}, tasks={"image": Wave}))
    kinds = ("encoding", "task")
    (offer,) = registry.find_any(kinds, "image")
    assert offer.kind == "task"
    with pytest.raises(UnknownNameError, match="task 'imagee'; did you mean 'image'"):
        registry.find_any(kinds, "imagee")
    with pytest.raises(UnknownNameError, match="unknown encoding or task 'xyz'; `encbench list`"):
        registry.find_any(kinds, "xyz")
    with pytest.raises(UnknownNameError, match="'task'; did you mean 'tasks'"):
        registry.find_any(kinds, "task", ["tasks"])
    with pytest.raises(UnknownNameError, match="a parameter as triangle_wave:KEY=VALUE"):
        registry.find("encoding", "triangle_wave:size")


def test_a_lazy_target_is_described_without_being_imported():
    registry = registry_of(
        lazy=module(encodings={"identity": "encbench_encodings.identity:Identity"})
    )
    offer = registry.find("encoding", "identity")
    assert "γ(x) = x" in offer.summary()
    assert offer.load().__name__ == "Identity"


def test_a_lazy_target_that_does_not_exist_names_the_distribution():
    registry = registry_of(lazy=module(encodings={"gone": "no_such_module:Gone"}))
    offer = registry.find("encoding", "gone")
    assert "not found" in offer.summary()
    with pytest.raises(PluginError, match=r"of lazy 1\.0 cannot be loaded"):
        offer.load()


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, BaseException])
def test_a_reporter_that_raises_is_a_warning(caplog, kind):
    def fails(record):
        raise kind("printer on fire")

    from types import SimpleNamespace

    from encbench import hookimpl

    registry = registry_of(bad=SimpleNamespace(encbench_cell_finished=hookimpl(fails)))
    with caplog.at_level(logging.WARNING, "encbench"):
        assert not registry.host.notify("encbench_cell_finished", record=None)
    assert "printer on fire" in caplog.text
    assert "bad 1.0" in caplog.text


def discovered(monkeypatch, folder, **modules):
    """A host that finds distributions with these names, whose modules have this code."""
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[encbench]\nmain = {name}\n")
    monkeypatch.syspath_prepend(folder)
    host = PluginHost()
    host.discover()
    return host


OFFER = "from encbench import hookimpl\n@hookimpl\ndef encbench_encodings():\n    return {%s}\n"


def test_what_a_plugin_prints_when_it_is_imported_is_not_on_standard_output(
    monkeypatch, tmp_path, capfd
):
    loud = "import os\nprint('loading')\nos.system('echo child')\n"
    loud += "import ctypes\nctypes.CDLL(None).printf(b'of C')\n"
    loud += OFFER % "'loud': 'loud_too:Loud'"
    (tmp_path / "loud_too.py").write_text(
        "print('more')\nfrom tests.sample_plugin import Scaled as Loud\n"
    )
    host = discovered(monkeypatch, tmp_path, loud=loud)
    Registry(host).find("encoding", "loud").load()
    said = capfd.readouterr()
    assert said.out == ""
    assert all(text in said.err for text in ("loading", "child", "of C", "more"))


def test_what_an_encoding_prints_is_not_on_standard_output(capfd):
    class Loud(Scaled):
        """An encoding that prints."""

        def __init__(self, in_dim: int) -> None:
            print("begun")
            os.system("echo child")
            super().__init__(in_dim)

        def forward(self, x):
            print("asked")
            return super().forward(x)

    registry = registry_of(loud=module(encodings={"loud": Loud}, tasks={"wave": Wave}))
    suite = Suite(name="s", encodings=["loud"], tasks=["wave"], training={"steps": 2})
    (cell,) = plan(suite, registry)
    assert run_cell(cell, registry).record.status == "ok"
    print("ours")
    said = capfd.readouterr()
    assert said.out == "ours\n"
    assert all(text in said.err for text in ("begun", "child", "asked"))


def test_threads_that_redirect_at_once_leave_standard_output(capfd):
    first, second = output_to_stderr(), output_to_stderr()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.system("echo within")
    second.__exit__(None, None, None)
    os.system("echo after")
    assert capfd.readouterr() == ("after\n", "within\n")


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt", "GeneratorExit", "SystemExit", "BaseException('odd')"]
)
def test_whatever_a_plugin_raises_on_import_is_its_own_problem(monkeypatch, tmp_path, raised):
    host = discovered(monkeypatch, tmp_path, raises_it=f"raise {raised}\n")
    (broken,) = host.broken()
    assert broken.distribution == "raises_it"
    assert raised.partition("(")[0] in broken.problem
    assert any(plugin.distribution == "encbench" for plugin in host.plugins if not plugin.problem)


def test_what_an_import_changes_is_put_back(monkeypatch, tmp_path):
    code = "import os, torch\nos.chdir('/')\ntorch.set_default_dtype(torch.float64)\n"
    before = Path.cwd()
    discovered(monkeypatch, tmp_path, changes_all=code)
    assert (Path.cwd(), torch.get_default_dtype()) == (before, torch.float32)


@pytest.mark.parametrize("name", ["5", "None", "''", "'two words'", "'a:b'", "'a=b'", "'\\udce9'"])
def test_a_name_that_cannot_be_asked_for_is_a_broken_plugin(monkeypatch, tmp_path, name):
    host = discovered(monkeypatch, tmp_path, badly_named=OFFER % f"{name}: 'a:B', 'good': 'a:C'")
    (broken,) = host.broken()
    assert "a name is a text without spaces" in broken.problem
    assert Registry(host).find("encoding", "identity").distribution == "encbench"


@pytest.mark.parametrize("path", ["3", "None", "['a']"])
def test_a_suite_that_is_no_path_is_a_broken_plugin(monkeypatch, tmp_path, path):
    offer = OFFER.replace("encodings", "suites") % f"'mine': {path}"
    host = discovered(monkeypatch, tmp_path, suites_of=offer)
    (broken,) = host.broken()
    assert "a suite is the path of a TOML file" in broken.problem
    assert load_suite("quick", Registry(host)).tasks


def test_a_suite_that_is_no_regular_file_is_not_read_for_a_list(monkeypatch, tmp_path):
    offer = OFFER.replace("encodings", "suites") % "'endless': '/dev/zero'"
    registry = Registry(discovered(monkeypatch, tmp_path, endless=offer))
    (offer,) = (offer for offer in registry.offers("suite") if offer.name == "endless")
    assert offer.summary() == "(no file '/dev/zero')"
    with pytest.raises(SuiteError, match="zero has more than 16 MiB"):
        load_suite("endless", registry)


def test_entry_points_that_cannot_be_read_leave_pydantic_working(monkeypatch, tmp_path):
    """In a new process, because pydantic reads entry points only once."""
    info = tmp_path / "unreadable-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: unreadable\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[encbench]\nnot a pair\n")
    code = "from encbench import Metric, load_suite"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_metadata_that_cannot_be_read_costs_its_own_distribution(monkeypatch, tmp_path):
    info = tmp_path / "unreadable-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: unreadable\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(b"[encbench]\nmain = \xff\xfe\n")
    host = discovered(monkeypatch, tmp_path, fine=OFFER % "'fine': 'a:B'")
    (broken,) = host.broken()
    assert "metadata cannot be read" in broken.problem
    assert broken.distribution == "unreadable"
    assert Registry(host).find("encoding", "fine").distribution == "fine"


def test_a_distribution_without_a_name_is_broken(monkeypatch, tmp_path):
    info = tmp_path / "nameless-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[encbench]\nmain = nameless\n")
    (broken,) = discovered(monkeypatch, tmp_path).broken()
    assert "it has no Name or no Version" in broken.problem
    assert str(tmp_path) in broken.distribution
    assert None not in distributions.__wrapped__()


def test_an_entry_point_that_names_no_module_says_so(monkeypatch, tmp_path):
    host = discovered(monkeypatch, tmp_path, **{"no module": ""})
    (broken,) = host.broken()
    assert "'no module' is not MODULE or MODULE:NAME" in broken.problem


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("takes_path", "sys.path.clear()"),
        ("takes_arguments", "sys.argv[:] = []"),
        ("takes_open", "builtins.open = None"),
    ],
)
def test_what_others_need_of_python_is_put_back(monkeypatch, tmp_path, name, code):
    import builtins

    monkeypatch.setattr(sys, "path", [*sys.path])
    before = [*sys.path], [*sys.argv], builtins.open
    host = discovered(monkeypatch, tmp_path, **{name: f"import builtins, sys\n{code}\n"})
    assert {*before[0]} <= {*sys.path}
    assert (sys.argv, builtins.open) == before[1:]
    assert any(plugin.distribution == "encbench" for plugin in host.plugins)


def test_a_packaged_suite_is_the_packaged_one_whoever_takes_its_name(monkeypatch, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text("encodings = ['identity']\ntasks = ['signal']\n")
    offer = OFFER.replace("encodings", "suites") % f"'quick': {str(path)!r}"
    registry = Registry(discovered(monkeypatch, tmp_path, quick_too=offer))
    assert load_suite("quick", registry) == load_suite("quick")
    assert load_suite("quick_too:quick", registry).name == "other"


def test_a_metric_of_a_built_in_name_is_the_built_in(monkeypatch, tmp_path):
    offer = OFFER.replace("encodings", "metrics") % "'psnr': 'encbench.metrics.snr:Snr'"
    registry = Registry(discovered(monkeypatch, tmp_path, other_psnr=offer))
    compared = {"psnr": (np.zeros((8, 8, 1)), np.full((8, 8, 1), 0.1))}
    measured = metric_results(compared, registry, cell=None)["psnr"]
    assert measured.value == pytest.approx(20)
    assert direction_of("psnr", registry) == "higher"


def test_a_name_of_a_built_in_is_the_built_in(monkeypatch, tmp_path):
    host = discovered(monkeypatch, tmp_path, takes=OFFER % "'identity': 'a:B'")
    registry = Registry(host)
    assert registry.find("encoding", "identity").distribution == "encbench"
    assert registry.find("encoding", "takes:identity").distribution == "takes"
    assert registry.conflicts() == [("encoding", "identity", ["encbench", "takes"])]
    assert plan(load_suite("quick", registry), registry)


@pytest.mark.parametrize(
    ("distribution", "error", "line"),
    [
        (
            "encbench",
            StoreError("cannot write a.html: disk full"),
            "cannot write a.html: disk full",
        ),
        (
            "theirs",
            StoreError("cannot write a.html"),
            "plug-in theirs 1.0 (main): cannot write a.html",
        ),
        (
            "theirs",
            OSError("full"),
            "plug-in theirs 1.0 (main): encbench_run_finished() failed: OSE",
        ),
    ],
)
def test_errors_of_encbench_in_a_reporter_are_sentences(distribution, error, line, caplog):
    host, plugin = PluginHost(), Plugin("main", distribution, "1.0", "theirs.main")
    host.plugins.append(plugin)
    host.register(plugin, module(run_finished=error))
    assert not host.notify("encbench_run_finished")
    assert caplog.messages[0].startswith(line)


def test_a_problem_with_offers_names_the_hook_and_no_class_of_encbench():
    host, plugin = PluginHost(), Plugin("main", "theirs", "1.0", "theirs.main")
    host.register(plugin, module(encodings={"a b": "x:Y"}))
    assert plugin.problem.startswith("encbench_encodings() failed: offers 'a b'; a name is")
