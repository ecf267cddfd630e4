"""The built-in tasks, one a file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_tasks() -> Mapping[str, str]:
    return {
        "image": "encbench_tasks.image:ImageTask",
        "occupancy": "encbench_tasks.occupancy:OccupancyTask",
        "pde": "encbench_tasks.pde:PdeTask",
        "sdf": "encbench_tasks.sdf:SdfTask",
        "signal": "encbench_tasks.signal:SignalTask",
    }


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {"data": "encbench_tasks.data:data"}
