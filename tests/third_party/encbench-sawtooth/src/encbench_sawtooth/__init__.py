"""The encoding that this distribution adds to encbench; it is imported only when it is used."""

from encbench import hookimpl


@hookimpl
def encbench_encodings():
    return {"sawtooth": "encbench_sawtooth.sawtooth:Sawtooth"}
