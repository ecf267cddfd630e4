"""The audio task: samples of WAV files, built-in sounds, and errors."""

import struct

import numpy as np
import pytest
import torch
from encbench_tasks.audio import AudioTask, read_wav

from encbench import DataError, ParameterError, Suite, plan
from encbench.metrics.snr import snr
from encbench.plugins.registry import default_registry
from encbench.training.bands import Bands

PCM, FLOAT, ADPCM = 1, 3, 2


def wav(data, channels=1, bits=16, form=PCM, rate=1000, more=b""):
    """A WAV file's bytes by the specification."""
    size = channels * bits // 8
    head = struct.pack("<HHIIHH", form, channels, rate, rate * size, size, bits)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head
    chunks += b"data" + struct.pack("<I", len(data)) + data + more
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def packed(samples, bits):
    """Integer samples, interleaved: unsigned with 8 bits, else signed, lowest byte first."""
    values = np.asarray(samples).ravel() + (128 if bits == 8 else 0)
    return b"".join(int(v).to_bytes(bits // 8, "little", signed=bits > 8) for v in values)


def written(path, samples, bits=16, **fields):
    """The path of a file of integers (N,) or (N, C)."""
    array = np.asarray(samples)
    channels = 1 if array.ndim == 1 else array.shape[1]
    path.write_bytes(wav(packed(array, bits), channels, bits, **fields))
    return str(path)


def amplitudes(**parameters):
    return AudioTask(**parameters).truth[:, 0].astype(np.float64)


def answering(task, made):
    """A network that gives these values at the task's points."""
    place = {x: n for n, x in enumerate(task.centres[:, 0].tolist())}
    flat = torch.from_numpy(np.asarray(made, np.float32).reshape(-1, 1))
    return lambda x: flat[[place[one] for one in x[:, 0].tolist()]]


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_of_any_width_are_divided_by_the_loudest(tmp_path, bits):
    samples = np.array([0, 1, -1, 77, -100, 2, 100, 3]) * 2 ** (bits - 8)
    samples[1] += 1 if bits > 8 else 0  # the lowest bit counts
    found = amplitudes(sound=written(tmp_path / "a.wav", samples, bits))
    np.testing.assert_allclose(found, samples / np.abs(samples).max(), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_floats_may_be_louder_than_1(tmp_path, dtype):
    samples = np.array([0, 0.5, -2, 1], dtype)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(samples.tobytes(), bits=8 * samples.itemsize, form=FLOAT))
    np.testing.assert_array_equal(amplitudes(sound=str(path)), samples / 2)


def test_a_stereo_file_of_24_bits_is_the_mean_of_its_channels_or_one(tmp_path):
    channels = np.array([[100, 300], [-500, 100], [0, 2**23 - 1], [7, -(2**23)]])
    path = written(tmp_path / "a.wav", channels, 24)
    for parameters, expected in [
        ({}, channels.sum(axis=1)),
        ({"channel": 0}, channels[:, 0]),
        ({"channel": 1}, channels[:, 1]),
    ]:
        found = amplitudes(sound=path, **parameters)
        np.testing.assert_allclose(found, expected / np.abs(expected).max(), rtol=1e-6)
    with pytest.raises(DataError, match="channel=2 of a file of 2; give 0 to 1, or leave it out"):
        AudioTask(sound=path, channel=2)


def test_an_excerpt_is_resampled_to_the_same_sound(tmp_path):
    n = np.arange(1000)
    path = written(tmp_path / "a.wav", np.rint(3e4 * np.sin(2 * np.pi * 40 * n / 1000)))
    task = AudioTask(sound=path, start=0.25, duration=0.5, rate=700)
    assert (len(task.truth), task.rate) == (350, 700)
    expected = np.sin(2 * np.pi * 40 * (0.25 + np.arange(350) / 700))
    np.testing.assert_allclose(task.truth[40:-40, 0], expected[40:-40], atol=2e-3)


def test_a_chirps_frequency_grows_evenly_from_100_to_3000_hertz():
    array = amplitudes(rate=48000, duration=0.5)
    turns = np.flatnonzero(np.diff(np.sign(array)))  # half a period apart
    times = (turns + array[turns] / (array[turns] - array[turns + 1]) + 0.5) / 48000
    middle = (times[1:] + times[:-1]) / 2
    np.testing.assert_allclose(0.5 / np.diff(times), 100 + 2900 * middle / 0.5, rtol=0.01)


@pytest.mark.parametrize(
    ("sound", "hertz"),
    [("chord", [261.63, 329.63, 392.0]), ("melody", [261.63, 329.63, 392.0, 523.25])],
)
def test_notes_are_where_they_are_said_to_be(sound, hertz):
    power = np.abs(np.fft.rfft(amplitudes(sound=sound, duration=2.0) * np.hanning(16000))) ** 2
    for each in hertz:  # half a hertz a bin
        near = slice(round(2 * each) - 4, round(2 * each) + 5)
        assert power[near].max() > 50 * power[round(2 * each) + 40]
    assert power[2 * 3300 :].sum() < 1e-5 * power.sum()


def test_every_click_has_its_frequency():
    each = amplitudes(sound="clicks").reshape(8, 1000)
    peaks = np.abs(np.fft.rfft(each, axis=1)).argmax(axis=1) * 8
    np.testing.assert_allclose(peaks, 375 * np.arange(1, 9), atol=8)


def test_the_error_has_bands_whose_sum_is_its_mean_square():
    task = AudioTask(sound="chirp", duration=0.25)
    bands = Bands(task.regular_grid())
    assert bands.target.sum() == pytest.approx(np.mean(task.truth.astype(float) ** 2))
    # 25 to 750 periods in the excerpt
    assert (
        bands.target[(bands.upper >= 32) & (bands.upper <= 1024)].sum() > 0.95 * bands.target.sum()
    )


def test_samples_that_are_not_trained_on_are_interpolated():
    task = AudioTask(sound="clicks", rate=6600, duration=0.05, split="checker")
    outcome = task.evaluate(answering(task, task.truth * 0.5))
    assert task.curve == "snr_held_out"
    assert len(outcome.comparisons["held_out_audio"][0]) == 165
    assert snr(*outcome.comparisons["held_out_audio"]) == pytest.approx(20 * np.log10(2))
    assert task.progress_metric(answering(task, task.truth)) == np.inf
    made, _ = outcome.baselines["linear interpolation"]["audio"]
    truth = task.truth[:, 0].astype(np.float64)
    expected = [
        truth[n] if n % 2 == 0 else (truth[n - 1] + truth[min(n + 1, 328)]) / 2 for n in range(330)
    ]
    np.testing.assert_allclose(made[:329, 0], expected[:329], atol=1e-6)
    assert made[329, 0] == task.truth[328, 0]  # beyond the last


def test_a_waveform_a_close_up_and_three_spectrograms():
    task = AudioTask(duration=0.2)
    outcome = task.evaluate(answering(task, 3 * task.truth))
    x, prediction, truth = outcome.lines["waveform"]
    np.testing.assert_array_equal(prediction, np.clip(3 * truth, -1, 1))
    assert (x[0], len(x)) == pytest.approx((0.5 / 8000, 1600))
    assert outcome.lines["waveform.middle"][0][[0, -1]] == pytest.approx(
        [600.5 / 8000, 999.5 / 8000]
    )
    assert list(outcome.pictures) == ["target", "prediction", "error"]
    picture = outcome.pictures["target"].astype(int).sum(axis=2)
    # the chirp rises from the lower left to the upper right
    assert picture[:, 5].argmax() > picture[:, -5].argmax() > 10
    silent = task.evaluate(answering(task, 0 * task.truth)).pictures
    np.testing.assert_array_equal(silent["error"], silent["target"])
    assert (silent["prediction"] == silent["prediction"][0, 0]).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"rate": 4000}, "sound=chirp reaches 3000 Hz and needs rate=6000 or more, got 4000"),
        ({"channel": 0}, "channel=0 has no effect with the built-in sound 'chirp'"),
        ({"start": 0.5, "sound": "chord"}, "start=0.5 has no effect"),
        ({"stride": 3}, "stride=3 has no effect with split=all"),
    ],
)
def test_what_has_no_effect_is_refused_in_planning(parameters, words):
    entry = {"name": "audio", "parameters": parameters}
    suite = Suite.model_validate({"encodings": ["identity"], "tasks": [entry]})
    with pytest.raises(ParameterError) as caught:
        plan(suite, default_registry())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"rate": 0},
        {"duration": 0.0},
        {"duration": float("nan")},
        {"noise": -1.0},
        {"sound": "a.wav", "start": float("inf")},
    ],
)
def test_the_constructor_refuses_what_is_out_of_range(parameters):
    with pytest.raises(ParameterError, match="task 'audio': "):
        AudioTask(**parameters)


@pytest.mark.parametrize(
    ("content", "parameters", "words"),
    [
        (None, {}, "neither a file nor built in; "),
        (b"", {}, "an empty file, of 0 bytes"),
        (b"ID3\x04 this is an MP3", {}, "damaged or no WAV file: File format b'ID3"),
        (wav(b""), {}, "0 samples at a sample rate of 1000 Hz"),
        (wav(b"\0\1" * 9, rate=0), {}, "9 samples at a sample rate of 0 Hz"),
        (wav(b"\0\0" * 9), {}, "silent: all samples of the excerpt are 0"),
        (wav(packed([[5, -5]] * 9, 16), 2), {}, "silent: all samples"),
        (wav(b"ab" * 9, bits=8, form=ADPCM), {}, "Unknown wave file format: ADPCM"),
        (wav(b"\0\1" * 99)[:-20], {}, "Reached EOF prematurely"),
        (wav(b"\0\1" * 99).replace(b"data\xc6", b"data\xff"), {}, "end at byte 242 of 299"),
        (wav(b"\0\1" * 99, more=b"data\2\0\0\0\1\0"), {}, "its samples are in 2 chunks"),
        (wav(np.array([0, np.inf], "<f4").tobytes(), 1, 32, FLOAT), {}, "not finite"),
        (wav(np.full(4, 1.7e308).tobytes(), 2, 64, FLOAT), {}, "or beyond 1e+300"),
        (b"RIFF\x04\0\0\0" + wav(b"\0\1" * 9)[8:], {}, "no format of them, in the 4 bytes it"),
        (wav(b"\0\1" * 9), {"duration": 1.0}, "lasts 0.009 s, but start=0 and duration=1"),
        (wav(b"\0\1" * 9), {"start": 1.0}, "lasts 0.009 s, but start=1"),
        (
            wav(b"\0\1" * 9),
            {"duration": 1e-4},
            "duration=0.0001 holds no sample at 1000 Hz; give a",
        ),
        (
            wav(b"\0\1" * 9),
            {"channel": 1},
            "channel=1 of a file of 1; leave it out for",
        ),
        (wav(b"\0\1" * 9), {"rate": 200}, "1 samples where 2 to 4,194,304 are taken"),
        (wav(b"\0\1" * 9), {"rate": 10**9}, "9,000,000 samples where 2 to"),
    ],
)
def test_what_is_no_sound_is_one_line(tmp_path, content, parameters, words):
    path = tmp_path / "chirps.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        AudioTask(sound=str(path), **parameters)
    assert words in str(caught.value)
    assert "chirps.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        wav(b"\0\1" * 99) + b"data\4\0\0\0\1\0\2\0",  # after the file's declared end
        wav(b"\0\1" * 99).replace(b"data", b"data\0\0\0\0data"),
        wav(b"\0\1" * 99, more=b"LIST\1\0\0\0x\0id3 \0\0\0\0"),
    ],
)
def test_what_is_beside_the_samples_is_skipped(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    rate, samples = read_wav(tmp_path / "a.wav")
    assert (rate, len(samples)) == (1000, 99)


@pytest.mark.parametrize(
    ("whole", "data"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        *((0x7FFFF024, 0x7FFFF000), (0x80000024, 0x80000000), (1 << 31, 198), (0, 198)),
    ],
)
def test_a_sound_written_to_a_pipe_is_read_to_its_end(tmp_path, whole, data):
    content = wav(b"\0\1" * 99)
    content = b"RIFF" + struct.pack("<I", whole) + content[8:40] + struct.pack("<I", data)
    (tmp_path / "a.wav").write_bytes(content + b"\0\1" * 99)
    rate, samples = read_wav(tmp_path / "a.wav")
    assert (rate, len(samples)) == (1000, 99)


def test_an_empty_name_is_said_to_be_empty():
    with pytest.raises(DataError, match="an empty name; give that of a built-in, or the path of"):
        AudioTask(sound="")


def test_a_folder_is_no_sound(tmp_path):
    with pytest.raises(DataError, match="cannot be read: Is a directory; give the path of a WAV"):
        read_wav(tmp_path)


def test_the_data_are_the_files_bytes_or_what_decides_a_built_in_sound(tmp_path):
    one, other = (written(tmp_path / name, [1, 2, 3]) for name in ("a.wav", "b.wav"))
    assert AudioTask.data_hash(sound=one) == AudioTask.data_hash(sound=other, split="checker")
    hashes = [
        AudioTask.data_hash(**p) for p in ({}, {"rate": 8000}, {"noise": 0.1}, {"rate": 9000})
    ]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
