"""``encbench check`` as a user sees it."""

from __future__ import annotations

import os
import signal

import pytest
import typer

from encbench.cli import check as verb
from encbench.cli.check import check
from encbench.errors import PluginError, UnknownNameError, UsageError
from encbench.testing import CheckResult, TaskConformance
from encbench.testing.conformance import call_in_worker
from tests.cli.program import encbench
from tests.sample_plugin import module, registry_of
from tests.testing import faulty_encodings, faulty_tasks

LINE = {"line": faulty_encodings.Line, "sick": faulty_encodings.Crashing, "odd": len}


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    registry = registry_of(
        encbench_line=module(
            encodings=LINE,
            metrics={"psnr": "encbench.metrics.psnr:Psnr"},
            schedules={"cosine": "encbench.training.schedules:Cosine"},
        ),
        encbench_noise=module(tasks={"noise": faulty_tasks.Noise, "twice": faulty_tasks.Twice}),
    )
    monkeypatch.setattr(verb, "default_registry", lambda: registry)


def test_what_keeps_the_contract_gets_ticks_only(capsys):
    check(["line:nodes=3", "noise:points=8", "psnr", "torch:name=RMSprop"])
    said = capsys.readouterr().out
    assert "line:nodes=3: encoding of encbench_line 1.0" in said
    assert "✓  Features are (N, out_dim)" in said
    assert "task of encbench_noise 1.0" in said
    assert "✓  A prediction that equals the truth has the best value" in said
    assert "✓  The loss of a quadratic falls" in said
    assert "✗" not in said


def test_what_breaks_it_gets_a_cross_the_reason_and_exit_code_1(capsys):
    with pytest.raises(typer.Exit) as ended:
        check(["noise", "twice", "sick"])
    assert ended.value.exit_code == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "✗ ntk_points gives distinct points, at most as many as asked for" in said
    assert "gave a point twice" in said
    assert "sick: encoding of encbench_line 1.0" in said
    assert "forward raised ValueError: no luck today" in said
    assert "Traceback" not in said


def test_the_traceback_is_shown_on_request(capsys):
    with pytest.raises(typer.Exit):
        check(["twice"], trace=True)
    said = capsys.readouterr().out
    assert "Traceback" in said
    assert "test_ntk_points" in said


def test_a_line_is_printed_as_soon_as_its_check_ends(monkeypatch, capsys):
    def run():
        yield CheckResult("test_quick", "It is quick", "passed")
        assert "✓  It is quick" in capsys.readouterr().out
        yield CheckResult("test_slow", "It is slow", "passed")

    monkeypatch.setattr(TaskConformance, "run", staticmethod(run))
    check(["noise"])
    assert "2 passed" in capsys.readouterr().out


def test_sigterm_ends_it_in_order(monkeypatch):
    def run():
        os.kill(os.getpid(), signal.SIGTERM)
        yield CheckResult("test_late", "It is late", "passed")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(TaskConformance, "run", staticmethod(run))
    with pytest.raises(typer.Exit) as ended:
        check(["noise"])
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def blocked(subject):
    return signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_ctrl_c_does_not_reach_the_worker_process():
    assert signal.SIGINT in call_in_worker(blocked, object)
    assert signal.SIGINT not in blocked(object)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("lin", UnknownNameError, "did you mean 'line'"),
        ("cosine", UsageError, "'cosine' is a schedule; checks are for encodings, tasks, net"),
        ("encbench:cosine", UsageError, "'encbench:cosine' is a schedule; checks are for"),
        ("line:nodes=1", UsageError, "nodes=1"),
        ("line:node=4", UsageError, "did you mean 'nodes'"),
        ("odd", PluginError, "'odd' of encbench_line 1.0 is <built-in function len>, expected a"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_the_first_check(capsys, name, error, words):
    with pytest.raises(error, match=words):
        check(["noise", name])
    assert not capsys.readouterr().out


def test_checking_needs_no_pytest(tmp_path):
    for name in ("pytest", "_pytest", "pytest_benchmark"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not here')")
    done = encbench("check", "identity", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓" in done.stdout
