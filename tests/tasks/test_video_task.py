"""The video task: frames of files and folders, built-in sequences, and errors."""

import numpy as np
import pytest
import tifffile
import torch
from encbench_tasks.video import VideoTask
from PIL import Image
from scipy.ndimage import rotate

from encbench import DataError, ParameterError, Suite, plan
from encbench.metrics.psnr import psnr
from encbench.plugins.registry import default_registry

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


def answering(task, made):
    """A network that gives these values at the task's points."""
    place = {tuple(point): n for n, point in enumerate(task.centres.tolist())}
    flat = torch.from_numpy(np.asarray(made, np.float32).reshape(-1, task.out_dim))
    return lambda x: flat[[place[tuple(point)] for point in x.tolist()]]


def folder_of(path, frames, suffix="png"):
    path.mkdir()
    for number, frame in enumerate(frames, 8):  # f8, f9, f10: natural order
        Image.fromarray(frame).save(path / f"f{number}.{suffix}")
    return str(path)


def test_a_folder_is_its_frames_in_natural_order(tmp_path):
    task = VideoTask(video=folder_of(tmp_path / "frames", FRAMES))
    np.testing.assert_allclose(task.truth, FRAMES / 255, atol=1e-7)
    # x and y of a pixel, and t of its frame
    point = task.centres.reshape(3, 5, 4, 3)[2, 1, 3].tolist()
    assert point == pytest.approx([3.5 / 4, 1.5 / 5, 2.5 / 3])
    assert VideoTask(video=str(tmp_path / "frames"), frames=2).truth.shape == (2, 5, 4, 3)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_an_animation_is_its_frames(tmp_path, name):
    first, *others = map(Image.fromarray, FRAMES)
    lossless = {"lossless": True} if name == "a.webp" else {}
    first.save(tmp_path / name, save_all=True, append_images=others, **lossless)
    task = VideoTask(video=str(tmp_path / name))
    np.testing.assert_allclose(task.truth, FRAMES / 255, atol=1e-7)


def test_each_page_of_a_tiff_is_read_by_its_own_tags(tmp_path):
    deep = FRAMES[0, ..., 0].astype(np.uint16) * 16 + 15
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(FRAMES[0, ..., 0], photometric="minisblack")
        file.write(deep, bitspersample=12, photometric="minisblack")
        file.write(FRAMES[1, ..., 0], photometric="minisblack")
    task = VideoTask(video=str(tmp_path / "a.tif"))
    expected = np.stack(
        [FRAMES[0, ..., :1] / 255, deep[..., None] / 4095, FRAMES[1, ..., :1] / 255]
    )
    np.testing.assert_allclose(task.truth, expected, atol=1e-7)


def test_the_still_picture_of_an_animated_png_is_no_frame(tmp_path):
    still, *frames = map(Image.fromarray, FRAMES)
    still.save(tmp_path / "a.png", save_all=True, append_images=frames, default_image=True)
    for asked, count in ((None, len(frames)), (2, 2)):
        task = VideoTask(video=str(tmp_path / "a.png"), frames=asked)
        np.testing.assert_allclose(task.truth, FRAMES[1 : 1 + count] / 255, atol=1e-7)


def test_a_grey_gif_has_one_channel(tmp_path):
    first, *others = map(Image.fromarray, FRAMES[..., 0])
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    task = VideoTask(video=str(tmp_path / "a.gif"))
    np.testing.assert_allclose(task.truth, FRAMES[..., :1] / 255, atol=1e-7)


def test_pages_of_16_bits_keep_them(tmp_path):
    pages = FRAMES[..., 0].astype(np.uint16) * 256 + 1
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    task = VideoTask(video=str(tmp_path / "a.tif"))
    np.testing.assert_allclose(task.truth[..., 0], pages / 65535, atol=1e-7)


def test_transparent_pixels_are_over_white(tmp_path):
    frames = np.concatenate([FRAMES, np.full((3, 5, 4, 1), 51, np.uint8)], axis=3)
    task = VideoTask(video=folder_of(tmp_path / "frames", frames))
    np.testing.assert_allclose(task.truth, 0.2 * FRAMES / 255 + 0.8, atol=1e-6)


def test_frames_are_shrunk_without_ringing(tmp_path):
    frames = np.zeros((2, 8, 16), np.uint8)
    frames[1, :, :8] = 255
    task = VideoTask(video=folder_of(tmp_path / "frames", frames), side=8)
    assert task.truth.shape == (2, 4, 8, 1)
    assert (task.truth.min(), task.truth.max()) == (0, 1)
    with pytest.raises(DataError, match="side=17 is more than its frames have"):
        VideoTask(video=str(tmp_path / "frames"), side=17)


def test_a_pan_moves_over_the_photograph_and_a_zoom_shows_less_of_it():
    pan = VideoTask(video="pan", frames=5, side=20).truth
    # 2/5 of the width is 16 of its 40 pixels, a fifth of them from frame to frame
    shift = [np.abs(pan[1, :, : 20 - n] - pan[0, :, n:]).mean() for n in range(8)]
    assert np.argmin(shift) == 3
    zoom = VideoTask(video="zoom", frames=3, side=20).truth
    assert np.abs(zoom[2, 9:11, 9:11] - zoom[0, 9:11, 9:11]).max() < 0.15


def test_a_rotation_turns_the_photograph_by_a_quarter():
    frames = VideoTask(video="rotation", frames=9, side=40).truth
    middle = VideoTask(video="pan", frames=9, side=40).truth[4]
    np.testing.assert_allclose(frames[4], middle, atol=1e-6)
    inner = slice(12, 28)
    angles = [-25, -20, -15, 0, 20]  # two of nine frames later it has turned by 20 degrees
    back = [rotate(frames[6], angle, reshape=False, order=1) for angle in angles]
    error = [np.abs((each - middle)[inner, inner]).mean() for each in back]
    assert angles[np.argmin(error)] == -20


def test_discs_move_in_straight_lines():
    video = VideoTask(video="discs", frames=2, side=40).truth[..., 0]
    rng = np.random.default_rng(0)
    start, end = rng.uniform(0.1, 0.9, (2, 6, 2))
    x, y = start[5] + (end[5] - start[5]) * 0.75  # the last one is in front
    rng.uniform(0.08, 0.2, 6)
    assert video[1, int(y * 40), int(x * 40)] == pytest.approx(rng.random((6, 3))[5, 0])


def test_all_points_are_trained_on_without_a_copy_of_them():
    task = VideoTask(video="discs", frames=4, side=8)
    x, y = task.epoch(torch.Generator())
    assert x is task.centres is task.regular_grid().x
    assert len(y) == task.points_per_epoch == 256


def test_every_second_frame_is_held_out_and_interpolated_in_time():
    task = VideoTask(video="discs", frames=6, side=8, split="frames")
    assert task.curve == "psnr_held_out"
    assert task.trained.all(axis=(1, 2)).tolist() == [True, False] * 3
    x, _ = task.held_out()
    assert sorted(set(x[:, 2].tolist())) == pytest.approx([1.5 / 6, 3.5 / 6, 5.5 / 6])
    outcome = task.evaluate(answering(task, task.truth))
    made, truth = outcome.baselines["linear interpolation in time"]["held_out_pixels"]
    made, truth = made.reshape(3, 8, 8, 3), truth.reshape(3, 8, 8, 3)
    np.testing.assert_array_equal(truth, task.truth[1::2])
    np.testing.assert_allclose(made[0], (task.truth[0] + task.truth[2]) / 2, atol=1e-6)
    np.testing.assert_array_equal(made[2], task.truth[4])  # beyond the last


@pytest.mark.parametrize("split", ["checker", "random"])
def test_other_splits_hold_out_half_of_each(split):
    task = VideoTask(video="discs", frames=4, side=8, split=split)
    assert task.trained.sum() == 128
    outcome = task.evaluate(answering(task, task.truth))
    assert (outcome.pictures["training"] == 128).all(axis=-1).sum() >= 128


def test_a_sheet_of_frames_and_psnr_by_frame():
    task = VideoTask(video="discs", frames=18, side=8)
    made = np.clip(task.truth + np.linspace(0.01, 0.2, 18)[:, None, None, None], 0, 1)
    outcome = task.evaluate(answering(task, made))
    assert psnr(*outcome.comparisons["psnr"]) == psnr(made.astype(np.float32), task.truth)
    sheet = outcome.pictures["target"]
    assert sheet.shape == (32, 32, 3)
    np.testing.assert_array_equal(sheet[:8, 8:16], np.rint(task.truth[1] * 255))
    np.testing.assert_array_equal(sheet[24:, 24:], np.rint(task.truth[17] * 255))
    t, values, _ = outcome.lines["psnr_by_frame"]
    assert t[0] == 0.5 / 18
    assert values[3, 0] == psnr(made[3].astype(np.float32), task.truth[3])


def test_a_rendered_sheet_is_that_of_evaluate_at_its_own_scale():
    task = VideoTask(video="discs", frames=5, side=8)

    def network(x):
        return torch.stack([x[:, 0], x[:, 1], x[:, 2]], dim=1).float()

    sheet = task.evaluate(network).pictures["prediction"]
    assert sheet.shape == (16, 24, 3)  # 5 frames and an empty place
    np.testing.assert_array_equal(task.render(network, 1), sheet)
    assert task.render(network, 2.5).shape == (40, 60, 3)
    with pytest.raises(ParameterError, match="scale 100000 makes"):
        task.render(network, 1e5)


def damaged(folder, kind):
    """The path of a video that is wrong in one way."""
    if kind == "missing":
        return str(folder / "no.gif")
    if kind == "one frame":
        return folder_of(folder / "one", FRAMES[:1])
    if kind == "still":
        Image.fromarray(FRAMES[0]).save(folder / "still.png")
        return str(folder / "still.png")
    if kind == "empty":
        (folder / "empty").mkdir()
        return str(folder / "empty")
    if kind == "sizes":
        return folder_of(folder / "sizes", [FRAMES[0], FRAMES[1][:4]])
    if kind == "pages":
        frames = [Image.fromarray(f) for f in (FRAMES[0], FRAMES[1][:, :3])]
        frames[0].save(folder / "a.tif", save_all=True, append_images=frames[1:])
        return str(folder / "a.tif")
    if kind == "thin":
        return folder_of(folder / "thin", FRAMES[:, :1])
    (folder / "movie.mp4").write_bytes(b"\0\0\0 ftypisom")
    return str(folder / "movie.mp4")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "the file does not exist"),
        ("one frame", "1 frame where 2 are needed"),
        ("still", "1 frame where 2 are needed"),
        ("empty", "holds no image"),
        ("sizes", "frames of different sizes: f8.png has 4 × 5 pixels and f9.png 4 × 4"),
        ("pages", "frames of different sizes: frame 1 has 4 × 5 pixels and frame 2 3 × 5"),
        ("thin", "3 × 4 × 1 (frames × width × height)"),
        ("movie", "not an image, or of a format that cannot be read"),
    ],
)
def test_what_is_no_video_is_one_line(tmp_path, kind, words):
    with pytest.raises(DataError) as caught:
        VideoTask(video=damaged(tmp_path, kind))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_frames_than_there_are_or_than_memory_holds(tmp_path):
    with pytest.raises(DataError, match="3 frames where 4 are needed"):
        VideoTask(video=folder_of(tmp_path / "frames", FRAMES), frames=4)
    with pytest.raises(DataError, match="at most 16,777,216 pixels together"):
        VideoTask(frames=10**6)
    with pytest.raises(DataError, match="did you mean 'zoom'"):
        VideoTask(video="zoon")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"split": "grid"}, "expected 'all' | 'frames' | 'checker' | 'random'"),
        ({"stride": 3}, "stride=3 has no effect with split=all; leave it out, or give split=fr"),
        ({"frames": 1}, "frames"),
    ],
)
def test_what_has_no_effect_is_refused_in_planning(parameters, words):
    entry = {"name": "video", "parameters": parameters}
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": [entry]})
    with pytest.raises(ParameterError) as caught:
        plan(suite, default_registry())
    assert words in str(caught.value)


def test_the_data_are_the_files_bytes_in_order_or_what_decides_a_built_in_sequence(tmp_path):
    one, other = (folder_of(tmp_path / name, FRAMES) for name in ("a", "b"))
    turned = folder_of(tmp_path / "c", FRAMES[::-1])
    assert VideoTask.data_hash(video=one) == VideoTask.data_hash(video=other, split="checker")
    assert VideoTask.data_hash(video=one) != VideoTask.data_hash(video=turned)
    assert VideoTask.data_hash() == VideoTask.data_hash(frames=16) != VideoTask.data_hash(side=9)
