"""``encbench render``: draw a recorded network at any resolution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from encbench.cli.console import check_picture, output_console, write_picture
from encbench.cli.options import Device, RecordKey, RecordPlace
from encbench.cli.record_arguments import one_record
from encbench.errors import PluginError, UsageError
from encbench.plugins.registry import default_registry

CURVE_POINTS = 1000
"""Number of points of a curve at scale 1."""
MOST_POINTS = 1_000_000


def render(
    where: RecordPlace,
    key: RecordKey = None,
    scale: Annotated[
        float,
        typer.Option(min=1e-3, max=1e6, help="Pixels per side, as a multiple of the record's."),
    ] = 1.0,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="PNG to write; for a curve, also SVG or PDF.")
    ] = Path("render.png"),
    device: Device = "auto",
) -> None:
    """Draw a trained network at any resolution.

    Needs the weights that `encbench run --save-weights` keeps, and the record's versions of the
    plug-ins. An image is predicted at the centres of its pixels; a solid is drawn as normals above
    depth, a function of one variable as a curve.

    \b
    Examples:
      encbench run -e siren -t image:side=128 --save-weights -o results/mine
      encbench render results/mine 3fa1 --scale 4 -o big.png
    """
    # these import torch, which `encbench render --help` does not need
    import numpy as np
    import torch
    from PIL import Image

    from encbench.contracts.outcome import is_picture
    from encbench.contracts.task import outcome_of
    from encbench.device import resolve_device
    from encbench.runs.parts import build_task
    from encbench.runs.weights import load_model
    from encbench.training.loop import predictor

    check_picture(output)
    stored, registry = one_record(where, key), default_registry()
    model = load_model(stored, registry=registry)
    cell = stored.record.cell
    task = build_task(cell, registry)
    offer = registry.find("task", cell.task.qualified)
    predict = predictor(model.to(resolve_device(device)), task)
    if task.in_dim == 1:
        points = max(2, round(CURVE_POINTS * scale))
        if points > MOST_POINTS:
            raise UsageError(
                f"--scale {scale:g}: a curve of {points:,} points, at most {MOST_POINTS:,}"
            )
        x = torch.linspace(0, 1, points, dtype=torch.float64)[:, None]
        lines = offer.call(lambda cls: outcome_of(task, predict)).lines
        drawing = _curve(x[:, 0].numpy(), predict(x).numpy(), lines, cell.label)
        write_picture(drawing.savefig, output)
    else:
        if output.suffix.lower() != ".png":
            raise UsageError(f"-o {output}: a picture is written as PNG; give a name with .png")

        def drawn(cls: type) -> Any:
            try:
                return task.render(predict, scale)
            except NotImplementedError:
                raise UsageError(
                    f"{offer} draws no picture: its class has no method render(self, predict, "
                    "scale)"
                ) from None

        picture = offer.call(drawn)
        if not isinstance(picture, np.ndarray) or not is_picture(picture):
            raise PluginError(f"{offer}: render gave no uint8 array (H, W) or (H, W, 3 or 4)")
        write_picture(Image.fromarray(picture).save, output)
    output_console().print(f"picture: {output}", highlight=False)


def _curve(x: Any, values: Any, lines: Mapping[str, tuple[Any, Any, Any]], title: str) -> Any:
    """Plot a network of one variable, values (N, O) over x (N,), and the true lines of the task."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 4), layout="constrained", dpi=150)
    axes = drawing.subplots()
    for name, (at, _, truth) in lines.items():
        axes.plot(at, truth, color="#555555", linewidth=3, alpha=0.5, label=f"{name}, truth")
    axes.plot(x, values, linewidth=1.5, label="network")
    axes.set_xlabel("x")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    axes.set_title(title, fontsize="medium")
    return drawing
