"""What this distribution offers to encbench; the encoding itself is imported when it is used."""

from encbench import hookimpl


@hookimpl
def encbench_encodings():
    return {"sawtooth": "encbench_sawtooth.sawtooth:Sawtooth"}
