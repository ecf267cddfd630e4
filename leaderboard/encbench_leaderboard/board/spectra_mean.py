"""Average the spectra of several networks: their geometric mean over a common index.

from encbench_leaderboard.board.spectra_mean import mean_spectrum

records = Store("results").records()
curve = mean_spectrum(
    [(r.arrays["spectrum_end"], r.record.spectra[-1].floor) for r in records],
    groups=[r.task_label for r in records],
)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from encbench.results.kernel_summary import SpectrumSummary

LENGTH = 8000
"""Number of values to which the paper resamples spectra before averaging."""


def floor_of(summary: SpectrumSummary, values: np.ndarray, part: str) -> float:
    """Floor of one part's eigenvalues (M,); ``part`` is "" for the whole kernel."""
    if not part:
        return summary.floor
    if summary.mlp is not None:
        return summary.mlp.floor
    # The part's λ_max is at most the kernel's, so the kernel's floor is a safe choice, unless the
    # part's most negative eigenvalue shows more noise.
    return max(summary.floor, -10 * float(np.nanmin(values)))


def resolved(eigenvalues: np.ndarray, floor: float) -> np.ndarray:
    """The eigenvalues of (M,) above the floor, descending; the others are rounding noise."""
    above = eigenvalues[np.isfinite(eigenvalues) & (eigenvalues > max(floor, 0.0))]
    return np.sort(above)[::-1]


@dataclass(frozen=True)
class MeanSpectrum:
    """Mean of several spectra at L places, from the largest eigenvalue to the smallest."""

    place: np.ndarray
    """(L,) in [0, 1]: index of the eigenvalue, counted from 0, divided by the kernel's size − 1."""
    mean: np.ndarray
    """(L,) geometric mean: an upper bound if some values are below their floor, NaN if fewer than
    half are resolved."""
    low: np.ndarray
    high: np.ndarray  # (L,) 10th and 90th percentile over groups; bounds and NaN as in ``mean``
    resolved: np.ndarray
    """(L,) mean over groups of the share of a group's spectra that is above the floor there."""
    below: float  # share of all eigenvalues below their floor
    groups: int  # number of groups

    @property
    def bounded(self) -> np.ndarray:
        """(L,) bool: whether the mean is an upper bound because some values are below the floor."""
        bounded: np.ndarray = ~np.isnan(self.mean) & (self.resolved < 1)
        return bounded


def mean_spectrum(
    spectra: Iterable[tuple[np.ndarray, float]],
    groups: Sequence[Hashable] | None = None,
    *,
    length: int = LENGTH,
) -> MeanSpectrum:
    """Resample spectra to a common length L and average them.

    The logarithm of each spectrum is interpolated linearly in the index over the eigenvalues above
    its floor; the first place is the largest eigenvalue, the last one the smallest. Means and
    percentiles are those of logarithms, since eigenvalues span decades. Eigenvalues below the
    floor count as the floor: leaving them out would raise the mean, and this upper bound does not
    depend on rounding noise. The result is NaN where fewer than half are resolved.
    Eigenvalues grow with the size of the kernel: means over sizes compare shapes, as in the paper.

    Args:
        spectra: eigenvalues (M,), M >= 1, in any order, and the floor of each, >= 0.
        groups: what each spectrum belongs to, such as its image. Spectra of one group are
            averaged first; the percentiles are over groups. None: each spectrum is a group.
        length: L, at least 2.

    Raises:
        ValueError: there is no spectrum; one is empty, or has a floor of 0 and an eigenvalue that
            is not positive; the length is below 2; or the numbers of groups and spectra differ.
    """
    if length < 2:
        raise ValueError(f"length must be at least 2, got {length}; the paper's is {LENGTH}")
    place = np.linspace(0.0, 1.0, length)
    rows, masks, size, below = [], [], 0, 0
    for eigenvalues, floor in spectra:
        above = resolved(np.asarray(eigenvalues, dtype=np.float64), floor)
        if not len(eigenvalues) or (floor <= 0 and len(above) < len(eigenvalues)):
            raise ValueError(
                f"a spectrum has {len(eigenvalues)} eigenvalues, {len(above)} above its floor "
                f"{floor:g}; expected at least one, and a positive floor unless all are positive"
            )
        row, mask = _resampled(above, len(eigenvalues), floor, place)
        rows.append(row)
        masks.append(mask)
        size += len(eigenvalues)
        below += len(eigenvalues) - len(above)
    if not rows:
        raise ValueError("no spectrum to average; give at least one")
    names = list(range(len(rows))) if groups is None else list(groups)
    if len(names) != len(rows):
        raise ValueError(f"{len(rows)} spectra but {len(names)} groups; give one for each")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    member = np.zeros((len(numbers), len(rows)))
    member[[numbers[name] for name in names], np.arange(len(rows))] = 1.0
    member /= member.sum(axis=1, keepdims=True)
    logs = member @ np.array(rows)  # (groups, L)
    # exactly 1 if all are resolved, since a sum of weights may miss 1 by rounding (see ``bounded``)
    counted = np.array(masks).all(axis=0)
    share = np.where(counted, 1.0, (member @ np.array(masks, dtype=np.float64)).mean(axis=0))
    unknown = share < 0.5 - 1e-12
    low, high = np.quantile(logs, (0.1, 0.9), axis=0)
    mean, low, high = (np.where(unknown, np.nan, np.exp(x)) for x in (logs.mean(axis=0), low, high))
    return MeanSpectrum(place, mean, low, high, share, below / size, len(numbers))


def _resampled(
    above: np.ndarray, size: int, floor: float, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log λ (L,) at the places, log floor where not resolved; and (L,) bool, whether resolved."""
    if not len(above):
        return np.full(len(place), np.log(floor)), np.zeros(len(place), dtype=bool)
    index = place * (size - 1)
    known = index <= len(above) - 1 + 1e-9 * size
    values = np.interp(index, np.arange(len(above)), np.log(above))
    return np.where(known, values, np.log(floor) if floor > 0 else np.nan), known
