"""BibTeX and pip requirements of recorded runs."""

from __future__ import annotations

import re

import pytest

from encbench import Suite, run_suite
from encbench.cli import cite as verb
from encbench.cli.cite import bibtex_entries, cite, entry_from_source
from encbench.cli.plugins import plugins, requirement_lines
from encbench.errors import StoreError, UnknownNameError, UsageError
from encbench.metrics.psnr import Psnr
from encbench.plugins.registry import default_registry
from tests.sample_plugin import Scaled, Wave, module, registry_of

ENTRY = "@article{%s,\n  title = {On {%s}},\n  author = {Someone, A.}\n}"


class Cited(Scaled):
    """With BibTeX."""

    bibtex = ENTRY % ("one2020", "one") + "\n" + ENTRY % ("two2021", "two")


class CitedToo(Scaled):
    """Shares a paper with another."""

    bibtex = ENTRY % ("two2021", "two")


class OtherSource(Cited):
    """Inherits code, not the paper."""

    source = "R & D, 100 % of {us}, 2026"


class Silent(Scaled):
    """The baseline: nothing to cite."""

    bibtex = ""


class Broken(Scaled):
    """BibTeX without an entry."""

    bibtex = "see the paper"


class Measured(Psnr):
    """A metric with BibTeX."""

    bibtex = ENTRY % ("three2022", "three")


class OfSolids(Measured):
    """A metric that no task here uses."""

    kind = "solid"
    bibtex = ENTRY % ("four2023", "four")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A results folder of four encodings; a fifth is offered and did not run."""
    named = {"cited": Cited, "too": CitedToo, "other": OtherSource, "silent": Silent}
    registry = registry_of(
        ours=module(
            encodings={**named, "broken": Broken},
            tasks={"wave": Wave},
            metrics={"psnr": Psnr, "measured": Measured, "of_solids": OfSolids},
        )
    )
    monkeypatch.setattr(verb, "default_registry", lambda: registry)
    suite = {
        "encodings": [*named],
        "tasks": ["wave"],
        "training": {"batch_size": 16, "steps": 4, "evaluations": 1},
        "ntk": {"points": 4},
    }
    run_suite(Suite.model_validate(suite), tmp_path, registry=registry, jobs=1, device="cpu")
    return tmp_path


def cited(capsys, *arguments):
    cite([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_a_run_is_cited_by_what_it_used_each_paper_once(run, capsys):
    text = cited(capsys, run)
    keys = re.findall(r"@\w+\{([^,]+),", text)
    own = ["encbench", "audia2025grids", "jacot2018neural", "novak2022fast"]
    assert sorted(keys) == sorted([*own, "one2020", "two2021", "three2022", "ours-other"])


def test_a_metric_that_a_run_did_not_use_is_not_cited(run, capsys):
    assert "four2023" not in cited(capsys, run)
    assert "four2023" in cited(capsys)


def test_a_source_in_words_becomes_misc_with_its_characters_escaped(run, capsys):
    text = cited(capsys, run)
    assert r"note = {R \& D, 100 \% of \{us\}, 2026}" in text
    assert "title = {The encoding other of ours 1.0}" in text


def test_bibtex_that_holds_no_entry_is_said_in_a_comment(run, capsys):
    text = cited(capsys)
    (line,) = (line for line in text.splitlines() if line.startswith("%"))
    assert "encoding 'broken' of ours 1.0: its bibtex holds no entry" in line


def test_entries_are_told_apart_and_braces_balance():
    assert list(bibtex_entries(Cited.bibtex)) == ["one2020", "two2021"]
    for text in (
        Cited.bibtex,
        entry_from_source("encoding", "a_b", "d", "1", "x_1 ~ {y} \\ z^2 @ # $"),
    ):
        for entry in bibtex_entries(text).values():
            plain = entry.replace(r"\{", "").replace(r"\}", "")
            assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize("kind", ["encoding", "network", "activation", "optimizer"])
def test_what_is_built_in_has_bibtex_that_parses_or_a_source(kind):
    for offer in default_registry().offers(kind):
        cls = offer.load()
        text = verb.bibtex_of(offer)
        nobodys = (
            offer.name in ("relu", "tanh", "sgd", "torch") or getattr(cls, "bibtex", None) == ""
        )
        assert bibtex_entries(text) or nobodys, offer.name
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_what_a_run_depended_on_is_listed_as_pip_reads_it(run, capsys):
    plugins(run, requirements=True)
    lines = capsys.readouterr().out.splitlines()
    assert "ours==1.0" in lines
    named = {line.partition("==")[0] for line in lines}
    assert named >= {"encbench", "numpy", "ours", "scipy", "torch", "pillow"}


def test_versions_that_differ_between_records_are_comments_but_the_newest():
    lines = requirement_lines([("b", "2.0+cpu"), ("A", "3"), ("b", "1.0"), ("b", "2.0")])
    assert lines == ["A==3", "b==2.0", "# b==1.0 in some records"]


def test_without_a_run_the_plugins_of_this_environment_are_listed(capsys):
    plugins(requirements=True)
    assert "encbench==" in capsys.readouterr().out


def test_a_folder_without_records_or_purpose_is_refused(tmp_path):
    for ask in (lambda: cite([str(tmp_path)]), lambda: plugins(tmp_path, requirements=True)):
        with pytest.raises(StoreError, match="holds no records"):
            ask()
    with pytest.raises(UsageError, match="--requirements"):
        plugins(tmp_path)


def test_a_plug_in_is_cited_by_its_name(capsys):
    cite(["mpe", "psnr"])
    text = capsys.readouterr().out
    assert text.count("@inproceedings{audia2025grids") == 1
    assert "% metric 'psnr' of encbench" in text
    with pytest.raises(UnknownNameError, match="did you mean 'mpe'"):
        cite(["mpee"])
    with pytest.raises(StoreError, match="there is no results folder results/none"):
        cite(["results/none"])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ms_ssim", "wang2003multiscale"),
        ("depth_ms_ssim", "wang2003multiscale"),
        ("ssim", "wang2004image"),
        ("depth_ssim", "wang2004image"),
    ],
)
def test_similarities_bring_their_papers(name, key, capsys):
    assert re.findall(r"@\w+\{([^,]+),", cited(capsys, name)) == [key]
