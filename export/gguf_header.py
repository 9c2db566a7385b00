"""The header of a GGUF file: its metadata, and where each tensor's bytes are (format: docs/gguf.md of ggml).

gguf's own ``GGUFReader`` makes an array of every string, which takes 16 s and 700 MB for 262,144 tokens; this takes
less than a second.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from export.errors import CheckpointError

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_DEFAULT_ALIGNMENT_BYTES: Final = 32

_FORMATS: Final = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor is.

    Attributes:
        shape: rows first.
        kind: how it is quantised.
        offset_bytes: from the beginning of the file.
        row_bytes: of one row, the innermost dimension.
    """

    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset_bytes: int
    row_bytes: int

    @property
    def rows(self) -> int:
        """Of how many rows the tensor is, all outer dimensions together; a vector is one."""
        return int(np.prod(self.shape[:-1], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF says before its tensors.

    Attributes:
        metadata: by key.
        tensors: by name, in the file's order.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]


def read_header(path: Path) -> GgufHeader:
    """Read a file's header.

    Raises:
        CheckpointError: if the file is missing, no little-endian GGUF of version 2 or 3, or shorter than it says.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Parser(data).header()
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, struct.error) as error:
        raise CheckpointError(f"{path} is not a readable GGUF file: {error}") from error


class _Parser:
    """Reads on from where it stands; the end of the file is a ``struct.error`` or ``ValueError``."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def header(self) -> GgufHeader:
        if (magic := self._bytes(4)) != _MAGIC:
            raise ValueError(f"it begins with {magic!r}, wanted {_MAGIC!r}")
        if (version := self._number("I")) not in _VERSIONS:
            raise ValueError(f"it is of version {version}, wanted one of {_VERSIONS}")
        tensor_count, key_count = self._number("Q"), self._number("Q")
        metadata = {self._text(): self._value(GGUFValueType(self._number("I"))) for _ in range(key_count)}
        infos = [self._tensor() for _ in range(tensor_count)]
        alignment = int(metadata.get("general.alignment", _DEFAULT_ALIGNMENT_BYTES))
        start = -(-self._place // alignment) * alignment
        return GgufHeader(metadata, {name: self._placed(name, info, start) for name, *info in infos})

    def _tensor(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = self._text()
        # GGUF counts dimensions from the innermost.
        shape = tuple(reversed([self._number("Q") for _ in range(self._number("I"))]))
        return name, shape, GGMLQuantizationType(self._number("I")), self._number("Q")

    def _placed(self, name: str, info: list[Any], start: int) -> TensorInfo:
        shape, kind, offset = info
        block_values, block_bytes = GGML_QUANT_SIZES[kind]
        if not shape or shape[-1] % block_values:
            raise ValueError(f"tensor {name!r} of shape {shape} can't be of type {kind.name}")
        placed = TensorInfo(shape, kind, start + offset, shape[-1] // block_values * block_bytes)
        end = placed.offset_bytes + placed.rows * placed.row_bytes
        if end > len(self._data):
            raise ValueError(f"tensor {name!r} ends at byte {end}, the file at {len(self._data)}")
        return placed

    def _value(self, kind: GGUFValueType) -> Any:  # noqa: ANN401 - the file decides
        if kind is GGUFValueType.STRING:
            return self._text()
        if kind is GGUFValueType.ARRAY:
            return self._array(GGUFValueType(self._number("I")), self._number("Q"))
        return self._unpack(_FORMATS[kind])[0]

    def _array(self, kind: GGUFValueType, count: int) -> list[Any]:
        if kind in _FORMATS:
            # The length is checked before the format is made: a damaged count may be any number.
            if self._place + count > len(self._data):
                raise ValueError(f"an array of {count} values goes beyond the file's end")
            return list(self._unpack(f"{count}{_FORMATS[kind]}"))
        return [self._value(kind) for _ in range(count)]

    def _text(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8")

    def _number(self, code: str) -> int:
        number: int = self._unpack(code)[0]
        return number

    def _unpack(self, code: str) -> tuple[Any, ...]:
        layout = struct.Struct("<" + code)
        values = layout.unpack_from(self._data, self._place)
        self._place += layout.size
        return values

    def _bytes(self, count: int) -> bytes:
        end = self._place + count
        if end > len(self._data):
            raise ValueError(f"{count} bytes from byte {self._place} go beyond the file's end at {len(self._data)}")
        part = self._data[self._place : end]
        self._place = end
        return part
