"""Base classes for plug-ins: encoding, task, metric, network, activation, optimizer, schedule."""

from contextlib import suppress

from pydantic import BaseModel

with suppress(Exception):
    # For its first model, pydantic reads the entry points of all distributions; it raises, only
    # this once, if those of any distribution are unreadable.
    type("_First", (BaseModel,), {})
