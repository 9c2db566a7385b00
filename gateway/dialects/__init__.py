"""The dialects by name: ``gateway.dialects.<name>`` has a function ``dialect(flavour)``."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from gateway.dialects.base import Dialect, Flavour


@cache
def load_dialect(name: str, flavour: Flavour) -> Dialect | None:
    """The dialect ``name``, imported on first use; None if this gateway has no such module."""
    module = f"gateway.dialects.{name}"
    if find_spec(module) is None:
        return None
    made: Dialect = import_module(module).dialect(flavour)
    return made
