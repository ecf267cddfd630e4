"""Sounds: WAV files, and built-in ones made on the spot."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly

from encbench import DataError, ParameterError
from encbench.errors import did_you_mean
from encbench_tasks._split import GRID_USES, settled

Samples = NDArray[np.float64]
HIGHEST = {"chirp": 3000, "chord": 2352, "clicks": 3300, "melody": 2617}
"""Built-in sounds, and their highest frequency [Hz]."""
RATE, DURATION = 8000, 1.0
"""Of built-in sounds, unless given."""
NOTES = {"c": 261.63, "e": 329.63, "g": 392.0, "c'": 523.25}
"""Frequencies [Hz], equal temperament."""
MOST_SAMPLES = 1 << 22


def complete_sound(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the task with those of a built-in sound filled in, and those of its split
    settled.

    Raises:
        ParameterError: a parameter is out of its range, or is given and has no effect.
    """
    found = settled("audio", parameters, GRID_USES)
    found = {name: value for name, value in found.items() if value is not None}
    sound = found.setdefault("sound", "chirp")
    rate, duration = found.get("rate", 1), found.get("duration", 1.0)
    if rate < 1 or not 0 < duration < np.inf or found.get("start", 0) < 0:
        raise _refused(
            f"rate must be at least 1 Hz, duration above 0 s and start at least 0 s, got {rate}, "
            f"{duration} and {found.get('start', 0)}"
        )
    if sound not in HIGHEST:
        return found
    for name in ("start", "channel"):
        if name in found:
            raise _refused(
                f"{name}={found[name]} has no effect with the built-in sound {sound!r}; leave it "
                "out, or give a WAV file"
            )
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
        path = wav_path(sound)
        found, channels = read_wav(path)
        rate = parts.get("rate", found)
        mono = _cut(path, _one_channel(path, channels, parts.get("channel")), found, parts)
        _counted(sound, len(mono) * rate // found)
        common = gcd(rate, found)
        # else the ends, which silence is taken to follow, would ring
        samples = resample_poly(mono, rate // common, found // common, padtype="line")
    peak = np.abs(samples).max()
    if not peak:
        raise DataError(
            f"{sound}: silent where it is taken: all samples are 0; give another file, start, "
            "duration or channel"
        )
    return rate, samples / peak


def wav_path(sound: str) -> Path:
    """Of a sound that is not built in; ``~`` is the user's home."""
    try:
        return Path(sound).expanduser()
    except RuntimeError:  # "~somebody" who has no home here is a file's name
        return Path(sound)


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
        DataError: there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"no sound {str(path)!r}: neither a file nor built in"
            + did_you_mean(path.name, HIGHEST, f"built in: {', '.join(HIGHEST)}")
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; give the path of a WAV file"
        ) from None


def read_wav(path: Path) -> tuple[int, Samples]:
    """Sample rate [Hz] and samples (N, C) as they are in the file, but that 8-bit ones, which are
    unsigned, have their middle at 0.

    Integers of 8 to 64 bits, 24 among them, and floats.

    Raises:
        DataError: the file is missing, or is no whole WAV file of such samples.
    """
    content = sound_bytes(path)
    if not content:
        raise DataError(f"{path}: an empty file, of 0 bytes; give a WAV file that holds a sound")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are no sound
            warnings.filterwarnings("error", "Reached EOF prematurely")
            rate, samples = wavfile.read(BytesIO(content))
    # the reader answers damaged files with anything from ValueError to ZeroDivisionError
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
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
    if not np.isfinite(values).all():
        raise DataError(f"{path}: has samples that are not finite; repair the file")
    return rate, values - 128 if samples.dtype == np.uint8 else values


def _one_channel(path: Path, channels: Samples, channel: int | None) -> Samples:
    count = channels.shape[1]
    if channel is not None and not 0 <= channel < count:
        raise DataError(
            f"{path}: channel={channel} of a file of {count}; give 0 to {count - 1}, or leave it "
            "out for the mean"
        )
    return channels.mean(axis=1) if channel is None else channels[:, channel]


def _cut(path: Path, mono: Samples, rate: int, parts: Mapping[str, Any]) -> Samples:
    start, end = parts.get("start", 0.0), len(mono) / rate
    duration = parts.get("duration", end - start)
    first, last = round(start * rate), round((start + duration) * rate)
    if last > len(mono) or first >= last:
        length = f" and duration={duration:g}" if "duration" in parts else ""
        raise DataError(
            f"{path}: lasts {end:g} s, but start={start:g}{length} was asked for; give less"
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
