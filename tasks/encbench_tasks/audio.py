"""Sounds: a network that maps time to amplitude."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from encbench import Outcome
from encbench.contracts.task import Predict
from encbench.metrics.log_spectral_distance import FLOOR, log_spectrogram
from encbench.metrics.snr import snr
from encbench_tasks._grid_task import GridTask
from encbench_tasks._pixels import Pixels
from encbench_tasks._sounds import HIGHEST, complete_sound, sound_bytes, wav_path, waveform
from encbench_tasks._split import Split

FORMULAS = 1
"""Part of the data hash: to be raised where a built-in sound is changed."""
TIME = "time [s]"
CLOSE_UP, COLUMNS = 400, 512
"""Samples of the drawn excerpt; frames of a drawn spectrogram, about."""


class AudioTask(GridTask):
    """Regress a mono sound: time in [0, 1] to amplitude in [−1, 1].

    Sample i of N is at x = (i + ½)/N. The amplitude is divided by its largest absolute value
    within the excerpt, as in SIREN's audio experiment; its mean is left as it is. A WAV file of
    several channels becomes their mean, as there, unless ``channel`` names one. Every sample is
    trained on unless ``split`` holds some out; entries are then ranked by SNR at those.

    Built-in sounds, whose frequencies are those of the sound and not of x:

    - chirp: the frequency grows linearly from 100 to 3000 Hz.
    - chord: C, E and G (262, 330, 392 Hz), six harmonics each, which fade.
    - melody: C, E, G, C one after the other, five harmonics each.
    - clicks: eight Gaussian bursts of 2 ms at 375, 750, …, 3000 Hz.

    Args:
        sound: a built-in sound's name, or the path of a WAV file: integers of 8, 16, 24 or 32
            bits, or floats. A built-in's name takes precedence over a file's: write ``./chirp``.
        rate: samples per second [Hz]; a file is resampled by a polyphase filter. Unless given
            8000, or a file's own.
        duration: length in seconds; default 1, or all of a file.
        start: start of the excerpt of a file, in seconds.
        channel: channel of a file, counted from 0.
        split: which samples are trained on. "all"; "checker": every second one; "random": a
            fraction of them; "grid": every ``stride``-th.
        fraction: part of the samples that is trained on, with split "random"; default 0.5.
        stride: with split "grid"; default 2.
        split_seed: draws the samples of split "random", and the noise; default 0.
        noise: standard deviation of Gaussian noise on the values trained on, not clipped.

    Raises:
        DataError: the file is missing, damaged, silent or too short, or the split leaves no
            sample to train on or to hold out.
        ParameterError: a parameter is out of its range, or has no effect.
    """

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
            Annotated[int, Field(ge=1)] | None,
            Field(description="samples per second; default 8000, or a file's own"),
        ] = None,
        duration: Annotated[
            Annotated[float, Field(gt=0)] | None,
            Field(description="seconds; default 1, or all of a file"),
        ] = None,
        start: Annotated[
            Annotated[float, Field(ge=0)] | None,
            Field(description="start of a file's excerpt, in seconds"),
        ] = None,
        channel: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="channel of a file, from 0; default: the mean of all"),
        ] = None,
        split: Annotated[Split, Field(description="which samples are trained on")] = "all",
        fraction: Annotated[
            Annotated[float, Field(gt=0, lt=1)] | None,
            Field(description="part of the samples trained on, with split=random; default 0.5"),
        ] = None,
        stride: Annotated[
            Annotated[int, Field(ge=2)] | None,
            Field(description="step in samples, with split=grid; default 2"),
        ] = None,
        split_seed: Annotated[
            Annotated[int, Field(ge=0)] | None,
            Field(description="seed of the samples of split=random and of noise; default 0"),
        ] = None,
        noise: Annotated[
            float, Field(ge=0, le=1e6, description="σ of Gaussian noise on the values trained on")
        ] = 0.0,
    ) -> None:
        given = {"sound": sound, "rate": rate, "duration": duration, "start": start}
        held_out = {"split": split, "fraction": fraction, "stride": stride, "noise": noise}
        parts = complete_sound({**given, **held_out, "channel": channel, "split_seed": split_seed})
        self.rate, samples = waveform(parts)
        self.keep(samples.astype(np.float32)[:, None], parts)
        self.curve = "snr" if self.trained.all() else "snr_held_out"

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        """These parameters, those of a built-in sound filled in.

        Raises:
            ParameterError: a parameter is out of its range, or has no effect.
        """
        return [complete_sound(parameters)]

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        """SHA-256 of the WAV file's bytes, or of what decides a built-in sound.

        Raises:
            DataError: the file cannot be read.
        """
        parts = complete_sound(parameters)
        if parts["sound"] not in HIGHEST:
            return hashlib.sha256(sound_bytes(wav_path(parts["sound"]))).hexdigest()
        made = {name: parts[name] for name in ("sound", "rate", "duration")}
        return hashlib.sha256(json.dumps(["audio", FORMULAS, made]).encode()).hexdigest()

    def progress_metric(self, predict: Predict) -> float:
        """SNR [dB] at fixed samples, of those held out if any are; nan if not finite."""
        return snr(_clamped(predict(self._progress_x)), self.truth[self._progress])

    def evaluate(self, predict: Predict) -> Outcome:
        """The prediction, clamped to [−1, 1], beside the sound: waveform, a close-up of its middle
        where it is long, and spectrograms.

        The pictures are power in dB over time, to the right, and frequency, upwards to half of the
        sample rate, in the colour map magma: black is −80 dB or less, its brightest colour 0 dB,
        the peak of a sine of amplitude 1. "error" is the spectrogram of the difference. With a
        split SNR is over the samples trained on, SNR held out over the others, log-spectral
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
        baselines = {name: self.compared(values) for name, values in self.without_network.items()}
        return Outcome(
            self.compared(prediction),
            pictures,
            baselines=baselines,
            lines=lines,
            line_titles=titles,
        )

    def compared(self, values: Pixels) -> dict[str, tuple[Any, Any]]:
        comparisons = {"audio": (values, self.truth)}
        if not self.trained.all():
            comparisons["snr"] = values[self.trained], self.truth[self.trained]
            comparisons["held_out_audio"] = values[~self.trained], self.truth[~self.trained]
        return comparisons

    @cached_property
    def without_network(self) -> dict[str, Pixels]:
        """What linear interpolation makes of the samples trained on, or the noisy ones."""
        if self.trained.all():
            noisy = {self.noisy: np.clip(self.given, -1, 1)}
            return noisy if self.given is not self.truth else {}
        x, known = self.centres[:, 0].numpy(), np.clip(self.given[self.trained, 0], -1, 1)
        between = np.interp(x, x[self.trained], known)
        return {"linear interpolation": between.astype(np.float32)[:, None]}


def _clamped(prediction: Any) -> Pixels:
    """Within [−1, 1]; nan where it is not finite."""
    raw = prediction.detach().cpu().numpy()
    return np.where(np.isfinite(raw), np.clip(raw, -1, 1), np.nan).astype(np.float32)


def _picture(samples: Pixels) -> NDArray[np.uint8]:
    """Spectrogram of samples (N, 1); their number decides the window, a power of two."""
    window = min(len(samples), 1024, 2 ** int(np.ceil(np.log2(4 * len(samples) ** 0.5))))
    found = log_spectrogram(samples[:, 0], window, max(1, len(samples) // COLUMNS))[::-1]
    bright = np.nan_to_num(1 - found / FLOOR, nan=1.0)
    from matplotlib import colormaps  # half a second, which planning does without

    return np.ascontiguousarray(colormaps["magma"](bright, bytes=True)[..., :3])
