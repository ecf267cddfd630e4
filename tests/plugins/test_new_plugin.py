"""``encbench new-encoding`` and ``new-task`` write packages that work at once."""

from __future__ import annotations

import runpy
import zipfile
from pathlib import Path
from typing import get_args

import pytest
from hatchling.builders.wheel import WheelBuilder

from encbench.errors import StoreError, UsageError
from encbench.plugins.host import PluginHost
from encbench.plugins.registry import Registry
from encbench.plugins.templates import CHECKED, Kind, check_name, files_of, write_plugin
from tests import processes
from tests.cli.program import here
from tests.processes import outside


def call(*command, cwd, path=None):
    environment = {**outside(), "COLUMNS": "200"} | ({"PYTHONPATH": str(path)} if path else {})
    return processes.call(*command, cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder in which both commands ran; their wheels are unpacked into its folder ``site``."""
    folder = tmp_path_factory.mktemp("workshop")
    for verb, name in (("new-encoding", "ripple"), ("new-task", "soft_rings")):
        done = call("encbench", verb, name, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"encbench check {name}" in done.stdout
    for distribution in ("encbench-ripple", "encbench-soft-rings"):
        (wheel,) = WheelBuilder(str(folder / distribution)).build(directory=str(folder))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    return folder


def test_what_was_written_passes_its_own_tests(workshop):
    done = call(
        *("pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
        *("encbench-ripple", "encbench-soft-rings"),
        cwd=workshop,
        path=workshop / "site",
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


def test_what_was_written_is_listed_as_the_authors(workshop):
    listed = call("encbench", "list", cwd=workshop, path=workshop / "site").stdout
    for name, distribution in (
        ("ripple", "encbench-ripple"),
        ("soft_rings", "encbench-soft-rings"),
    ):
        (row,) = (line for line in listed.splitlines() if line.split()[:1] == [name])
        assert row.rstrip().endswith(distribution)


@pytest.fixture(scope="module")
def run(workshop, tmp_path_factory):
    """The folder of a run with both plug-ins, and its completed process."""
    folder = tmp_path_factory.mktemp("run")
    done = call(
        *("encbench", "run", "-e", "ripple:levels=2", "-t", "soft_rings:side=8,rings=2"),
        *("--steps", "10", "--batch-size", "16", "--width", "8", "--ntk-points", "8"),
        *("--device", "cpu", "-o", "out", "--no-report"),
        cwd=folder,
        path=workshop / "site",
    )
    return folder, done


def test_what_was_written_runs_together(run):
    _, done = run
    assert done.returncode == 0, done.stderr
    assert "1 ok" in done.stderr


def test_its_requirements_and_citations_name_its_distribution(workshop, run):
    folder, path = run[0], workshop / "site"
    listed = call("encbench", "plugins", "--requirements", "out", cwd=folder, path=path).stdout
    assert {"encbench-ripple==0.1.0", "encbench-soft-rings==0.1.0"} <= set(listed.split())
    cited = call("encbench", "cite", "out", cwd=folder, path=path).stdout
    assert "@misc{encbench-ripple-ripple," in cited
    assert "@inproceedings{jacot2018neural," in cited
    # if a plug-in is no longer installed, a comment says so, and the rest is cited
    cited = call("encbench", "cite", "out", cwd=folder).stdout
    assert "% encoding encbench-ripple:ripple 0.1.0 is not installed here" in cited
    assert "@software{encbench," in cited


def test_nothing_is_overwritten(workshop):
    file = workshop / "encbench-ripple" / "README.md"
    before = file.read_text()
    done = here("new-encoding", "ripple", cwd=workshop)
    assert done.returncode == 2
    assert done.stderr.startswith("error: encbench-ripple exists, nothing was written")
    assert file.read_text() == before


def test_a_name_that_is_taken_is_written_with_a_warning(tmp_path):
    done = here("new-encoding", "identity", "--directory", tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert "encbench-identity:identity picks yours" in " ".join(done.stderr.split())
    assert done.stdout.endswith("encbench check encbench-identity:identity\n")
    assert (tmp_path / "encbench-identity" / "src/encbench_identity/identity.py").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("My-Wave", "'my_wave' would do"),
        ("HashGrid2", "'hash_grid2' would do"),
        ("2d", "a letter first"),
        ("class", "no Python keyword"),
        ("wäve", "lower-case letters"),
        ("", "lower-case letters"),
        ("../evil", "'evil' would do"),
        ("encodings", "encbench_encodings is installed already"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_one_that_would(tmp_path, name, words):
    with pytest.raises(UsageError, match=words):
        write_plugin("encoding", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"):
        write_plugin("task", "waves", tmp_path / "file")


@pytest.mark.parametrize("kind", ["network", "activation", "metric", "optimizer", "schedule"])
def test_plugins_of_other_kinds_pass_their_own_tests_too(tmp_path, monkeypatch, kind):
    root = write_plugin(kind, f"some_{kind}", tmp_path)
    information = root / "src" / f"encbench_some_{kind}-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: encbench-some-{kind}\nVersion: 0.1.0\n")
    entry = f"[encbench]\nsome_{kind} = encbench_some_{kind}\n"
    (information / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(root / "src")
    host = PluginHost()
    host.discover()
    registry = Registry(host)
    monkeypatch.setattr("encbench.plugins.registry.default_registry", lambda: registry)
    tests = runpy.run_path(str(root / "tests" / f"test_some_{kind}.py"))
    functions = [each for name, each in tests.items() if name.startswith("test_")]
    assert len(functions) >= 2
    for function in functions:
        function()
    if kind in CHECKED:
        results = tests[f"TestSome{kind.capitalize()}"].run()
        assert {result.outcome for result in results} <= {"passed", "skipped"}


def test_every_placeholder_of_the_templates_is_filled_in():
    for kind in get_args(Kind):
        files = files_of(kind, check_name("two_words"))
        assert set(files) == {
            "pyproject.toml",
            "README.md",
            "src/encbench_two_words/__init__.py",
            "src/encbench_two_words/two_words.py",
            "tests/test_two_words.py",
        }
        assert not any("$" in text for text in files.values())
        assert "class TwoWords(" in files["src/encbench_two_words/two_words.py"]


def test_the_templates_are_in_the_wheel():
    root = Path(__file__).parents[2]
    listed = [file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()]
    for kind in get_args(Kind):
        assert f"encbench/plugins/templates/{kind}/module.py.template" in listed
    assert "encbench/testing/benchmarks.ini" in listed
