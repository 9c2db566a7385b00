"""Read a safetensors file tensor by tensor, as float32.

Format: the README of huggingface/safetensors. Its own reader gives NumPy no bfloat16, which most checkpoints are
stored in and which NumPy does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from export.checkpoint import Tensor
from export.errors import CheckpointError
from export.rows import row_chunks

MAX_HEADER_BYTES: Final = 100_000_000
"""The format's own limit."""

_BFLOAT16: Final = "BF16"
_KINDS: Final[Mapping[str, npt.DTypeLike]] = {"F32": "<f4", "F16": "<f2", _BFLOAT16: "<u2"}
"""What is read for each data type; a bfloat16 is the upper half of a float32."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    shape: tuple[int, ...]
    offset_bytes: int


class SafetensorsFile:
    """The tensors of one file.

    Args:
        path: the file; its header is read at once, a tensor when it is asked for.

    Raises:
        CheckpointError: if the file is missing, damaged, or shorter than its header says.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._entries = _read_entries(file, path.stat().st_size)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor, by name."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def load(self, name: str) -> Tensor:
        """One tensor, as float32.

        Raises:
            CheckpointError: if there is none of that name, or it is of a data type that weights do not have.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self._path} has no tensor {name!r}")
        if entry.kind not in _KINDS:
            wanted = ", ".join(_KINDS)
            raise CheckpointError(f"tensor {name!r} of {self._path} is of type {entry.kind!r}, wanted one of {wanted}")
        try:
            return self._read(entry)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"can't read tensor {name!r} of {self._path}: {error}") from error

    def _read(self, entry: _Entry) -> Tensor:
        """In chunks, so that the file's bytes are never in memory whole beside the float32 values."""
        values = np.empty(prod(entry.shape), dtype=np.float32)
        with self._path.open("rb") as file:
            file.seek(entry.offset_bytes)
            for part in row_chunks(values.size, 1):
                raw = np.fromfile(file, dtype=_KINDS[entry.kind], count=part.stop - part.start)
                if entry.kind == _BFLOAT16:
                    raw = (raw.astype(np.uint32) << 16).view(np.float32)
                values[part] = raw
        return values.reshape(entry.shape)


def _read_entries(file: BinaryIO, file_bytes: int) -> dict[str, _Entry]:
    header_bytes = int.from_bytes(file.read(8), "little")
    start = 8 + header_bytes
    if not 2 <= header_bytes <= MAX_HEADER_BYTES or start > file_bytes:
        raise ValueError(f"a header of {header_bytes} bytes in a file of {file_bytes}")
    header: dict[str, Any] = json.loads(file.read(header_bytes))
    header.pop("__metadata__", None)
    return {name: _entry(name, values, start, file_bytes) for name, values in header.items()}


def _entry(name: str, values: Mapping[str, Any], start: int, file_bytes: int) -> _Entry:
    kind, shape = str(values["dtype"]), tuple(int(size) for size in values["shape"])
    first, end = (start + int(offset) for offset in values["data_offsets"])
    if not start <= first <= end <= file_bytes:
        raise ValueError(f"tensor {name!r} lies from byte {first} to {end} of a file of {file_bytes}")
    if kind in _KINDS and end - first != prod(shape) * np.dtype(_KINDS[kind]).itemsize:
        raise ValueError(f"tensor {name!r} of shape {shape} and type {kind} has {end - first} bytes")
    return _Entry(kind, shape, first)
