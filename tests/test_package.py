"""What is installed, what is public, and what imports what."""

import ast
import inspect
import subprocess
import sys
import zipfile
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path

import grimp
import pytest

import encbench
from encbench import errors

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "encbench": ROOT / "encbench",
    "encbench_encodings": ROOT / "plugins" / "encbench_encodings",
    "encbench_tasks": ROOT / "tasks" / "encbench_tasks",
    "encbench_leaderboard": ROOT / "leaderboard" / "encbench_leaderboard",
}


@pytest.mark.parametrize("name", ["encbench", "encbench.ntk", "encbench.testing"])
def test_all_is_sorted_and_complete(name):
    module = import_module(name)
    assert module.__all__ == sorted(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    found = {
        public
        for public, value in vars(module).items()
        if not public.startswith("_") and getattr(value, "__module__", "").startswith("encbench")
    }
    assert found <= set(module.__all__)


def test_every_error_is_public():
    classes = inspect.getmembers(errors, inspect.isclass)
    tree = {name for name, cls in classes if issubclass(cls, errors.EncbenchError)}
    assert tree <= set(encbench.__all__)


def test_submodules_of_the_public_interface_load_on_first_use():
    code = (
        "import sys, encbench\n"
        "assert 'encbench.ntk' not in sys.modules\n"
        "print(encbench.ntk.empirical_ntk.__name__, encbench.testing.TaskConformance.__name__,\n"
        "      encbench.metrics.Metric.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["empirical_ntk", "TaskConformance", "Metric"], done.stderr


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ntkk'"):
        _ = encbench.ntkk


def files():
    """Package and file of every module."""
    return [(name, file) for name, folder in PACKAGES.items() for file in folder.rglob("*.py")]


def repeated(places):
    """What occurs in more than one place."""
    return {key: sorted(found) for key, found in places.items() if len(found) > 1}


def test_no_two_files_of_a_package_are_alike_in_name():
    places = defaultdict(set)
    for package, file in files():
        if file.name != "__init__.py":
            places[package, file.name].add(str(file.relative_to(ROOT)))
    assert not repeated(places)


def test_no_two_public_names_are_alike():
    places = defaultdict(set)
    for _, file in files():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith(
                ("_", "encbench_")  # a hook has the name of its specification
            ):
                places[node.name].add(str(file.relative_to(ROOT)))
    assert not repeated(places)


def test_the_longest_chain_of_imports_has_at_most_twelve_modules():
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)

    @cache
    def chain(module):
        imported = graph.find_modules_directly_imported_by(module)
        return (module, *max((chain(each) for each in imported), key=len, default=()))

    longest = max(map(chain, graph.modules), key=len)
    assert len(longest) <= 12, " -> ".join(longest)


@pytest.mark.parametrize("module", ["encbench", "encbench.runs.executors.dask"])
def test_no_torch_is_imported_by(module):
    """On a cluster by neither the scheduler nor a worker, which read the executor's tasks."""
    if "dask" in module:
        pytest.importorskip("distributed", reason="Dask is an optional extra")
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"encbench", "encbench_encodings", "encbench_tasks", "encbench_leaderboard"}
    assert "encbench_tasks/suites/quick.toml" in names
    assert "encbench/py.typed" in names


def test_imports_point_one_way():
    done = subprocess.run(
        ["lint-imports"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        executable=Path(sys.executable).with_name("lint-imports"),
    )
    assert done.returncode == 0, done.stdout
