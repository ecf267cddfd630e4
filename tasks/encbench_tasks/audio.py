"""Sounds: a network that maps time to amplitude."""

from __future__ import annotations

import hashlib
import json
import struct
import warnings
from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.io import wavfile
from scipy.signal import resample_poly

from encbench import DataError, Outcome, ParameterError
from encbench.contracts.task import Predict
from encbench.errors import MissingDataError, did_you_mean
from encbench.metrics.log_spectral_distance import FLOOR, log_spectrogram
from encbench.metrics.snr import snr
from encbench_tasks._grid_task import GridTask
from encbench_tasks._image_files import expanded
from encbench_tasks._pictures import error_picture
from encbench_tasks._pixels import Pixels
from encbench_tasks._split import (
    GRID_USES,
    Fraction,
    Noise,
    Split,
    SplitSeed,
    Stride,
    settled,
    without_effect,
)

FORMULAS = 1
"""Part of the data hash; increase it when a built-in sound changes."""
TIME = "time [s]"
CLOSE_UP, COLUMNS = 400, 512
"""Samples of the drawn excerpt; approximate number of frames of a drawn spectrogram."""
Samples = NDArray[np.float64]
HIGHEST = {"chirp": 3000, "chord": 2352, "clicks": 3300, "melody": 2617}
"""Built-in sounds, and their highest frequency [Hz]."""
RATE, DURATION = 8000, 1.0
"""Default sample rate [Hz] and duration [s] of built-in sounds."""
NOTES = {"c": 261.63, "e": 329.63, "g": 392.0, "c'": 523.25}
"""Frequencies [Hz], equal temperament."""
MOST_SAMPLES = 1 << 22
LOUDEST = 1e300
"""Maximum amplitude of a sample, so that sums of samples are finite, too."""
UNKNOWN_SIZE = 0x7FFFF000
"""Sizes from here on stand for one that the writer did not know, as in a pipe."""


class AudioTask(GridTask):
    """Regress a mono sound: time in [0, 1] to amplitude in [−1, 1].

    Sample i of N is at x = (i + ½)/N. The amplitude is divided by its largest absolute value
    within the excerpt, as in SIREN's audio experiment; its mean is left as it is. The channels of a
    WAV file are averaged, as there, unless ``channel`` names one. Every sample is trained on unless
    ``split`` holds some out; entries are then ranked by SNR at those.

    Built-in sounds, with frequencies in Hz, not in cycles per unit of x:

    - chirp: the frequency grows linearly from 100 to 3000 Hz.
    - chord: C, E and G (262, 330, 392 Hz), six harmonics each, which fade.
    - melody: C, E, G, C one after the other, five harmonics each.
    - clicks: eight Gaussian bursts of 2 ms at 375, 750, …, 3000 Hz.

    Args:
        sound: a built-in sound's name, or the path of a WAV file: integers of 8, 16, 24 or 32
            bits, or floats. A built-in's name takes precedence over a file's: write ``./chirp``.
        rate: samples per second [Hz]; a file is resampled by a polyphase filter. Default 8000, or a
            file's own.
        duration: length in seconds; default 1, or all of a file.
        start: start of the excerpt of a file, in seconds.
        channel: channel of a file, counted from 0.
        split: which samples are trained on. "all"; "checker": every second one; "random": a
            fraction of them; "grid": every ``stride``-th.
        fraction: part of the samples that is trained on, with split "random"; default 0.5.
        stride: step, with split "grid"; default 2.
        split_seed: draws the samples of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the file is missing, damaged, silent or too short, or the split leaves no
            sample to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

    sampling = ("rate", "duration")
    source: ClassVar[str] = (
        "Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions, "
        "NeurIPS 2020: audio, amplitude scaled to [−1, 1] by its peak"
    )
    in_dim = 1
    progress_points: ClassVar[int] = 1 << 12

    def __init__(
        self,
        *,
        sound: Annotated[
            str, Field(min_length=1, description="built-in sound, or WAV file")
        ] = "chirp",
        rate: Annotated[
            int | None, Field(ge=1, description="samples per second; default 8000, or a file's own")
        ] = None,
        duration: Annotated[
            float | None, Field(gt=0, description="seconds; default 1, or all of a file")
        ] = None,
        start: Annotated[
            float | None, Field(ge=0, description="start of a file's excerpt, in seconds")
        ] = None,
        channel: Annotated[
            int | None,
            Field(ge=0, description="channel of a file, from 0; default: the mean of all"),
        ] = None,
        split: Annotated[Split, Field(description="which samples are trained on")] = "all",
        fraction: Fraction = None,
        stride: Stride = None,
        split_seed: SplitSeed = None,
        noise: Noise = 0.0,
    ) -> None:
        given = {"sound": sound, "rate": rate, "duration": duration, "start": start}
        held_out = {"split": split, "fraction": fraction, "stride": stride, "noise": noise}
        parts = complete_sound({**given, **held_out, "channel": channel, "split_seed": split_seed})
        self.rate, samples = waveform(parts)
        self.keep(samples.astype(np.float32)[:, None], parts)
        self.curve = "snr" if self.trained.all() else "snr_held_out"

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """Return these parameters, with those of a built-in sound filled in."""
        return [complete_sound(parameters)]

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the WAV file's bytes, or of a built-in sound's parameters and version."""
        parts = complete_sound(parameters)
        if parts["sound"] not in HIGHEST:
            return hashlib.sha256(sound_bytes(expanded(parts["sound"]))).hexdigest()
        made = {name: parts[name] for name in ("sound", "rate", "duration")}
        return hashlib.sha256(json.dumps(["audio", FORMULAS, made]).encode()).hexdigest()

    def progress_metric(self, predict: Predict) -> float:
        """SNR [dB] at fixed samples, held-out ones if there are any; nan if not finite."""
        return snr(_clamped(predict(self._progress_x)), self.truth[self._progress])

    def evaluate(self, predict: Predict) -> Outcome:
        """Compare the prediction, clamped to [−1, 1], with the sound: waveform, a close-up of its
        middle if it is long, and spectrograms.

        The pictures are power in dB over time, to the right, and frequency, upwards to half of the
        sample rate, in the colour map magma: black is −80 dB or less, the brightest colour 0 dB,
        the peak of a sine of amplitude 1. "error" is the spectrogram of the difference. With a
        split, SNR is over the samples trained on, SNR held out over the others, log-spectral
        distance over all.
        """
        prediction = _clamped(predict(self.centres))
        seconds = self.centres[:, 0].numpy() * (len(self.truth) / self.rate)
        lines = {"waveform": (seconds, prediction, self.truth)}
        titles = {"waveform": (TIME, "amplitude")}
        if len(seconds) > 2 * CLOSE_UP:
            half = len(seconds) // 2
            middle = slice(half - CLOSE_UP // 2, half + CLOSE_UP // 2)
            lines["waveform.middle"] = (seconds[middle], prediction[middle], self.truth[middle])
            titles["waveform.middle"] = (TIME, "amplitude, in the middle")
        pictures = {
            "target": _picture(self.truth),
            "prediction": _picture(prediction),
            "error": _picture(prediction - self.truth),
        }
        return self.outcome(prediction, pictures, lines=lines, line_titles=titles)

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        comparisons = {"audio": (values, self.truth)}
        if not self.trained.all():
            comparisons["snr"] = values[self.trained], self.truth[self.trained]
            comparisons["held_out_audio"] = values[~self.trained], self.truth[~self.trained]
        return comparisons

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        """Linear interpolation of the samples trained on; without a split, the noisy samples."""
        if self.trained.all():
            noisy = {self.noisy: np.clip(self.given, -1, 1)}
            return noisy if self.given is not self.truth else {}
        x, known = self.centres[:, 0].numpy(), np.clip(self.given[self.trained, 0], -1, 1)
        between = np.interp(x, x[self.trained], known)
        return {"linear interpolation": between.astype(np.float32)[:, None]}


def _clamped(prediction: Any) -> Pixels:
    """Clamp to [−1, 1]; nan where the prediction is not finite."""
    raw = prediction.detach().cpu().numpy()
    return np.where(np.isfinite(raw), np.clip(raw, -1, 1), np.nan).astype(np.float32)


def _picture(samples: Pixels) -> NDArray[np.uint8]:
    """Draw a spectrogram of samples (N, 1); the length of its window depends on their number."""
    window = min(len(samples), 1024, 2 ** int(np.ceil(np.log2(4 * len(samples) ** 0.5))))
    found = log_spectrogram(samples[:, 0], window, max(1, len(samples) // COLUMNS))[::-1]
    return error_picture(1 - found / FLOOR, 1.0)


def complete_sound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's parameters with those of a built-in sound filled in, and those of the split
    settled.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    found = settled("audio", parameters, GRID_USES)
    found = {name: value for name, value in found.items() if value is not None}
    sound = found.setdefault("sound", "chirp")
    rate, duration = found.get("rate", 1), found.get("duration", 1.0)
    start = found.get("start", 0)
    if rate < 1 or not 0 < duration < np.inf or not 0 <= start < np.inf:
        raise _refused(
            f"rate must be at least 1 Hz, duration above 0 s and start at least 0 s, got {rate}, "
            f"{duration} and {start}"
        )
    if sound not in HIGHEST:
        return found
    for name in ("start", "channel"):
        if name in found:
            chosen = f"the built-in sound {sound!r}"
            raise without_effect("audio", f"{name}={found[name]}", chosen, "a WAV file")
    found = {"rate": RATE, "duration": DURATION, **found}
    if found["rate"] < 2 * HIGHEST[sound]:
        raise _refused(
            f"sound={sound} reaches {HIGHEST[sound]} Hz and needs rate={2 * HIGHEST[sound]} or "
            f"more, got {found['rate']}"
        )
    return found


def _refused(problem: str) -> ParameterError:
    return ParameterError(f"task 'audio': {problem}")


def waveform(parts: Mapping[str, Any]) -> tuple[int, Samples]:
    """Sample rate [Hz] and samples (N,) of ``complete_sound`` parameters, the loudest of them ±1.

    Raises:
        DataError: the WAV file is missing, damaged, silent or too short, or there are fewer than
            2 samples, or more than 2^22.
    """
    if (sound := parts["sound"]) in HIGHEST:
        rate, seconds = parts["rate"], parts["duration"]
        count = _counted(sound, round(rate * seconds))
        samples = _built_in(sound, (np.arange(count) + 0.5) / rate, seconds)
    else:
        path = expanded(sound)
        found, channels = read_wav(path)
        rate = parts.get("rate", found)
        mono = _cut(path, _one_channel(path, channels, parts.get("channel")), found, parts)
        _counted(sound, len(mono) * rate // found)
        common = gcd(rate, found)
        # by default silence is assumed beyond the ends, which would ring
        samples = resample_poly(mono, rate // common, found // common, padtype="line")
    peak = np.abs(samples).max()
    if not peak:
        raise DataError(
            f"{sound}: silent: all samples of the excerpt are 0; give another file, start, "
            "duration or channel"
        )
    return rate, samples / peak


def _counted(sound: str, count: int) -> int:
    if not 2 <= count <= MOST_SAMPLES:
        raise DataError(
            f"{sound}: {count:,} samples where 2 to {MOST_SAMPLES:,} are taken; give another "
            "duration or rate"
        )
    return count


def sound_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        MissingDataError: there is no such file.
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingDataError(
            f"no sound {str(path)!r}: neither a file nor built in"
            + did_you_mean(path.name, HIGHEST, f"built in: {', '.join(HIGHEST)}")
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; give the path of a WAV file"
        ) from None


def read_wav(path: Path) -> tuple[int, Samples]:
    """Read sample rate [Hz] and samples (N, C) as they are in the file, except that 8-bit samples,
    which are unsigned, are shifted by −128.

    Samples can be integers of 8 to 64 bits, including 24, or floats.

    Raises:
        DataError: the file is missing, damaged, or not a WAV file of such samples.
    """
    content = sound_bytes(path)
    if not content:
        raise DataError(f"{path}: an empty file, of 0 bytes; give a WAV file that holds a sound")
    order = ">" if content.startswith(b"RIFX") else "<"
    declared = int.from_bytes(content[4:8], "big" if order == ">" else "little")
    known = 0 < declared < max(UNKNOWN_SIZE, len(content))  # programs that stream leave 0
    if content[:4] in (b"RIFF", b"RIFX") and not known:
        content = content[:4] + struct.pack(f"{order}I", len(content) - 8) + content[8:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # about chunks without sound
            warnings.filterwarnings("error", "Reached EOF prematurely")
            rate, samples = wavfile.read(BytesIO(content))
        _check_chunks(content, order)
    # for damaged files, the reader raises anything from ValueError to ZeroDivisionError
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, UnboundLocalError):
            reason = f"it has no samples, or no format of them, in the {declared} bytes it declares"
        raise DataError(
            f"{path}: cut short, damaged or no WAV file: {reason.rstrip('.')}; replace it by a "
            "whole one, or convert it, as by `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
        ) from None
    if rate < 1 or not samples.size:
        raise DataError(
            f"{path}: {len(samples)} samples at a sample rate of {rate} Hz; give a WAV file that "
            "holds a sound"
        )
    values = samples.astype(np.float64).reshape(len(samples), -1)
    if not (np.abs(values) < LOUDEST).all():
        raise DataError(
            f"{path}: has samples that are not finite, or beyond {LOUDEST:g}; repair the file"
        )
    return rate, values - 128 if samples.dtype == np.uint8 else values


def _check_chunks(content: bytes, order: str) -> None:
    """Raise ValueError if samples are missing, or are in several chunks, of which only the last one
    is read."""
    # what follows the file's declared end is no chunk
    stop = min(len(content), 8 + struct.unpack_from(f"{order}I", content, 4)[0])
    at, chunks = 12, 0
    while at + 8 <= stop:
        name, size = struct.unpack_from(f"{order}4sI", content, at)
        end = at + 8 + size
        if name == b"data" and size < UNKNOWN_SIZE and end > len(content):
            raise ValueError(f"its samples end at byte {len(content)} of {end}")
        chunks += name == b"data" and size > 0
        at = end + size % 2
    if chunks > 1:
        raise ValueError(f"its samples are in {chunks} chunks")


def _one_channel(path: Path, channels: Samples, channel: int | None) -> Samples:
    count = channels.shape[1]
    if channel is not None and not 0 <= channel < count:
        raise DataError(
            f"{path}: channel={channel} of a file of {count}; "
            + (f"give 0 to {count - 1}, or " * (count > 1))
            + "leave it out for the mean"
        )
    return channels.mean(axis=1) if channel is None else channels[:, channel]


def _cut(path: Path, mono: Samples, rate: int, parts: Mapping[str, Any]) -> Samples:
    start, end = parts.get("start", 0.0), len(mono) / rate
    duration = parts.get("duration", end - start)
    first, last = round(start * rate), round((start + duration) * rate)
    length = f" and duration={duration:g}" if "duration" in parts else ""
    if last > len(mono) or start >= end:
        raise DataError(
            f"{path}: lasts {end:g} s, but start={start:g}{length} was asked for; give less"
        )
    if first >= last:
        raise DataError(
            f"{path}: start={start:g}{length} holds no sample at {rate} Hz; give a longer "
            "duration, or an earlier start"
        )
    return mono[first:last]


def _built_in(sound: str, t: Samples, seconds: float) -> Samples:
    """Amplitude at t [s] within (0, seconds)."""
    if sound == "chirp":
        low, high = 100, HIGHEST[sound]
        return np.asarray(np.sin(2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds))))
    if sound == "chord":
        return _note(t, [NOTES[name] for name in ("c", "e", "g")])
    if sound == "melody":
        each, since = np.divmod(t, seconds / len(NOTES))
        hertz = np.array(list(NOTES.values()))[each.astype(int)]
        fade = (1 - np.exp(-since / 0.005)) * (1 - np.exp((since - seconds / len(NOTES)) / 0.005))
        return np.asarray(fade * _note(since, [hertz], 5))
    total = np.zeros(len(t))
    for place in range(8):
        since = t - (place + 0.5) * seconds / 8
        total += np.exp(-0.5 * (since / 0.002) ** 2) * np.cos(2 * np.pi * 375 * (place + 1) * since)
    return total


def _note(t: Samples, hertz: list[Any], partials: int = 6) -> Samples:
    """Harmonics of amplitude 1/h that fade by exp(−2h t), h = 1, 2, …"""
    total = np.zeros(len(t))
    for h in range(1, partials + 1):
        for frequency in hertz:
            total += np.sin(2 * np.pi * frequency * h * t) * np.exp(-2 * h * t) / h
    return total
