"""Files that only other services read are ones that they can read, and agree with the project."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from encbench import NetworkDefaults

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def read(path: str):
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def test_the_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["title"].startswith("How Learnable Grids")


def test_hooks_before_a_commit_use_the_tested_versions():
    pinned = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    hooks = read(".pre-commit-config.yaml")["repos"][0]["hooks"]
    needed = [pin for hook in hooks for pin in hook.get("additional_dependencies", ())]
    assert needed
    assert set(needed) <= set(pinned)


def test_the_workflow_runs_what_ci_runs_on_every_supported_python():
    job = read(".github/workflows/ci.yml")["jobs"]["test"]
    supported = re.findall(r"Python :: (3\.\d+)", str(PROJECT["classifiers"]))
    assert job["strategy"]["matrix"]["python"] == supported
    assert {"run": ".ci/run"} in job["steps"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_forms_ask_for_something(form):
    body = yaml.safe_load(form.read_text("utf-8"))["body"]
    assert any(field.get("validations", {}).get("required") for field in body)
    assert len({field["id"] for field in body}) == len(body)


def test_the_defaults_of_a_tasks_network_are_documented():
    page = (ROOT / "docs/plugins.md").read_text("utf-8")
    for field in dataclasses.fields(NetworkDefaults):
        quoted = repr(field.default).replace("'", '"')
        default = "to be given" if field.default is dataclasses.MISSING else f"`{quoted}`"
        assert f"| `{field.name}` | {default} |" in page
