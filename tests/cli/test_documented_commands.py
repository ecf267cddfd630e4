"""Every command and code block of README and docs works, on the files that it names."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
import trimesh
import yaml
from encbench_encodings.mpe import MultigridParametricEncoding
from PIL import Image
from pydantic import Field

import encbench
from encbench import Store, load_suite, plan, run_suite
from encbench.cli.app import build
from encbench.metrics.psnr import Psnr
from encbench.network.activations.bumps import Gaussian
from encbench.plugins.registry import default_registry
from encbench.suite.file import override
from encbench.training.optimizers import Adam

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"cli.md", "tutorial.md"}  # generated; about a plug-in that is not installed
LEFT_OUT = ("data fetch", "encbench doctor")
"""Commands that need the network, or are tested in full by test_doctor.py."""
FASTER = {
    "run": ["-n"],
    "tune": ["-n"],
    "dynamics": ["--steps=20", "--width=64"],
    "ntk": ["--width=64"],
    "figures": ["--side=16", "--dpi=40"],
    "leaderboard": ["--no-pictures"],
}
"""Flags that save minutes per command: runs are only planned."""
QUICKER = {
    "4096": "64",
    "300": "16",
    "width=512": "width=8",
    'index.md")': 'index.md"), pictures=False',
}
SUITE = """
encodings = ["ffe:levels=8", "mpe:resolutions=[64]"]
tasks = ["image:image=chelsea,side=16"]
[network]
width = 8
[training]
steps = 20
lr_factor = 0.5
[ntk]
points = 16
"""


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Names and texts of the fenced blocks in these languages."""
    return [
        (f"{page.name}-{number}", text)
        for page in PAGES
        if page.name not in ELSEWHERE
        for number, (language, text) in enumerate(
            re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text("utf-8"))
        )
        if language in languages
    ]


def documented() -> list[str]:
    """The single commands of the fenced blocks, without comments."""
    found = {}
    for _, block in blocks("", "sh", "bash", "console"):
        for line in block.splitlines():
            for command in re.sub(r"\s+#.*", "", line).split("&&"):
                if command.strip().startswith("encbench "):
                    found[command.strip()] = None
    return [c for c in found if not any(word in c for word in LEFT_OUT)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small versions of the files that the documentation mentions."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "my-suite.toml").write_text(SUITE)
    (folder / "photos").mkdir()
    for name in ("photo.jpg", "photos/one.png", "photos/two.png"):
        Image.new("RGB", (256, 256), "teal").save(folder / name)
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(folder / "scan.ply")
    (folder / "scan.ply.gz").write_bytes(gzip.compress(ball.export(file_type="ply")))
    suite = load_suite(str(folder / "my-suite.toml"), default_registry())
    run_suite(
        suite, folder / "results/quick", jobs=1, device="cpu", report=False, save_weights=True
    )
    small = {"training": {"steps": 3}, "network": {"width": 8}, "ntk": {"points": 16}}
    noise = override(load_suite("signal", default_registry()), small)
    noise = noise.model_copy(update={"encodings": noise.encodings[:1]})
    run_suite(noise, folder / "results/signal", jobs=1, device="cpu", report=False)
    for name in (
        "results/mine",
        "results/rates",
        "results/protocols",
        "results/laptop",
        "results/cluster",
        "results/all",
        "results/new",
        "results/shown",
        "results/spectrum",
        "results/board",
        "results/kept",
        "downloads",
    ):
        shutil.copytree(folder / "results/quick", folder / name)
    shutil.rmtree(folder / "results/all/records")
    return folder


def test_a_shell_expands_nothing_in_a_command():
    """zsh, the shell of macOS, rejects brackets that match no file; bash expands braces."""
    for page in PAGES:
        for line in re.findall(r"(?m)^\s*(encbench .*)$", page.read_text("utf-8")):
            bare = re.sub(r"\s+#.*|'[^']*'|\"[^\"]*\"", "", line)
            assert not set("[]{}") & set(bare), f"{page.name}: quote the argument in {line}"


def test_commands_are_found():
    verbs = {command.split()[1] for command in documented()}
    assert verbs >= {"run", "list", "compare", "ntk", "show", "rerun", "export", "merge", "tune"}


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_works(command, files, monkeypatch, capfd):
    monkeypatch.chdir(files)
    key = Store("results/quick").keys()[0]
    command = command.partition(" | ")[0].replace("3fa1…", key).replace("3fa1", key)
    command = command.replace("/3f/", f"/{key[:2]}/")
    command = re.sub(r" -n \d+", " -n 64", command)
    command = re.sub(r" --steps \d+ --width \d+", "", command)
    command = re.sub(r"\bside=\d+", "side=16", command)
    command = command.replace("$SLURM_ARRAY_TASK_ID", "7")
    arguments = shlex.split(command)[1:]
    faster = FASTER.get(arguments[0], [])
    given = {option.partition("=")[0] for option in faster} & set(arguments)
    arguments += [option for option in faster if option.partition("=")[0] not in given]
    app = build(default_registry(), arguments)
    result = app(arguments, prog_name="encbench", standalone_mode=False)
    assert not result, f"exit code {result}: {capfd.readouterr()}"


@pytest.mark.parametrize("code", [pytest.param(text, id=name) for name, text in blocks("python")])
def test_documented_code_runs(code, files, monkeypatch):
    monkeypatch.chdir(files)
    for text, faster in QUICKER.items():
        code = code.replace(text, faster)
    key = Store("results/quick").keys()[0]
    code = code.replace("3f/3fa1…", f"{key[:2]}/{key}")
    torch.manual_seed(0)
    # without this file's __future__: a dataclass would look its annotations up in a module
    exec(compile(code, "documented", "exec", dont_inherit=True), named())


def named() -> dict[str, object]:
    """Names that code blocks of the documentation use without defining them."""
    encoding = MultigridParametricEncoding(2, resolutions=[8])
    return {
        "__name__": "documented",
        "Annotated": Annotated,
        "Bump": Gaussian,
        "Encoding": encbench.Encoding,
        "Field": Field,
        "RootMean": Adam,
        "Schedule": encbench.Schedule,
        "WorstPixel": Psnr,
        "encbench": encbench,
        "model": encbench.CoordinateMLP(encoding, out_dim=3, width=8, depth=2),
        "operator": encbench.ntk.operator,
        "v": np.ones(3 * 16),
        "x": torch.rand(16, 2, dtype=torch.float64),
    }


@pytest.mark.parametrize("code", [pytest.param(text, id=name) for name, text in blocks("toml")])
def test_documented_suites_can_be_planned(code, files, monkeypatch):
    monkeypatch.chdir(files)
    if tomllib.loads(code).keys() >= {"encodings", "tasks"}:
        Path("documented.toml").write_text(code, "utf-8")
        assert plan(load_suite("documented.toml", default_registry()), default_registry())


def test_documented_configuration_can_be_read():
    for _, text in blocks("yaml"):
        assert yaml.safe_load(text)
