"""A record describes the environment it was made in, and collecting that takes no time."""

import os
import subprocess
import time
from importlib import metadata

import pytest
import torch

from encbench import run_suite
from encbench.results import provenance
from encbench.results.provenance import Provenance


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with one commit, as the working directory."""

    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", "code.py")
    git("commit", "-q", "-m", "first")
    provenance.git_commit_of.cache_clear()
    yield tmp_path
    provenance.git_commit_of.cache_clear()


def test_every_record_names_all_that_can_change_its_numbers(tmp_path, registry, suite):
    (stored,) = run_suite(suite, tmp_path, registry=registry, jobs=1, device="cpu").records
    source = stored.record.provenance
    for name in ("torch", "numpy", "scipy", "pytorch-msssim", "scikit-image", "pillow", "trimesh"):
        assert source.libraries[name] == metadata.version(name)
    assert source.plugins["encbench"] == source.encbench == metadata.version("encbench")
    assert source.cpu_capability == torch.backends.cpu.get_cpu_capability()
    assert "numpy" in source.blas
    assert source.cuda == {}
    assert source.matmul_precision == torch.get_float32_matmul_precision()
    assert source.finished >= source.started


def test_a_plugin_s_own_requirements_count_as_libraries(monkeypatch):
    monkeypatch.setattr(provenance, "distributions", lambda: {"encbench": "1", "rich": "1"})
    provenance.libraries.cache_clear()
    try:
        assert provenance.libraries()["pygments"] == metadata.version("pygments")
    finally:
        provenance.libraries.cache_clear()


def test_records_do_not_share_what_they_say():
    first = Provenance.collect("cpu", 1)
    first.libraries["torch"] = first.blas["torch"] = "mine"
    second = Provenance.collect("cpu", 1)
    assert second.libraries["torch"] == metadata.version("torch")
    assert second.blas.get("torch") != "mine"


def test_collecting_costs_less_than_a_millisecond_after_the_first():
    Provenance.collect("cpu", 1)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        Provenance.collect("cpu", 1)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_a_commit_is_named_with_changes_of_tracked_files_alone(repository):
    commit = provenance.git_commit()
    assert len(commit) == 40
    (repository / "results.json").write_text("{}")
    provenance.git_commit_of.cache_clear()
    assert provenance.git_commit() == commit
    (repository / "code.py").write_text("x = 2\n")
    provenance.git_commit_of.cache_clear()
    assert provenance.git_commit() == f"{commit}+changes"


def test_names_that_are_no_text_do_not_hide_the_commit(repository):
    name = os.fsdecode(b"caf\xe9")
    (repository / name).write_text("1")
    for arguments in (("config", "core.quotePath", "false"), ("add", name)):
        subprocess.run(["git", *arguments], check=True, capture_output=True)
    provenance.git_commit_of.cache_clear()
    assert provenance.git_commit().endswith("+changes")


def test_each_directory_has_its_own_commit(repository, tmp_path_factory, monkeypatch):
    assert provenance.git_commit() is not None
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert provenance.git_commit() is None
    monkeypatch.chdir(repository)
    assert provenance.git_commit() is not None


def test_a_slow_git_status_does_not_hold_up_a_run(repository, tmp_path_factory, monkeypatch):
    commit = provenance.git_commit()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    slow = tmp_path_factory.mktemp("bin") / "git"
    slow.write_text(f'#!/bin/sh\n[ "$1" = status ] && exec sleep 60\nexec {real.strip()} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "GIT_TIMEOUT", 0.5)
    provenance.git_commit_of.cache_clear()
    start = time.perf_counter()
    assert provenance.git_commit() == f"{commit}+unknown"
    assert time.perf_counter() - start < 10


def test_a_working_directory_that_was_removed_has_no_commit(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert provenance.git_commit() is None


def test_a_commit_made_between_two_runs_of_a_process_is_named(
    repository, tmp_path_factory, registry, suite
):
    out = tmp_path_factory.mktemp("out")
    (first,) = run_suite(suite, out / "one", registry=registry, jobs=1, device="cpu").records
    (repository / "code.py").write_text("x = 2\n")
    (second,) = run_suite(suite, out / "two", registry=registry, jobs=1, device="cpu").records
    commit = first.record.provenance.git_commit
    assert second.record.provenance.git_commit == f"{commit}+changes"
