"""``encbench data``: fetch meshes and LPIPS, and export meshes that networks learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import encbench
from encbench import DataError, UsageError
from encbench.errors import check_writable, writes_to

FORMATS = (".ply", ".glb", ".obj", ".stl", ".off")


def data(
    action: Annotated[Literal["list", "fetch", "export-mesh"], typer.Argument(help="What to do.")],
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="fetch: names of meshes, or lpips. export-mesh: a results folder, and the "
            "beginning of a record's key.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Mesh file to write.", show_default=False),
    ] = None,
) -> None:
    """Fetch meshes and LPIPS; export meshes.

    Downloads meshes to train on, and the weights of LPIPS, to $ENCBENCH_CACHE or the user's cache
    folder; no other verb downloads anything. Exports learned meshes. Meshes of the Stanford 3D
    Scanning Repository are free for research, with credit to the Stanford Computer Graphics
    Laboratory.

    \b
    Examples:
      encbench data list
      encbench data fetch stanford-dragon
      encbench data fetch lpips
      encbench run -t occupancy:mesh=stanford-dragon
      encbench data export-mesh results/mine 3fa1 -o dragon.ply
    """
    # imported here: torch and mesh readers take seconds to import, for every verb's --help
    from encbench.metrics.lpips import fetch_weights
    from encbench_tasks._occupancy.sources import MESHES, fetch, fetched_path

    words = what or []
    if action == "list" and words:
        raise UsageError(f"list takes no names, got {' '.join(words)}; leave them out")
    if action != "export-mesh" and output is not None:
        raise UsageError(f"-o {output}: only export-mesh writes a file; leave -o out")
    if action == "list":
        for name, mesh in MESHES.items():
            path = fetched_path(name)
            typer.echo(f"{name:20} {path if path.exists() else f'not here ({mesh.size})'}")
        typer.echo(f"{'lpips':20} AlexNet's weights, which the metric LPIPS needs (244 MB)")
    elif action == "fetch":
        if not words:
            raise UsageError("fetch needs names; `encbench data list` lists them")
        for name in words:
            typer.echo(fetch_weights() if name == "lpips" else fetch(name))
    else:
        if len(words) != 2 or output is None:
            raise UsageError(
                "export-mesh needs a results folder, a record's key and -o FILE, such as "
                "`encbench data export-mesh results/mine 3fa1 -o mesh.ply`"
            )
        _export(Path(words[0]), words[1], output)


def _export(directory: Path, key: str, output: Path) -> None:
    import trimesh

    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"-o {output}: a mesh's name ends in {' '.join(FORMATS)}")
    check_writable(output)
    found = [s for s in encbench.Store(directory).records() if s.record.key.startswith(key)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} records of {directory} begin with {key!r}; `encbench show {directory}` "
            "lists them"
        )
    arrays = found[0].arrays
    if "mesh_vertices" not in arrays:
        raise DataError(
            f"record {found[0].record.key} holds no mesh; only cells of occupancy and sdf have one"
        )
    mesh = trimesh.Trimesh(arrays["mesh_vertices"], arrays["mesh_faces"], process=False)
    with writes_to(output):
        mesh.export(output)
    typer.echo(f"{output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
