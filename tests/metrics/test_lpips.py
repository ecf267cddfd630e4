"""LPIPS: the input of the package lpips, and the messages if the package or weights are missing.

The package needs weights that no test downloads; a stand-in replaces it.
"""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from encbench_tasks.image import ImageTask

from encbench import DataError, PluginError
from encbench.metrics import lpips

URL = "https://example.org/models/alexnet-0123abcd.pth"


class StandIn:
    """Accepts images like the package: (N, 3, H, W), in [0, 1] with ``normalize``."""

    def __init__(self, net, verbose):
        assert (net, verbose) == ("alex", False)

    def __call__(self, x, y, normalize):
        assert normalize
        assert x.shape == y.shape
        assert x.shape[:2] == (1, 3)
        return (x - y).abs().mean().reshape(1, 1, 1, 1)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install the stand-in and an empty cache for torch; the path of the weights in the cache."""
    package, vision, models = map(ModuleType, ("lpips", "torchvision", "torchvision.models"))
    package.LPIPS = StandIn
    models.AlexNet_Weights = SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=URL))
    for module in (package, vision, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    lpips._network.cache_clear()
    yield tmp_path / "checkpoints" / "alexnet-0123abcd.pth"
    lpips._network.cache_clear()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(DataError, match=r"python -m pip install 'encbench\[lpips\]'") as raised:
        ImageTask.targets(image="chelsea", lpips=True)
    assert "\n" not in str(raised.value)


def test_without_weights_it_says_how_to_fetch_them_and_downloads_nothing(installed, monkeypatch):
    def refuse(*_):
        raise AssertionError("a download that nobody asked for")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    for use in (lambda: ImageTask.targets(lpips=True), lambda: measured(np.zeros((40, 40, 1)))):
        with pytest.raises(DataError, match="`encbench data fetch lpips`"):
            use()


def test_what_is_fetched_is_checked_against_the_hash_in_its_name(installed, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a: asked.append(a))
    assert lpips.fetch_weights() == installed
    assert asked == [(URL, str(installed), "0123abcd")]


def measured(image, truth=None):
    image = np.asarray(image, np.float32)
    return lpips.Lpips()(image, np.zeros_like(image) if truth is None else truth)


def test_grey_and_rgb_images_are_handed_over_and_others_have_a_reason(installed):
    installed.parent.mkdir()
    installed.touch()
    assert ImageTask.targets(lpips=True)[0]["lpips"] is True
    for channels in (1, 3):
        value = measured(np.full((31, 40, channels), 0.25))
        assert (value.value, value.direction) == (0.25, "lower")
        assert value.details == {"network": "alex", "version": "0.1"}
    assert "40 × 30 pixels of 3 values" in measured(np.zeros((30, 40, 3))).details["reason"]
    assert "of 4 values" in measured(np.zeros((40, 40, 4))).details["reason"]
    assert "not finite" in measured(np.full((40, 40, 3), np.nan)).details["reason"]
    with pytest.raises(PluginError, match="two \\(H, W, C\\) images"):
        measured(np.zeros((40, 40, 3)), np.zeros((40, 41, 3)))


def test_nothing_is_measured_unless_it_is_asked_for():
    outcomes = [
        ImageTask(image="chelsea", side=16, noise=0.1, **asked).evaluate(
            lambda x: torch.full((len(x), 3), 0.5)
        )
        for asked in ({}, {"lpips": True})
    ]
    plain, asked = ([o.comparisons, *o.baselines.values()] for o in outcomes)
    assert not any("perceptual" in compared for compared in plain)
    assert all("perceptual" in compared for compared in asked)
    assert ImageTask.targets(lpips=False) == ImageTask.targets()
