"""Every command of README and docs is one that works, on the files that it names."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from pathlib import Path

import pytest
import trimesh
from PIL import Image

from encbench import Store, load_suite, run_suite
from encbench.cli.app import build
from encbench.plugins.registry import default_registry
from encbench.suite.file import override

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"cli.md", "tutorial.md"}  # generated; of a plug-in that is not installed
NETWORK = ("data fetch",)
FASTER = {
    "run": ["-n"],
    "tune": ["-n"],
    "dynamics": ["--steps", "20", "--width", "64"],
    "figures": ["--side", "16"],
}
"""What minutes are spent on elsewhere: a run is planned."""
SUITE = """
encodings = ["ffe:levels=8", "mpe:resolutions=[8]"]
tasks = ["image:image=chelsea,side=16"]
[network]
width = 8
[training]
steps = 20
lr_factor = 0.5
[ntk]
points = 16
"""


def documented() -> list[str]:
    """Commands of the fenced blocks, without comments, one each."""
    found = {}
    for page in PAGES:
        if page.name in ELSEWHERE:
            continue
        for block in re.findall(r"(?ms)^```(?:sh|bash|console)?\n(.*?)^```$", page.read_text()):
            for line in block.splitlines():
                for command in re.sub(r"\s+#.*", "", line).split("&&"):
                    if command.strip().startswith("encbench "):
                        found[command.strip()] = None
    return [c for c in found if not any(word in c for word in NETWORK)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the documentation speaks of, small."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "my-suite.toml").write_text(SUITE)
    (folder / "photos").mkdir()
    for name in ("photo.jpg", "photos/one.png", "photos/two.png"):
        Image.new("RGB", (160, 160), "teal").save(folder / name)
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(folder / "scan.ply")
    (folder / "scan.ply.gz").write_bytes(gzip.compress(ball.export(file_type="ply")))
    suite = load_suite(str(folder / "my-suite.toml"), default_registry())
    run_suite(
        suite, folder / "results/quick", jobs=1, device="cpu", report=False, save_weights=True
    )
    noise = override(load_suite("signal", default_registry()), {"training": {"steps": 3}})
    noise = noise.model_copy(update={"encodings": noise.encodings[:1]})
    run_suite(noise, folder / "results/signal", jobs=1, device="cpu", report=False)
    for name in (
        "results/rates",
        "results/protocols",
        "results/laptop",
        "results/cluster",
        "results/all",
        "results/new",
        "results/shown",
        "downloads",
    ):
        shutil.copytree(folder / "results/quick", folder / name)
    shutil.rmtree(folder / "results/all/records")
    return folder


def test_commands_are_found():
    verbs = {command.split()[1] for command in documented()}
    assert verbs >= {"run", "list", "compare", "ntk", "show", "rerun", "export", "merge", "doctor"}


@pytest.mark.parametrize("command", documented())
def test_a_documented_command_works(command, files, monkeypatch, capfd):
    monkeypatch.chdir(files)
    key = Store("results/quick").keys()[0]
    command = command.partition(" | ")[0].replace("3fa1…", key).replace("3fa1", key)
    command = command.replace("/3f/", f"/{key[:2]}/")
    command = command.replace("-n 4096", "-n 64").replace("$SLURM_ARRAY_TASK_ID", "7")
    arguments = shlex.split(command)[1:]
    arguments += FASTER.get(arguments[0], [])
    app = build(default_registry(), arguments)
    result = app(arguments, prog_name="encbench", standalone_mode=False)
    assert not result, f"exit code {result}: {capfd.readouterr()}"
