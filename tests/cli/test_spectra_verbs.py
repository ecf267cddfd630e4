"""Spectra and loss curves without a run: ``encbench ntk`` and ``encbench dynamics``."""

from __future__ import annotations

import json
import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from encbench_encodings.ffe import FourierFeatureEncoding
from encbench_tasks.image import ImageTask

from encbench import ParameterError, ntk, plan
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.autograd import jacobian
from encbench.runs.analysis import at_initialization, compare_dynamics
from encbench.runs.cell import run_cell
from encbench.runs.parts import build_model, build_task, cell_streams
from encbench.runs.spectra import measure_spectrum
from encbench.suite.file import SuiteEntry
from tests.cli.program import encbench, here
from tests.sample_plugin import Wave


@pytest.fixture
def built(registry, suite):
    """A cell's task, its network at the start, and its streams."""
    (cell,) = plan(suite, registry)
    streams = cell_streams(cell)
    task = build_task(cell, registry)
    return task, build_model(cell, task, registry, streams), streams


def test_a_recorded_spectrum_is_the_engines(built):
    task, model, _ = built
    summary, arrays = measure_spectrum(model, task.x, "full", "start", 0)
    expected = ntk.spectrum(ntk.empirical_ntk(model, task.x, outputs="full").total)
    np.testing.assert_array_equal(arrays["spectrum_start"], expected.eigenvalues)
    assert summary.maximum == expected.maximum
    assert summary.weyl.ok
    assert summary.mlp.maximum == summary.maximum, "this encoding has no parameters"


def test_a_minimum_below_the_floor_comes_with_a_bound(built):
    _, model, _ = built
    x = torch.full((3, 1), 0.5, dtype=torch.float64)
    summary, _ = measure_spectrum(model, x, "trace", "start", 0)
    assert summary.minimum is None
    assert summary.minimum_bound == 0.0
    assert summary.activation.duplicates == 2
    assert summary.activation.rank_bound == 1


def test_the_kernel_at_initialization_is_that_of_the_run(registry, suite):
    (cell,) = plan(suite, registry)
    run = run_cell(cell, registry)
    ((_, measure),) = at_initialization(suite, registry, 16, "trace", "cpu")
    np.testing.assert_array_equal(measure().eigenvalues, run.arrays["spectrum_start"])


def test_encodings_with_one_label_are_told_apart(registry, suite):
    entries = [
        SuiteEntry(name="scaled", parameters={"scale": scale}, label="base") for scale in (1, 2)
    ]
    both = suite.model_copy(update={"encodings": entries})
    found = [measure() for _, measure in at_initialization(both, registry, 4, "trace", "cpu")]
    assert [one.encoding for one in found] == ["base (scale=1.0)", "base (scale=2.0)"]


def test_a_small_learning_rate_follows_the_kernel_and_a_large_one_parts(registry, suite):
    wide = suite.model_copy(update={"network": suite.network.model_copy(update={"width": 4096})})
    (cell,) = plan(wide, registry)
    streams = cell_streams(cell)
    task = build_task(cell, registry)
    model = build_model(cell, task, registry, streams)
    small, large = compare_dynamics(model, task, [0.05, 3.0], 60, streams.generator("data"))
    np.testing.assert_allclose(small.measured, small.predicted, rtol=0.03)
    assert small.measured[-1] < 0.8 * small.measured[0]
    assert small.parted is None
    assert large.parted is not None
    assert large.predicted[-1] > 1e3 * large.predicted[0], "above lr_crit the linear model diverges"


def test_the_loss_at_held_out_points_is_that_of_the_linearized_model():
    task = ImageTask(image="chelsea", side=9, split="checker", noise=0.05)
    torch.manual_seed(0)
    model = CoordinateMLP(FourierFeatureEncoding(2, levels=2), 3, width=256, depth=1)
    (found,) = compare_dynamics(model, task, [0.05], 30, torch.Generator())
    # the model linearized by hand, trained by gradient descent on its own parameters
    exact = deepcopy(model).double()
    names = [name for name, _ in exact.named_parameters()]
    (x, y), (other, truth) = task.epoch(torch.Generator()), task.held_out()
    fitted, held = (jacobian(exact, names, points, by_points=True) for points in (x, other))
    step, expected = torch.zeros(fitted.shape[2], dtype=torch.float64), []
    with torch.no_grad():
        at_start, others = exact(x), exact(other)
        for _ in range(31):
            expected.append(torch.mean((others + held @ step - truth.double()) ** 2).item())
            residual = at_start + fitted @ step - y.double()
            step -= found.lr * 2 / y.numel() * torch.einsum("no,nop->p", residual, fitted)
    wanted = np.asarray(expected)[found.steps]
    np.testing.assert_allclose(found.held_out_predicted, wanted, rtol=1e-9)
    np.testing.assert_allclose(found.held_out, wanted, rtol=0.03)
    assert wanted[-1] < 0.5 * wanted[0]
    assert found.data()["held_out"] == found.held_out.tolist()


def test_the_prediction_is_for_the_squared_error(built):
    _, model, streams = built

    class Occupied(Wave):
        loss = "bce"

    with pytest.raises(ParameterError, match="squared error"):
        compare_dynamics(model, Occupied(), [0.1], 5, streams.generator("data"))


def test_the_verb_prints_plots_and_writes_what_it_found(tmp_path):
    done = here(
        *("ntk", "-e", "identity", "-e", "mpe:resolutions=[8]", "-t", "image:side=16"),
        *("-n", 64, "--width", 16, "--plot", "s.png", "-o", "s.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "mpe:resolutions=[8]" in done.stdout
    assert (tmp_path / "s.png").stat().st_size > 10_000
    found = json.loads((tmp_path / "s.json").read_text())
    assert [len(item["eigenvalues"]) for item in found] == [64, 64]


def test_the_verb_counts_without_forming_the_kernel(tmp_path):
    arguments = ("-e", "identity", "-t", "image:side=16", "-n", 100, "--width", 16)
    done = here("ntk", *arguments, "--matrix-free", "-o", "free.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    here("ntk", *arguments, "-o", "exact.json", cwd=tmp_path)
    (free,) = json.loads((tmp_path / "free.json").read_text())
    (exact,) = json.loads((tmp_path / "exact.json").read_text())
    np.testing.assert_allclose(free["leading"], exact["eigenvalues"][:8], rtol=1e-8)


def test_dynamics_are_drawn(tmp_path):
    done = here(
        *("dynamics", "-e", "identity", "-t", "image:side=8,split=checker", "--steps", 20),
        *("--width", 32, "-o", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "held out" in done.stdout
    (curves, _) = json.loads((tmp_path / "out" / "dynamics.json").read_text())["curves"]
    assert len(curves["held_out"]) == len(curves["held_out_predicted"]) == len(curves["steps"])
    assert (tmp_path / "out" / "dynamics.png").stat().st_size > 10_000
    curves = json.loads((tmp_path / "out" / "dynamics.json").read_text())["curves"]
    assert [curve["factor"] for curve in curves] == [0.05, 1.5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ntk", "-n", 0], "--points must be at least 1"),
        (["ntk", "-n", 9, "--matrix-free", "--plot", "x.png"], "--matrix-free has no whole"),
        (["ntk", "-e", "mpee"], "did you mean 'mpe'"),
        (
            ["ntk", "-n", 9, "-e", "ffe", "-t", "image:side=8", "--plot", "x"],
            "cannot draw to x",
        ),
        (["ntk", "-n", 9, "-t", "image:image=chelsae"], "did you mean 'chelsea'"),
        (["dynamics", "-t", "image:image=chelsae"], "did you mean 'chelsea'"),
        (["dynamics", "--factor", "-1", "-t", "image:side=8"], "must be positive"),
        (["dynamics", "--factor", "nan", "-t", "image:side=8"], "must be positive and finite, got"),
    ],
)
def test_misuse_of_the_verbs_is_one_line(tmp_path, arguments, words):
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


RAISES = ["-e", "raises", "-t", "image:side=8"]


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (["ntk", *RAISES], "encoding 'raises' of raising 1.0 failed: ValueError: no more"),
        (["dynamics", *RAISES], "encoding 'raises' of raising 1.0 failed: ValueError: no more"),
        (["fails"], "command 'fails' of raising 1.0 failed: ValueError: no more"),
        (["three"], "command 'three' of raising 1.0 is 3, expected a function"),
    ],
)
def test_a_plugin_that_raises_is_one_line(verb, said, tmp_path):
    folder = tmp_path / "raising-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: raising\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[encbench]\nraising = raising\n")
    (tmp_path / "raising.py").write_text(
        "from encbench import Encoding, hookimpl\n"
        "class Raises(Encoding):\n"
        "    def __init__(self, in_dim: int) -> None:\n"
        "        super().__init__(in_dim, in_dim)\n"
        "    def forward(self, x):\n"
        "        fails()\n"
        "def fails():\n"
        "    raise ValueError('no\\nmore')\n"
        "@hookimpl\n"
        "def encbench_encodings():\n"
        "    return {'raises': Raises}\n"
        "@hookimpl\n"
        "def encbench_commands():\n"
        "    return {'fails': fails, 'three': 3}\n"
    )
    done = encbench(*verb, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == f"error: {said}"
    assert "Traceback" not in done.stderr


def test_a_network_too_large_for_the_memory_is_one_line():
    done = encbench("ntk", "-n", 9, "-e", "identity", "-t", "image:side=8", "--width", 10**12)
    assert done.returncode == 1, done.stderr
    started, error = done.stderr.splitlines()
    assert started.startswith("started   image:side=8")
    assert error.startswith("error: not enough memory, take something smaller: RuntimeError")


def test_the_table_of_spectra_fits_a_terminal_of_80_characters():
    cell = ("-e", "mpe:resolutions=[8]", "-t", "image:image=camera,side=16", "--width", "16")
    done = here("ntk", *cell, "-n", "64", columns=80)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == "started   image:image=camera,side=16 × mpe:resolutions=[8], 64 points\n"
    heading = next(line for line in done.stdout.splitlines() if "λ_max" in line)
    assert heading.split()[-2:] == ["effective", "lr_crit"]
    assert re.search(r" \d+/64 ", done.stdout)
    assert "…" not in done.stdout
