"""The built-in encodings, one a file; the file's name is the registered name."""

from collections.abc import Mapping

from encbench import hookimpl


@hookimpl
def encbench_encodings() -> Mapping[str, str]:
    return {
        "identity": "encbench_encodings.identity:Identity",
    }
