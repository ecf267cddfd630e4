"""``encbench render`` draws a recorded network; if it cannot, the error is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from encbench import EncbenchError, Outcome, PluginError, Suite, UsageError, run_suite
from encbench.cli import render as verb
from encbench.plugins.registry import default_registry
from tests.cli.program import here
from tests.sample_plugin import Scaled, Wave, module, registry_of


class Line(Wave):
    """A wave, given as a line."""

    def evaluate(self, predict):
        line = (self.x[:, 0].numpy(), predict(self.x).numpy(), self.y.numpy())
        return Outcome({"image": tuple(each[None] for each in line[1:])}, lines={"u": line})


class Plane(Wave):
    """A wave in the plane, without a picture."""

    in_dim = 2

    def __init__(self):
        super().__init__()
        self.x = self.x.expand(-1, 2)


class WrongPicture(Plane):
    """A wave in the plane, and a picture of numbers."""

    def render(self, predict, scale):
        return predict(self.x).numpy()


@pytest.fixture
def drawn(suite, tmp_path, monkeypatch):
    """Run a task with weights kept, and draw its network to a file."""

    def draw(task, name, **options):
        registry = registry_of(ours=module(encodings={"scaled": Scaled}, tasks={"wave": task}))
        monkeypatch.setattr(verb, "default_registry", lambda: registry)
        folder = tmp_path / "run"
        run = run_suite(
            *(suite, folder), registry=registry, jobs=1, report=False, save_weights=True
        )
        path = tmp_path / name
        key = run.records[0].record.key[:6]
        verb.render(folder, key, scale=1.0, output=path, device="cpu", **options)
        return path

    return draw


@pytest.mark.parametrize("name", ["u.png", "deep/u.svg"])
def test_a_function_of_one_variable_is_a_curve(drawn, name):
    assert drawn(Line, name).stat().st_size > 5000


def test_a_curve_of_an_unknown_format_is_refused(drawn):
    with pytest.raises(UsageError, match="cannot draw to"):
        drawn(Line, "u.xyz")


def test_a_task_without_a_picture_is_told(drawn):
    with pytest.raises(UsageError, match=r"task 'wave' of ours 1.0 draws no picture: its class"):
        drawn(Plane, "u.png")
    with pytest.raises(PluginError, match=r"task 'wave' of ours 1.0: render gave no uint8 array"):
        drawn(WrongPicture, "u.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A results folder with a network of a photograph, and one without weights."""
    folder = tmp_path_factory.mktemp("images")
    data = {
        "encodings": ["ffe:levels=2"],
        "tasks": ["image:image=camera,side=12"],
        "network": {"width": 8},
        "training": {"steps": 4, "batch_size": 16, "lr": 0.1},
        "ntk": {"points": 0},
    }
    for name, save in (("with", True), ("without", False)):
        suite = Suite.model_validate(data)
        run_suite(*(suite, folder / name), jobs=1, device="cpu", report=False, save_weights=save)
    return folder


def test_a_photograph_is_drawn_at_any_resolution(images):
    (record,) = (images / "with").glob("records/??/*")
    for scale, size in ((1.0, (12, 12)), (2.5, (30, 30)), (0.5, (6, 6))):
        verb.render(record, None, scale=scale, output=images / "big.png", device="cpu")
        with Image.open(images / "big.png") as picture:
            assert picture.size == size
            if scale == 1:
                with Image.open(record / "prediction.png") as recorded:
                    np.testing.assert_array_equal(np.asarray(picture), np.asarray(recorded))


@pytest.mark.parametrize(
    ("where", "key", "options", "words"),
    [
        ("without", None, {}, "Give the beginning of its key"),
        ("without", "", {}, "has no weights; run again with --save-weights"),
        ("with", "", {"output": "a.jpg"}, "a picture is written as PNG"),
        ("with", "", {"output": "with/run.json/a.png"}, "cannot write"),
        ("with", "", {"scale": 1e6}, "makes 12000000 × 12000000 pixels, expected 1 to"),
        ("with", "", {"scale": 0.01}, "makes 0 × 0 pixels"),
        ("with", "", {"device": "cuda:99"}, "cuda"),
        ("nowhere", "", {}, "there is no results folder"),
    ],
)
def test_misuse_is_refused(images, where, key, options, words):
    given = {"output": "a.png", "scale": 1.0, "device": "cpu"} | options
    given["output"] = images / given["output"]
    with pytest.raises(EncbenchError, match=words):
        verb.render(images / where, key, **given)
    assert not (images / "a.jpg").exists()


def test_a_scale_that_is_no_number_is_one_line(images):
    done = here("render", "with", "", "--scale", "inf", cwd=images)
    assert done.returncode == 2
    assert "--scale" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_curve_has_at_most_a_million_points(drawn, monkeypatch):
    monkeypatch.setattr(verb, "CURVE_POINTS", 2_000_000)
    with pytest.raises(UsageError, match=r"--scale 1: a curve of 2,000,000 points, at most 1,000"):
        drawn(Line, "u.png")


def test_a_large_picture_is_predicted_in_parts(monkeypatch):
    monkeypatch.setattr("encbench_tasks._grid_task.RENDERED_POINTS", 100)
    task = default_registry().find("task", "image").load()(image="camera", side=8)
    sizes = []

    def predict(x):
        sizes.append(len(x))
        return x[:, 1:].float()

    picture = task.render(predict, 4)
    assert max(sizes) <= 100
    assert picture.shape == (32, 32)
    rows = torch.arange(32).numpy()[:, None]
    np.testing.assert_array_equal(picture, np.rint((rows + 0.5) / 32 * 255) * np.ones((1, 32)))
