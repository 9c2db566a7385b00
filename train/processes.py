"""The processes that train together: one, or as many as ``accelerate launch`` or ``torchrun`` started."""

from __future__ import annotations

from accelerate import PartialState
from torch import cuda


def processes() -> PartialState:
    """This process among them, on accelerators where there are any, as the Trainer will see it."""
    return PartialState(cpu=not cuda.is_available())
