"""A third party's distributions: one that works, one that raises on import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import call, outside

PACKAGES = Path(__file__).parent.parent / "third_party"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with both distributions installed by pip, as a user would install them."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", str(target)),
            *(str(PACKAGES / name) for name in ("encbench-sawtooth", "encbench-broken")),
        ],
        check=True,
    )
    return target


def encbench(site, *arguments, cwd=None, afresh=False):
    environment = {**outside(), "PYTHONPATH": str(site), "COLUMNS": "200"}
    return call("encbench", *arguments, cwd=cwd, env=environment, afresh=afresh)


def test_its_encoding_is_listed_and_the_broken_one_is_a_warning_and_a_row(site):
    listed = encbench(site, "list")
    assert listed.returncode == 0
    assert "sawtooth" in listed.stdout
    assert "encbench-sawtooth" in listed.stdout
    assert "broken plug-in encbench-broken 0.0.1" in listed.stderr
    plugins = encbench(site, "plugins")
    assert plugins.returncode == 0
    row = next(line for line in plugins.stdout.splitlines() if "encbench-broken" in line)
    assert "cannot be imported: ImportError: libmissing.so.7" in row


def test_strict_plugins_makes_a_broken_one_an_error(site):
    done = encbench(site, "--strict-plugins", "list")
    assert done.returncode != 0
    assert "encbench-broken" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_its_encoding_runs_here_and_in_workers(site, tmp_path, jobs):
    done = encbench(
        *(site, "run", "-e", "sawtooth:levels=3", "-e", "identity", "-t", "image:side=16"),
        *("--steps", "20", "--batch-size", "64", "--width", "16", "--ntk-points", "16"),
        *("-j", str(jobs), "-o", "out"),
        cwd=tmp_path,
        afresh=True,
    )
    assert done.returncode == 0, done.stderr
    assert "sawtooth:levels=3" in (tmp_path / "out" / "leaderboard.md").read_text()


def test_asking_for_what_a_broken_plugin_may_offer_names_it(site, tmp_path):
    done = encbench(site, "run", "-e", "shiny", "-t", "image", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown encoding 'shiny'" in done.stderr
    assert "encbench-broken" in done.stderr
