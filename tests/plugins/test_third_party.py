"""A third party's distributions: two that work, one that raises on import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import call, outside

PACKAGES = Path(__file__).parent.parent / "third_party"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip has installed the distributions."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", str(target)),
            *(str(PACKAGES / f"encbench-{name}") for name in ("sawtooth", "broken", "physics")),
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


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["data", "list"], ["plugins"]]
)
def test_a_broken_plug_in_is_no_warning_where_plug_ins_do_not_matter(site, arguments):
    done = encbench(site, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_strict_plugins_makes_a_broken_one_an_error(site):
    done = encbench(site, "--strict-plugins", "list")
    assert done.returncode != 0
    assert "encbench-broken" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_encoding_runs_in_workers(site, tmp_path):
    done = encbench(
        *(site, "run", "-e", "sawtooth:levels=3", "-e", "identity", "-t", "image:side=16"),
        *("--steps", "20", "--batch-size", "64", "--width", "16", "--ntk-points", "16"),
        *("-j", 2, "-o", "out", "--no-report"),
        cwd=tmp_path,
        afresh=True,  # because workers must find the distributions too
    )
    assert done.returncode == 0, done.stderr
    encbench(site, "leaderboard", "out", "--no-pictures", "--no-html", cwd=tmp_path)
    assert "sawtooth:levels=3" in (tmp_path / "out" / "leaderboard.md").read_text()


def test_tasks_with_losses_of_their_own_run_and_are_on_the_leaderboard(site, tmp_path):
    done = encbench(
        *(site, "run", "-e", "ffe:levels=2", "-e", "identity", "-t", "poisson:points=32"),
        *(
            "-t",
            "encbench-physics:sdf:points=64",
            "-t",
            "tomography:angles=3,rays=8,side=12",
            "--steps",
            "6",
        ),
        *("--batch-size", "8", "--width", "8", "--ntk-points", "0", "-j", "1", "-o", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    records = [json.loads(file.read_text()) for file in out.glob("records/??/*/record.json")]
    assert len(records) == 6
    for record in records:
        assert record["step_method"] == "autograd: the task has a loss of its own"
        assert record["learning_rate"]["critical"] is None
    page, html = ((out / f"leaderboard.{kind}").read_text() for kind in ("md", "html"))
    assert "relative error" in page
    assert '"truth"' in html
    drawn = {file.name.removesuffix("-lines.png") for file in out.glob("leaderboard/*-lines.png")}
    tasks = {
        "poisson-points-32",
        "encbench-physics-sdf-points-64",
        "tomography-angles-3-rays-8-side-12",
    }
    assert drawn == tasks


def test_their_rate_is_not_chosen_for_gradient_descent(site, tmp_path):
    done = encbench(
        *(site, "run", "-e", "identity", "-t", "poisson", "--optimizer", "sgd"), cwd=tmp_path
    )
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "task 'poisson' has a loss of its own: give training.lr a number" in said
    assert "Traceback" not in done.stderr


def test_asking_for_what_a_broken_plugin_may_offer_names_it(site, tmp_path):
    done = encbench(site, "run", "-e", "shiny", "-t", "image", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown encoding 'shiny'" in done.stderr
    assert "encbench-broken" in done.stderr
