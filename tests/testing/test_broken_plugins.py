"""Errors of broken plug-ins say what is wrong and name the plug-in.

``tests/plugins`` tests crashes on import or in a hook, and two plug-ins with one name.
"""

from __future__ import annotations

import re

import pytest
import typer

from encbench import Suite, run_suite
from encbench.cli import check as verb
from encbench.cli.check import check
from encbench.errors import AmbiguousNameError, PluginError
from tests.sample_plugin import Wave, module, registry_of
from tests.testing import faulty_encodings


class CrashingInit(faulty_encodings.Line):
    """Fails to find a file when it is built."""

    def __init__(self, in_dim: int) -> None:
        raise FileNotFoundError("weights.pt")


class OldForward(faulty_encodings.Line):
    """Built for an interface whose forward also took the domain."""

    def forward(self, x, bounds):
        return x


def registry_with(encoding):
    return registry_of(
        acme=module(encodings={"old": encoding}, tasks={"wave": Wave}), zeta=module(encodings={})
    )


def run(registry, folder):
    suite = {
        "encodings": ["old"],
        "tasks": ["wave"],
        "training": {"batch_size": 16, "steps": 4, "evaluations": 1},
        "ntk": {"points": 4},
    }
    found = run_suite(Suite.model_validate(suite), folder, registry=registry, jobs=1, device="cpu")
    return found.records[0].record


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (CrashingInit, "FileNotFoundError: weights.pt"),
        (faulty_encodings.Abstract, "abstract method"),
        (faulty_encodings.OldSignature, "positional argument"),
        (faulty_encodings.NoSuper, "must call super().__init__(in_dim, out_dim)"),
    ],
)
def test_a_run_says_whose_encoding_could_not_be_built(encoding, words, tmp_path):
    record = run(registry_with(encoding), tmp_path)
    assert (record.status, record.phase) == ("failed", "setup")
    assert record.error.message.startswith("encoding 'old' of acme 1.0 failed: ")
    assert words in record.error.message


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (object, "is the class object, expected a subclass of encbench.Encoding"),
        (3, "is 3, expected a subclass of encbench.Encoding"),
        ("os:getcwd", "built-in function getcwd>, expected a subclass of encbench.Encoding"),
        ("os:nothing", "cannot be loaded from 'os:nothing': AttributeError"),
    ],
)
def test_what_is_no_encoding_is_refused_before_anything_runs(encoding, words, tmp_path):
    with pytest.raises(PluginError, match=f"^encoding 'old' of acme 1.0 .*{re.escape(words)}"):
        run(registry_with(encoding), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", [OldForward, faulty_encodings.Crashing])
def test_a_run_keeps_whose_encoding_failed_in_forward_and_where(encoding, tmp_path):
    record = run(registry_with(encoding), tmp_path)
    assert record.status == "failed"
    assert record.error.message.startswith("encoding 'old' of acme 1.0 failed: ")
    assert "in forward" in record.error.traceback or "forward()" in record.error.traceback


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (CrashingInit, "raised FileNotFoundError: weights.pt"),
        (OldForward, "forward raised TypeError"),
        (faulty_encodings.Abstract, "abstract method"),
        (faulty_encodings.OldSignature, "in_dim comes first"),
        (faulty_encodings.NoSuper, "call super().__init__(in_dim, out_dim=…) first"),
    ],
)
def test_check_says_whose_encoding_it_is_and_how_to_mend_it(encoding, words, monkeypatch, capsys):
    monkeypatch.setattr(verb, "default_registry", lambda: registry_with(encoding))
    with pytest.raises(typer.Exit):
        check(["old"])
    said = " ".join(capsys.readouterr().out.split())
    assert "old: encoding of acme 1.0" in said
    assert words in said


def test_check_asks_which_of_two_plugins_is_meant(monkeypatch):
    line = {"line": faulty_encodings.Line}
    registry = registry_of(acme=module(encodings=line), zeta=module(encodings=line))
    monkeypatch.setattr(verb, "default_registry", lambda: registry)
    with pytest.raises(AmbiguousNameError, match="say acme:line or zeta:line"):
        check(["line"])
    check(["zeta:line"])


class Untyped(faulty_encodings.Line):
    """Has a parameter without a type."""

    def __init__(self, in_dim: int, *, slope=1) -> None:
        super().__init__(in_dim, in_dim)


def test_a_plan_says_whose_parameter_has_no_type(tmp_path):
    with pytest.raises(PluginError, match=r"encoding 'old' of acme 1\.0: .*'slope' has no type"):
        run(registry_with(Untyped), tmp_path)


def test_a_task_that_fails_in_training_is_named(tmp_path):
    class Silent(Wave):
        def progress_metric(self, predict):
            raise ZeroDivisionError("no metric today")

    Silent.__module__ = __name__
    host = registry_of(
        acme=module(encodings={"old": faulty_encodings.Line}, tasks={"wave": Silent}),
        zeta=module(encodings={}),
    )
    record = run(host, tmp_path)
    assert record.error.message == (
        "task 'wave' of acme 1.0 failed: ZeroDivisionError: no metric today"
    )
