"""The encodings, tasks and suites that this distribution adds to encbench."""

from encbench import hookimpl


@hookimpl
def encbench_tasks():
    return {
        "poisson": "encbench_physics.poisson:Poisson",
        "sdf": "encbench_physics.sdf:SignedDistance",
        "tomography": "encbench_physics.tomography:Tomography",
    }


@hookimpl
def encbench_metrics():
    return {"relative_error": "encbench_physics.relative_error:RelativeError"}
