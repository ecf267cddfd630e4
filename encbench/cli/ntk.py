"""``encbench ntk``: NTK spectra at initialization."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from encbench.cli.console import (
    check_picture,
    literal,
    literal_label,
    output_console,
    plain_table,
    print_line,
    write_json,
)
from encbench.cli.options import (
    Device,
    HiddenDepth,
    HiddenWidth,
    ParameterizationText,
    asked_changes,
)
from encbench.errors import UsageError, check_writable
from encbench.plugins.registry import default_registry
from encbench.suite.config import CellConfig
from encbench.suite.file import override
from encbench.suite.protocol import networks_in_words

if TYPE_CHECKING:
    from encbench.results.kernel_summary import SplitSummary

    # these import torch, which `encbench ntk --help` does not need
    from encbench.runs.analysis import Initial

THRESHOLDS = (1e-2, 1e-4, 1e-6, 1e-8)
"""Fractions of λ_max above which the matrix-free estimate counts eigenvalues."""

SPLIT = (
    "Split: K is the sum of the network's part and of a part K_l per level (or feature). The share "
    "of a part in λ_i is v_iᵀ K_l v_i / λ_i; the table shows its mean over λ_i above the floor."
)


def ntk(
    encoding: Annotated[
        list[str] | None,
        typer.Option("-e", "--encoding", help="NAME or NAME:KEY=VALUE,…; repeatable."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("-t", "--task", help="Task whose points are used; repeatable."),
    ] = None,
    points: Annotated[
        str, typer.Option("-n", "--points", help='Number of random points, or "all".')
    ] = "1024",
    outputs: Annotated[
        Literal["trace", "full"],
        typer.Option(help="trace: mean over the O outputs, N × N; full: the NO × NO kernel."),
    ] = "trace",
    matrix_free: Annotated[
        bool,
        typer.Option(
            "--matrix-free", help="Estimate λ_max and counts without forming the kernel, any N."
        ),
    ] = False,
    split: Annotated[
        Literal["none", "level", "feature"],
        typer.Option(help="Also show what each level or feature of an encoding contributes."),
    ] = "none",
    width: HiddenWidth = None,
    depth: HiddenDepth = None,
    parameterization: ParameterizationText = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and points.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all.")] = None,
    device: Device = "auto",
    plot: Annotated[
        Path | None, typer.Option(help="Draw the spectra to this file, PNG or PDF.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write everything to this JSON file.")
    ] = None,
) -> None:
    """Compute NTK spectra at initialization.

    Computes the exact kernel in float64, its eigenvalues, the floor below which they are noise, and
    the critical learning rate. Without -e or -t, those of the quick suite are used.

    \b
    Examples:
      encbench ntk -e identity -e ffe:levels=8 -e 'mpe:resolutions=[96]' -t image:image=astronaut
      encbench ntk -n 4096 --plot spectra.png -o spectra.json
      encbench ntk -e hashgrid -n 65536 --matrix-free
      encbench ntk -e 'mpe:resolutions=[8,32]' -t image -n 256 --split level --plot levels.png
    """
    import torch  # takes seconds; `encbench ntk --help` does not need it

    from encbench.device import resolve_device
    from encbench.runs.analysis import at_initialization
    from encbench.runs.interface import check_threads

    count: int | Literal["all"] = "all" if points == "all" else _count(points)
    if plot is not None and matrix_free:
        raise UsageError("--matrix-free has no whole spectrum to plot; leave out one of the two")
    if split != "none" and matrix_free:
        raise UsageError("--split takes eigenvectors of the kernel; leave out --matrix-free")
    if plot is not None:
        check_picture(plot)
    check_writable(output)
    registry = default_registry()
    changes = asked_changes(
        network={"width": width, "depth": depth, "parameterization": parameterization},
        # any rate will do, since nothing is trained
        training={"lr": 1.0},
    )
    suite = override(None, changes, registry, encodings=encoding, tasks=task, seeds=[seed])
    if threads is not None:
        check_threads(threads)
        torch.set_num_threads(threads)
    console, errors = output_console(), Console(stderr=True)
    found: list[Initial] = []
    cells: list[CellConfig] = []
    with errors.status("") as status:
        for cell, measure in at_initialization(
            suite,
            registry,
            count,
            outputs,
            resolve_device(device),
            matrix_free=matrix_free,
            split=split,
        ):
            what = f"{cell.task.label} × {cell.encoding.label}, {points} points"
            if errors.is_terminal:
                status.update(literal(what))
            else:
                print_line(errors, f"started   {what}")
            found.append(measure())
            cells.append(cell)
    for name in dict.fromkeys(item.task for item in found):
        of_task = [item for item in found if item.task == name]
        console.print(literal(f"\n{name}"))
        console.print(_counts(of_task) if matrix_free else _spectra(of_task, console.width))
        for item in of_task:
            if (summary := item.summary) and summary.split:
                why_not = f": {summary.split.not_computed}" if summary.split.not_computed else ""
                console.print(literal(f"\n{item.encoding}{why_not}"))
                if summary.split.parts:
                    console.print(_split(summary.split))
    networks = networks_in_words(cells)
    console.print(_legend(found, networks, matrix_free), highlight=False)
    if split != "none":
        console.print(SPLIT, highlight=False)
    if output is not None:
        write_json(output, [item.data() for item in found])
    if plot is not None:
        from encbench.cli.spectra_pictures import plot_levels, plot_spectra  # matplotlib

        (plot_spectra if split == "none" else plot_levels)(plot, found)
        console.print(f"plot: {plot}", highlight=False)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f'--points must be at least 1, or "all", got {text}')
    return int(text)


def _spectra(found: list[Initial], width: int) -> Table:
    titles = ["λ_max", "median", "λ_min", "floor", "resolved", "effective", "lr_crit"]
    timed = width >= 90  # the seconds do not fit in 80 characters
    table = _table(*titles, *["s"] * timed)
    for item in found:
        summary = item.summary
        assert summary is not None
        table.add_row(
            literal_label(item.encoding),
            f"{summary.maximum:.3g}",
            _value(summary.median),
            _value(summary.minimum),
            f"{summary.floor:.1e}",
            f"{summary.resolved_rank}/{summary.size}",
            "–" if math.isnan(summary.effective_rank) else f"{summary.effective_rank:.1f}",
            "–" if item.critical is None else f"{item.critical:.3g}",
            *[f"{summary.seconds:.2f}"] * timed,
        )
    return table


def _split(split: SplitSummary) -> Table:
    numbers = ("of the trace", "of each λ_i")
    table = plain_table("part", *numbers, numbers=numbers)
    table.columns[0].min_width = 18
    for part in split.parts:
        mean = "–" if part.mean is None else f"{part.mean:.2%}"
        table.add_row(literal(part.name), f"{part.trace:.2%}", mean)
    return table


def _counts(found: list[Initial]) -> Table:
    table = _table("λ_max", *(f"> {threshold:.0e}" for threshold in THRESHOLDS), "trace", "s")
    for item in found:
        density, leading = item.density, item.leading
        assert density is not None
        assert leading is not None
        largest = float(leading.values[0])
        counts = [density.count_above(threshold * largest) for threshold in THRESHOLDS]
        trace, error = density.trace()
        table.add_row(
            literal_label(item.encoding),
            f"{largest:.4g}",
            *(f"{count:,.0f} ± {spread:,.0f}" for count, spread in counts),
            f"{trace:.4g} ± {error:.1g}",
            f"{item.seconds:.1f}",
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("encoding", overflow="fold", min_width=16)
    for column in columns:
        # without no_wrap, for which rich would leave the encodings no room in narrow terminals
        table.add_column(column, justify="right", overflow="fold")
    return table


def _value(value: float | None) -> str:
    return "≤ floor" if value is None else f"{value:.3g}"


def _legend(found: list[Initial], networks: str, matrix_free: bool) -> str:
    sizes = ", ".join(sorted({f"{item.points:,}" for item in found}))
    kernel = found[0].outputs
    if matrix_free:
        return (
            f"\n{kernel} kernel of {sizes} points, {networks}; never formed: leading eigenvalue "
            "by Lanczos, numbers of eigenvalues above fractions of it by stochastic Lanczos "
            "quadrature, ± one standard error over start vectors plus a bound of the quadrature's "
            "error; trace ± one standard error. Eigenvalues below 1e-9 λ_max are not resolved."
        )
    some = any(item.summary and item.summary.method.startswith("ARPACK") for item in found)
    unknown = any(item.critical is None for item in found)
    below = "rounding noise or, with ARPACK, not computed" if some else "rounding noise"
    return (
        f"\n{kernel} kernel of {sizes} points at initialization, {networks}. Eigenvalues below the "
        f"floor are {below}. Below lr_crit full-batch gradient descent on the linearized model is "
        f"stable{'; –: not known for this loss' if unknown else ''}."
    )
