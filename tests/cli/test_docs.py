"""The documentation agrees with the code."""

from __future__ import annotations

import inspect
import re
from importlib import metadata
from pathlib import Path

import pytest

from encbench.cli.docs import cli_page
from encbench.plugins import hookspecs
from encbench.plugins.registry import default_registry
from encbench.plugins.templates import files_of
from encbench.testing import EncodingConformance
from tests.cli.ladder import Ladder

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- file: (.+?) -->\n```\w+\n(.*?)```\n", TUTORIAL, flags=re.DOTALL))


class TestLadder(EncodingConformance):
    encoding = Ladder
    parameters = {"rungs": 5}


def test_the_tutorial_shows_every_file_that_new_encoding_writes_but_the_readme():
    written = files_of("encoding", "ripple")
    shown = {path: text for path, text in SNIPPETS.items() if path in written}
    del written["README.md"]
    assert shown == written


def test_the_tutorials_other_code_is_in_the_repository():
    others = SNIPPETS.keys() - files_of("encoding", "ripple").keys()
    assert others == {"tests/cli/ladder.py"}
    for path in others:
        assert SNIPPETS[path] == (ROOT / path).read_text(encoding="utf-8")
    conformance = inspect.getsource(TestLadder)
    assert f"```python\n{conformance}```" in TUTORIAL


def test_the_verbs_and_options_of_the_tutorial_exist():
    page = cli_page()
    commands = re.findall(r"(?m)^encbench (\S+)(.*)$", TUTORIAL)
    assert len(commands) >= 5
    for verb, rest in commands:
        section = page.partition(f"## encbench {verb}\n")[2].partition("\n## ")[0]
        assert section, f"no verb {verb}"
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest):
            assert re.search(rf"{option}\b", section), f"{verb} has no {option}"


def test_the_page_of_the_command_line_is_that_of_the_code():
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if f"typer=={metadata.version('typer')}" not in pinned:
        pytest.skip("another version of typer than the pinned one words usage lines otherwise")
    shown = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert shown == cli_page(), "run: python -m encbench.cli.docs > docs/cli.md"


@pytest.mark.parametrize(
    "verb", ["check", "bench", "cite", "plugins", "new-encoding", "new-task", "new-plugin"]
)
def test_help_has_examples_and_a_first_line_that_the_overview_does_not_cut(verb):
    assert len(default_registry().find("command", verb).summary()) <= 45
    section = cli_page().partition(f"## encbench {verb}\n")[2].partition("\n## ")[0]
    assert f"Examples:\n    encbench {verb}" in section


def test_the_page_does_not_depend_on_the_terminal(monkeypatch):
    page = cli_page()
    monkeypatch.setenv("COLUMNS", "61")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli_page() == page


def test_the_table_of_hooks_is_that_of_the_specifications():
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?m)^\| `(encbench_\w+)\((.*?)\)` \|", text)
    specified = [
        (name, ", ".join(inspect.signature(function).parameters))
        for name, function in inspect.getmembers(hookspecs, inspect.isfunction)
        if hasattr(function, "encbench_spec")
    ]
    assert sorted(shown) == sorted(specified)


@pytest.mark.parametrize("page", ["tutorial.md", "plugins.md"])
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "docs" / page).read_text("utf-8")):
        assert (ROOT / "docs" / target).exists(), target
