"""Alignment of a kernel with a target, the target's energy per eigenvector, and kernel drift."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal, lapack
from torch import Tensor

from encbench.errors import NtkError
from encbench.ntk.flow import Array, as_columns, columns_of
from encbench.ntk.terms import chunks

STRIP = 1024  # rows of a kernel processed together, so that no second matrix is needed
CONSTANT = 1e-12
"""‖HKH‖² / ‖K‖² below which a centred kernel counts as zero: a constant one, but for rounding."""
DRIVER = "stevd" if hasattr(lapack, "dstevd") else "stemr"
"""Divide and conquer (stevd) takes two thirds of the time; SciPy 1.17 has it, 1.15 does not."""


def alignment(kernel: Array, target: Array, *, centred: bool = False) -> float:
    """The kernel-target alignment, in [0, 1] for a positive semi-definite kernel.

    A(K, Y) = <K, Y Yᵀ>_F / (‖K‖_F ‖Y Yᵀ‖_F), for one column yᵀ K y / (‖K‖_F ‖y‖²); 1 if K is a
    multiple of Y Yᵀ. NaN if the kernel or the target is zero (if centred, constant).

    Args:
        kernel: (N, N), or (N·O, N·O) with point n and output a at n·O + a; Y is then one column.
        target: (N,) or (N, O), the values at the kernel's points.
        centred: use H K H and H Y with H = I − 11ᵀ/N for each output: subtract the mean over the
            points from the target and from the kernel's features. Most of an image's energy is
            its mean, and the constant function is close to a leading eigenvector of any kernel.

    Raises:
        NtkError: the shapes do not match.

    Source: Cristianini, Shawe-Taylor, Elisseeff, Kandola, "On Kernel-Target Alignment", NeurIPS
    2001; centred: Cortes, Mohri, Rostamizadeh, "Algorithms for Learning Kernels Based on Centered
    Alignment", JMLR 13, 2012.
    """
    k, y = _matched(kernel, target)
    squared = sum(float(k[rows].square().sum()) for rows in chunks(len(k), STRIP))
    if centred:
        constant = _constants(k, columns_of(target).shape[0])
        y = y - constant @ (constant.T @ y)
        moved = k @ constant
        # ‖HKH‖² without forming HKH
        whole = squared
        squared -= 2 * float(moved.square().sum())
        squared += float((constant.T @ moved).square().sum())
        squared = squared if squared > CONSTANT * whole else 0.0
    norm = math.sqrt(max(squared, 0.0)) * float(torch.linalg.norm(y.T @ y))
    return float((y * (k @ y)).sum()) / norm if norm > 0 else math.nan


def eigenvector_energy(kernel: Array, *values: Array) -> np.ndarray:
    """The share of each function's energy in each eigenvector of a kernel, the leading one first.

    ‖v_iᵀ Y‖² / ‖Y‖², whose cumulative sum over i is the share in the leading k eigenvectors.
    Eigenvectors of eigenvalues below the floor are arbitrary within the space that they span; the
    sum of their shares is not.

    The kernel is reduced to tridiagonal form and the functions are rotated with it; computing only
    that form's eigenvectors takes half the time of computing all eigenvectors of the kernel.

    Args:
        kernel: as in ``alignment``.
        values: functions at the kernel's points, (N,) or (N, O) each.

    Returns:
        (M, functions) for a kernel of M rows, each column summing to 1; NaN for zeros.

    Raises:
        NtkError: the shapes do not match, or the kernel is not finite.
    """
    matched = [_matched(kernel, each)[1] for each in values]
    k = _matched(kernel, values[0])[0].cpu().numpy()
    if not np.isfinite(k).all():
        raise NtkError("the kernel contains NaN or infinity; have the weights diverged?")
    projected = np.square(_projections(k, torch.cat(matched, dim=1).cpu().numpy()))
    widths = np.cumsum([0] + [each.shape[1] for each in matched])[:-1]
    energy = np.add.reduceat(projected, widths, axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(energy / energy.sum(axis=0))


def drift(kernel: Tensor, earlier: Tensor) -> float:
    """Relative change of a kernel (M, M) from an earlier one: ‖K − K'‖_F / ‖K'‖_F.

    The earlier one may be float32, which adds an error of at most 6e-8.

    Source: Fort et al., "Deep learning versus kernel learning", NeurIPS 2020, section 2, measure
    the angle between the two instead.
    """
    moved = kept = 0.0
    for rows in chunks(len(kernel), STRIP):
        before = earlier[rows].to(kernel)
        moved += float((kernel[rows] - before).square().sum())
        kept += float(before.square().sum())
    return math.sqrt(moved / kept) if kept > 0 else math.nan


def _matched(kernel: Array, values: Array) -> tuple[Tensor, Tensor]:
    """A kernel (M, M) and a function as its columns (M, c), float64 and on the kernel's device."""
    k = torch.as_tensor(kernel).detach()
    columns = as_columns(tuple(k.shape), columns_of(values))
    return k.double(), torch.from_numpy(np.ascontiguousarray(columns)).to(k.device)


def _constants(k: Tensor, points: int) -> Tensor:
    """Orthonormal functions (M, M / N) that are constant over the N points of an output."""
    return torch.eye(len(k) // points).to(k).repeat(points, 1) / math.sqrt(points)


def _projections(k: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Vᵀ columns (M, c), for eigenvectors V of k (M, M) in descending order of eigenvalues."""
    size = len(k)
    if size < 3:
        return np.asarray(np.linalg.eigh(k)[1][:, ::-1].T @ columns)
    work = int(lapack.dsytrd_lwork(size, lower=1)[0])
    # the transpose, in LAPACK's order, spares a strided copy
    reflectors, diagonal, off, tau, failed = lapack.dsytrd(k.T, lower=1, lwork=work)
    assert not failed, "all arguments are valid"
    # Q = H_1 ⋯ H_(M−1), and H_i leaves the first i entries as they are
    inner = reflectors[1:, :-1]
    turned = np.array(columns, order="F")
    work = int(lapack.dormqr("L", "T", inner, tau, turned[1:], -1)[1][0])
    turned[1:], _, failed = lapack.dormqr("L", "T", inner, tau, turned[1:], work)
    assert not failed, "all arguments are valid"
    vectors = eigh_tridiagonal(diagonal, off, lapack_driver=DRIVER)[1]
    return np.asarray(vectors[:, ::-1].T @ turned)
