"""``encbench doctor`` reports any fault, and does not fail because of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from encbench.cli import doctor as verb
from encbench.cli import import_probe
from encbench.cli.import_probe import probe
from tests.processes import call, outside


def environment(paths):
    """The environment with these folders on the search path."""
    inherited = outside()
    search = os.pathsep.join([*map(str, paths), inherited.get("PYTHONPATH", "")])
    return inherited | {"PYTHONPATH": search.strip(os.pathsep)}


def findings(code, printed, errors):
    """Exit code and findings, by (section, name), of ``doctor --json``."""
    assert "Traceback" not in errors, errors
    report = json.loads(printed)
    assert report["would_run"] == (code == 0)
    return code, {(f["section"], f["name"]): f for f in report["findings"]}


def doctor(*arguments, paths=(), prefix=()):
    """Run doctor in a process that has imported nothing yet."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "encbench", "doctor", "--json", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(paths),
        check=False,
    )
    return findings(done.returncode, done.stdout, done.stderr)


def distribution(folder, name, code):
    """A search path with a distribution whose plug-in has this code."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[encbench]\nmain = {module}\n")


BROKEN = ("torch", "scipy", "pandas", "matplotlib", "trimesh", "skimage", "plotly", "igl")
"""Modules that take seconds to import."""


def broken_imports(folder, torch):
    """A search path on which torch has this code, and modules that are slow to import raise."""
    for name in BROKEN:
        code = torch if name == "torch" else "raise ImportError('not the point here')"
        (folder / f"{name}.py").write_text(code)
    return [folder]


OFFER = "from encbench import hookimpl\n@hookimpl\ndef encbench_encodings():\n    return {%s}\n"


def test_a_run_works_beside_plugins_that_do_not(tmp_path):
    distribution(tmp_path, "falls-over", "raise RuntimeError('no coffee')\n")
    distribution(tmp_path, "same-name", OFFER % "'ffe': 'same_name:Nothing'")
    asked = ("doctor", "--json", "-o", tmp_path / "out")
    done = call("encbench", *asked, env=environment([tmp_path]))
    code, found = findings(done.returncode, done.stdout, done.stderr)
    assert code == 0, [f for f in found.values() if f["state"] == "failure"]
    broken = found["plug-ins", "falls-over 1.0 (main)"]
    assert (broken["state"], "no coffee" in broken["text"]) == ("warning", True)
    conflict = found["plug-ins", "encoding 'ffe'"]
    assert conflict["state"] == "warning"
    assert found["threads", "torch"]["state"] == "ok"
    assert found["versions", "torch"]["state"] == "ok"
    assert found["devices", "CPU capability"]["text"]
    assert "encbench[bench]" in found["optional packages", "pytest-benchmark"]["text"] or (
        found["optional packages", "pytest-benchmark"]["state"] == "ok"
    )
    assert found["output", str(tmp_path / "out")]["state"] == "ok"
    assert not (tmp_path / "out").exists()
    assert any(section == "data cache" for section, _ in found)


@pytest.fixture
def prefix():
    """A command that runs another one without /proc, if it can be hidden here."""
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    may_hide = os.geteuid() == 0 and shutil.which("unshare")
    if (
        may_hide
        and not subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode
    ):
        return hidden
    return []


def test_a_system_without_torch_and_proc_can_be_looked_at(tmp_path, prefix):
    exit_code, found = doctor(
        paths=broken_imports(tmp_path, "raise ImportError('libtorch_cpu.so: cannot open')"),
        prefix=prefix,
    )
    assert exit_code == 1
    torch = found["versions", "torch"]
    assert torch["state"] == "failure"
    assert "libtorch_cpu.so: cannot open" in torch["text"]
    assert found["versions", "numpy"]["state"] == "ok"
    assert found["plug-ins", "encbench 0.1.0 (tasks)"]["state"] == "ok"
    assert found["devices", "CPU"]["state"] == "ok"
    assert found["devices", "memory"]["state"] == ("warning" if prefix else "ok")
    assert found["output", "free space"]["state"] in ("ok", "warning")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (
            "import os; print('gone', end='', flush=True); os.abort()",
            "ended the process (exit code -6)",
        ),
    ],
    ids=["exit", "abort"],
)
def test_a_torch_that_ends_the_process_is_a_line_and_no_traceback(
    tmp_path, monkeypatch, capsys, code, words
):
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    facts = import_probe.run_probe(["json", "torch"])
    monkeypatch.setattr(verb, "run_probe", lambda modules: facts)
    with pytest.raises(typer.Exit):
        verb.doctor(tmp_path)
    said = capsys.readouterr().out
    assert "  ✗ torch: " in said
    assert words in said
    assert "  ✓ numpy: " in said
    assert said.splitlines()[-1].startswith("A run would not work here: ")


@pytest.mark.parametrize("place", ["/proc/nowhere", "file/inside", "a" * 300])
def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    (finding,) = verb.output_folder(Path(place))
    assert finding.state == "failure"
    assert "choose another folder with -o" in finding.text


def test_a_cache_that_is_no_folder_is_not_right(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path / "file"))
    (finding,) = verb.data_cache()
    assert finding.state == "warning"
    assert "ENCBENCH_CACHE" in finding.text


def test_looking_at_a_results_folder_changes_nothing(tmp_path):
    for place in ("abc", "de/def"):
        (tmp_path / "records" / place).mkdir(parents=True)
        (tmp_path / "records" / place / "record.json").touch()
    before = sorted(tmp_path.rglob("*"))
    found = {f.name: f for f in verb.output_folder(tmp_path)}
    assert found["records"].text == "2 there"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("OMP_NUM_THREADS", "many", "warning"),
        ("OMP_NUM_THREADS", "4", "ok"),
        ("KMP_AFFINITY", "granularity=fine", "warning"),
        ("OMP_PROC_BIND", "true", "warning"),
        ("OMP_PROC_BIND", "FALSE", None),
    ],
)
def test_settings_of_threads_are_read_as_openmp_reads_them(monkeypatch, name, value, state):
    for other in ("OMP_NUM_THREADS", *verb.PINNING):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    found = {f.name: f.state for f in verb.threads({"torch": {"threads": 1}})}
    assert found.get(name) == state


def gpu(tmp_path, monkeypatch, script):
    """Make the machine have a program called nvidia-smi."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def test_why_a_gpu_is_not_used_is_said(tmp_path, monkeypatch):
    torch = {"version": "2.9", "cuda": None, "rocm": None, "available": False, "gpus": []}

    def found(**facts):
        driver = {"cpu_capability": "AVX2", "driver": import_probe._driver()}
        checks = verb.devices({"warnings": [], "torch": torch | driver} | facts)
        return next(check for check in checks if check.name == "GPU")

    gpu(tmp_path, monkeypatch, "echo 'NVIDIA H200, 143771 MiB, 570.1'")
    finding = found()
    assert finding.state == "warning"
    assert "NVIDIA H200" in finding.text
    assert "built for the CPU only" in finding.text
    torch["cuda"] = "12.8"
    assert "driver too old" in found(warnings=["driver too old"]).text
    gpu(tmp_path, monkeypatch, "echo 'Driver mismatch'; exit 9")
    assert "nvidia-smi fails (Driver mismatch)" in found().text


def test_a_machine_without_nvidia_smi_has_no_gpu_and_needs_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert import_probe._driver() is None
    torch = {"cuda": None, "rocm": None, "available": False, "gpus": [], "cpu_capability": "AVX2"}
    checks = verb.devices({"torch": torch | {"driver": None}, "warnings": []})
    assert {check.name: check.state for check in checks}["GPU"] == "absent"


def test_one_module_that_cannot_be_imported_does_not_hide_another(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_one.py").write_text("1 / 0\n")
    found = probe(["broken_one", "json", "broken_two"])
    assert set(found["broken"]) == {"broken_one", "broken_two"}
    assert found["broken"]["broken_one"].startswith("ZeroDivisionError")


def test_a_check_that_raises_is_a_warning(monkeypatch, tmp_path):
    def fails(facts):
        yield verb.Check("CPU", "ok", "one")
        raise ValueError("unheard of")

    monkeypatch.setattr(verb, "devices", fails)
    found = {"broken": {}, "torch": {"problem": "-"}}
    monkeypatch.setattr(verb, "run_probe", lambda modules: found)
    kept, finding = [check for check in verb.examine(tmp_path) if check.section == "devices"]
    assert kept.name == "CPU"
    assert (finding.state, "unheard of" in finding.text) == ("warning", True)
