"""Go through a large array a few rows at a time, so that no step needs a second copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CHUNK_VALUES: Final = 1 << 22
"""Values that are worked on at once: 16 MiB as float32, small beside a large tensor, large beside a call."""


def row_chunks(rows: int, row_values: int) -> Iterator[slice]:
    """Slices that cover ``rows`` rows in order, each of about :data:`CHUNK_VALUES` values and at least one row."""
    step = max(1, CHUNK_VALUES // max(1, row_values))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
