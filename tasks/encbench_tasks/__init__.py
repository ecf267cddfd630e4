"""The built-in tasks, one per file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_tasks() -> Mapping[str, str]:
    return {
        "audio": "encbench_tasks.audio:AudioTask",
        "ct": "encbench_tasks.ct:CtTask",
        "image": "encbench_tasks.image:ImageTask",
        "occupancy": "encbench_tasks.occupancy:OccupancyTask",
        "pde": "encbench_tasks.pde:PdeTask",
        "sdf": "encbench_tasks.sdf:SdfTask",
        "signal": "encbench_tasks.signal:SignalTask",
        "video": "encbench_tasks.video:VideoTask",
    }


@hookimpl
def encbench_commands() -> Mapping[str, str]:
    return {"data": "encbench_tasks.data:data"}
