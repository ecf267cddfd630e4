"""The image task: its training data, and the evaluation of a network."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from encbench_tasks._grid_task import cell_centres
from encbench_tasks._image_files import PHOTOGRAPHS, locate_image
from encbench_tasks.image import ImageTask
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from encbench import DataError, ParameterError, Suite, Task, run_suite
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.plugins.registry import default_registry


@pytest.fixture
def picture(tmp_path):
    """A 5 × 7 RGB image file and its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


def test_the_task_is_found_by_name_and_described():
    offer = default_registry().find("task", "image")
    assert offer.load() is ImageTask
    assert issubclass(ImageTask, Task)
    assert 0 < len(offer.summary()) <= 90


def test_parameters_are_read_from_the_signature():
    described = {p.name: (p.type, p.default) for p in parameters_of(ImageTask)}
    assert described["image"] == ("str", "chelsea")
    assert described["side"] == ("int >= 2 | None", None)
    assert all(p.description for p in parameters_of(ImageTask))
    given_text = {"side": "64", "channels": "grey"}
    values = validate_parameters("task", "image", ImageTask, given_text)
    assert ImageTask(**values).truth.shape == (43, 64, 1)


def test_x_is_the_column_and_y_the_row_at_pixel_centres(picture):
    path, pixels = picture
    task = ImageTask(image=str(path))
    x, y = task.epoch(torch.Generator())
    assert (x.dtype, y.dtype) == (torch.float64, torch.float32)
    assert (task.in_dim, task.out_dim, task.points_per_epoch) == (2, 3, 35)
    row, column = 3, 5
    n = row * 7 + column
    assert x[n].tolist() == [5.5 / 7, 3.5 / 5]
    np.testing.assert_array_equal(y[n].numpy(), np.float32(pixels[row, column]) / np.float32(255))


@settings(deadline=None)  # torch's first call is slow
@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_coordinates_fill_the_unit_square_symmetrically(height, width):
    x = cell_centres((height, width))
    assert (x > 0).all()
    assert (x < 1).all()
    torch.testing.assert_close(1 - x.flip(0), x, rtol=0, atol=1e-15)
    assert len(torch.unique(x, dim=0)) == height * width


def test_an_epoch_is_every_pixel_and_the_same_tensors_each_time(picture):
    task = ImageTask(image=str(picture[0]))
    first, second = task.epoch(torch.Generator()), task.epoch(torch.Generator())
    assert first[0] is second[0]
    assert first[1] is second[1]


def test_ntk_points_are_distinct_pixels(picture):
    task = ImageTask(image=str(picture[0]))
    points = task.ntk_points(20, torch.Generator().manual_seed(0))
    assert points.shape == (20, 2)
    assert len(torch.unique(points, dim=0)) == 20
    assert len(task.ntk_points(1000, torch.Generator())) == 35


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "rocket", "retina"])
def test_built_in_photographs_are_scikit_images(name):
    expected = getattr(data, name)()
    truth = ImageTask(image=name).truth
    shown = truth[..., 0] if expected.ndim == 2 else truth
    np.testing.assert_array_equal(shown, expected.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_built_in_photograph_is_in_the_wheel(name):
    task = ImageTask(image=name, side=32)
    assert max(task.truth.shape[:2]) == 32
    assert task.truth.std() > 0.02, "a photograph is not one colour"


def test_the_data_hash_is_that_of_the_files_bytes(picture):
    path, _ = picture
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert ImageTask.data_hash(image=str(path), side=4, channels="rgb") == expected
    built_in = hashlib.sha256(locate_image("chelsea").read_bytes()).hexdigest()
    assert ImageTask.data_hash() == ImageTask.data_hash(image="chelsea") == built_in


def lanczos(band, size):
    """Separable Lanczos-3 in float64, its support widened by the scale, edges renormalized."""
    for axis, target in enumerate(size):
        source = band.shape[axis]
        scale = source / target
        centres = (np.arange(target) + 0.5) * scale
        offsets = (np.arange(source)[None] + 0.5 - centres[:, None]) / scale
        weights = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        band = np.moveaxis(np.tensordot(weights, band, axes=(1, axis)), 0, axis)
    return band


@pytest.mark.parametrize("side", [128, 77, 450])
def test_shrinking_is_a_lanczos_filter_without_aliasing(side):
    truth = ImageTask(image="chelsea").truth.astype(np.float64)
    small = ImageTask(image="chelsea", side=side).truth
    assert small.shape == (int(300 * side / 451 + 0.5), side, 3)
    expected = np.clip(lanczos(truth, small.shape[:2]), 0, 1)
    np.testing.assert_allclose(small, expected, atol=2e-6)


def test_a_fine_checkerboard_shrinks_to_grey(tmp_path):
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = ImageTask(image=str(tmp_path / "board.png"), side=32).truth
    np.testing.assert_allclose(small[4:-4, 4:-4], 0.5, atol=0.01)


def test_shrinking_keeps_more_than_8_bits(tmp_path):
    ramp = np.linspace(20000, 20500, 64, dtype=np.uint16)[None].repeat(64, 0)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    small = ImageTask(image=str(tmp_path / "ramp.png"), side=32).truth
    assert len(np.unique(small[16])) == 32


def test_colours_of_invisible_pixels_do_not_bleed_when_shrinking(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (0, 255, 0, 0)
    pixels[:, 32:] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "edge.png")
    small = ImageTask(image=str(tmp_path / "edge.png"), side=20).truth
    visible = small[..., 3] > 0.01
    np.testing.assert_allclose(small[visible][:, 1], 0, atol=1e-6)
    assert visible.mean() == pytest.approx(0.5, abs=0.06)


def test_images_are_never_enlarged():
    with pytest.raises(DataError, match=r"chelsea\.png: side=452 .*451 × 300.*give side=451"):
        ImageTask(image="chelsea", side=452)
    assert ImageTask(image="chelsea", side=451).truth.shape == (300, 451, 3)


def test_a_strip_that_shrinks_to_nothing_is_refused(tmp_path):
    Image.new("L", (1000, 3)).save(tmp_path / "strip.png")
    with pytest.raises(DataError, match=r"strip\.png: 50 × 1 pixels .* larger image or side"):
        ImageTask(image=str(tmp_path / "strip.png"), side=50)


@pytest.mark.parametrize("bad", [{"side": 1}, {"side": -3}, {"channels": "gray"}])
def test_parameters_out_of_range_are_refused_in_python_too(bad):
    with pytest.raises(ParameterError, match=rf"ImageTask: {next(iter(bad))} must be"):
        ImageTask(**bad)


def test_a_misspelt_photograph_gets_the_nearest():
    with pytest.raises(DataError, match=r"no image 'chelsae'.*did you mean 'chelsea'") as caught:
        ImageTask(image="chelsae")
    assert "\n" not in str(caught.value)


def test_a_misspelt_file_gets_the_nearest_beside_it(picture):
    path, _ = picture
    with pytest.raises(DataError, match=r"does not exist; did you mean 'picture\.png'"):
        ImageTask.data_hash(image=str(path.with_name("pictures.png")))
    path.with_name("sphere.ply").touch()
    with pytest.raises(DataError, match="does not exist; correct the path"):
        ImageTask.data_hash(image=str(path.with_name("spheres.ply")))
    with pytest.raises(DataError, match="there is no folder"):
        ImageTask(image=str(path.parent / "nowhere" / "picture.png"))


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody-of-that-name", "https://a.b/c.png"])
def test_a_name_that_cannot_be_a_file_is_one_target_and_a_data_error(name):
    assert ImageTask.targets(image=name) == [{"image": name}]
    with pytest.raises(DataError, match=f"no image '{name[:20]}"):
        ImageTask.data_hash(image=name)


def test_a_built_in_name_wins_over_a_file_and_a_path_over_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 3), "red").save(tmp_path / "chelsea", "PNG")
    assert ImageTask(image="chelsea").truth.shape == (300, 451, 3)
    assert ImageTask(image="./chelsea").truth.shape == (3, 4, 3)


def test_a_folder_gives_each_image_as_a_target_in_natural_order(tmp_path):
    for name in ("img10.png", "img2.png", "img1².png", "IMG1.PNG", "b.jpeg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "deeper.png").mkdir()
    targets = ImageTask.targets(image=str(tmp_path), side=2)
    names = [Path(target["image"]).name for target in targets]
    assert names == ["b.jpeg", "IMG1.PNG", "img1².png", "img2.png", "img10.png"]
    assert all(target["side"] == 2 for target in targets)
    assert [ImageTask(**target).truth.shape for target in targets] == [(2, 2, 3)] * 5


def test_a_damaged_image_of_a_folder_fails_alone(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"garbage")
    good, bad = ImageTask.targets(image=str(tmp_path))
    assert ImageTask(**good).points_per_epoch == 16
    assert len(ImageTask.data_hash(**bad)) == 64
    with pytest.raises(DataError, match=r"b\.png: not an image"):
        ImageTask(**bad)


def test_an_image_smaller_than_the_default_batch_is_learned(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "small.png")
    suite = Suite(
        name="small",
        encodings=["identity"],
        tasks=[f"image:image={tmp_path / 'small.png'}"],
        network={"width": 8, "depth": 1},
        training={"epochs": 2, "evaluations": 1},
        ntk={"points": 0},
    )
    (stored,) = run_suite(suite, tmp_path / "out", jobs=1, report=False).records
    assert stored.record.status == "ok", stored.record.error
    assert (stored.record.steps, stored.record.epochs) == (2, 2)


@pytest.mark.parametrize("names", [[], ["notes.txt", "data.csv"]])
def test_a_folder_without_images_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no image, (but 2 other files|as it is empty); images"):
        ImageTask.targets(image=str(tmp_path))


def test_one_image_is_its_own_target(picture):
    parameters = {"image": str(picture[0]), "channels": "grey"}
    assert ImageTask.targets(**parameters) == [parameters]
    assert ImageTask.targets(image="coffee") == [{"image": "coffee"}]
    assert ImageTask(**ImageTask.targets()[0]).path == locate_image("chelsea")


def test_a_folder_is_not_one_image(tmp_path):
    for ask in (ImageTask, ImageTask.data_hash):
        with pytest.raises(DataError, match="is a folder where one image is needed"):
            ask(image=str(tmp_path))


def test_progress_is_psnr_over_all_pixels(picture):
    task = ImageTask(image=str(picture[0]))
    _, y = task.epoch(torch.Generator())
    inward = torch.where(y > 0.5, y - 0.1, y + 0.1)
    assert task.progress_metric(lambda x: inward) == pytest.approx(20.0, abs=1e-4)
    assert task.progress_metric(lambda x: y) == np.inf
    assert task.curve_points == len(y)


def test_progress_in_a_large_image_is_psnr_at_some_of_its_pixels(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    task = ImageTask(image=str(tmp_path / "noise.png"))
    asked = []

    def red_is_right(x):
        asked.append(x)
        column, row = (x * torch.tensor([70, 60])).floor().long().T
        colours = torch.from_numpy(task.truth)[row, column]
        return colours + torch.tensor([0.0, 0.1, 0.1]) * torch.where(colours > 0.5, -1, 1)

    expected = pytest.approx(-10 * np.log10(0.02 / 3), abs=1e-4)
    assert task.progress_metric(red_is_right) == task.progress_metric(red_is_right) == expected
    assert len(torch.unique(asked[0], dim=0)) == len(asked[0]) == task.curve_points == 1024
    assert torch.equal(*asked)


def test_predictions_are_clamped_before_they_are_compared(tmp_path):
    Image.new("RGB", (4, 4), "white").save(tmp_path / "w.png")
    task = ImageTask(image=str(tmp_path / "w.png"))

    def beyond(x):
        return torch.full((16, 3), 1.7)

    assert task.progress_metric(beyond) == np.inf
    prediction, truth = task.evaluate(beyond).comparisons["image"]
    np.testing.assert_array_equal(prediction, truth)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_diverged_network_is_not_clamped_into_a_result(picture, bad):
    task = ImageTask(image=str(picture[0]))

    def diverged(x):
        return torch.full((35, 3), bad)

    assert np.isnan(task.progress_metric(diverged))
    prediction, _ = task.evaluate(diverged).comparisons["image"]
    assert np.isnan(prediction).all()


def test_predict_gets_the_coordinates_of_the_pixels_it_is_compared_with(picture):
    task = ImageTask(image=str(picture[0]))

    def red_is_x_green_is_y(x):
        return torch.stack([x[:, 0], x[:, 1], torch.zeros(len(x))], dim=1).float()

    prediction, _ = task.evaluate(red_is_x_green_is_y).comparisons["image"]
    assert prediction.shape == (5, 7, 3)
    np.testing.assert_allclose(prediction[4, 1], [1.5 / 7, 4.5 / 5, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "shape"), [("grey", (5, 7)), ("rgb", (5, 7, 3)), ("rgba", (5, 7, 4))]
)
def test_pictures_are_8_bit_images_of_target_prediction_and_error(picture, channels, shape):
    path, pixels = picture
    task = ImageTask(image=str(path), channels=channels)
    _, y = task.epoch(torch.Generator())
    pictures = task.evaluate(lambda x: y).pictures
    assert {name: image.dtype for name, image in pictures.items()} == dict.fromkeys(
        ("target", "prediction", "error"), np.dtype(np.uint8)
    )
    assert pictures["target"].shape == pictures["prediction"].shape == shape
    assert pictures["error"].shape == (5, 7, 3)
    if channels == "rgb":
        np.testing.assert_array_equal(pictures["target"], pixels)


def test_the_error_picture_has_one_scale_from_nothing_to_a_tenth(tmp_path):
    Image.new("RGB", (4, 4), "black").save(tmp_path / "black.png")
    task = ImageTask(image=str(tmp_path / "black.png"))
    colours = []
    for error in (0.0, 0.03, 0.06, 0.1, 0.5):
        answer = torch.full((16, 3), error)
        colours.append(task.evaluate(lambda x, a=answer: a).pictures["error"][0, 0].astype(int))
    assert colours[0].max() <= 4
    brightness = [colour.sum() for colour in colours]
    assert brightness == sorted(brightness)
    assert brightness[1] < brightness[2] < brightness[3]
    assert brightness[3] == brightness[4]
