"""Read a GGUF file as a checkpoint, dequantised tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf.quants import dequantize

from export.checkpoint import Tensor, Vocabulary
from export.errors import CheckpointError
from export.gguf_header import TensorInfo, read_header
from export.rows import row_chunks

_TOKENIZER: Final = "tokenizer.ggml."
_FLAGS: Final = ("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces")
_ROLES: Final = ("bos", "eos", "unknown", "seperator", "padding", "eot")
"""``seperator`` is GGUF's own spelling."""


class GgufCheckpoint:
    """The model in a GGUF file.

    Args:
        path: the file; its header is read at once, a tensor when it is asked for.

    Raises:
        CheckpointError: if there is no such file or it is no GGUF with an architecture.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CheckpointError(f"no GGUF file at {path}")
        self._path = path
        self._header = read_header(path)
        self.architecture: str = self._value("general.architecture")

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._section(f"{self.architecture}.")

    @cached_property
    def general(self) -> Mapping[str, Any]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return self._section("general.")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See :class:`export.checkpoint.Checkpoint`."""
        flags = {flag: self._optional(_TOKENIZER + flag) for flag in _FLAGS}
        special_ids = {role: self._optional(f"{_TOKENIZER}{role}_token_id") for role in _ROLES}
        return Vocabulary(
            model=self._value(f"{_TOKENIZER}model"),
            pre=self._optional(f"{_TOKENIZER}pre") or "default",
            tokens=self._value(f"{_TOKENIZER}tokens"),
            types=self._value(f"{_TOKENIZER}token_type"),
            scores=self._optional(f"{_TOKENIZER}scores"),
            merges=self._optional(f"{_TOKENIZER}merges"),
            special_ids={role: token_id for role, token_id in special_ids.items() if token_id is not None},
            flags={flag: value for flag, value in flags.items() if value is not None},
        )

    def metadata(self, prefix: str) -> Mapping[str, Any]:
        """All keys that begin with ``prefix``, whole."""
        return {prefix + key: value for key, value in self._section(prefix).items()}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`export.checkpoint.Checkpoint`."""
        return {name: info.shape for name, info in self._header.tensors.items()}

    def load(self, name: str) -> Tensor:
        """See :class:`export.checkpoint.Checkpoint`.

        Raises:
            CheckpointError: if there is no such tensor, or it is of a type that gguf can't dequantise.
        """
        info = self._header.tensors.get(name)
        if info is None:
            raise CheckpointError(f"the GGUF has no tensor {name!r}")
        try:
            return self._dequantise(info)
        except (NotImplementedError, OSError, ValueError) as error:
            raise CheckpointError(f"can't read tensor {name!r} of {self._path}: {error}") from error

    def _dequantise(self, info: TensorInfo) -> Tensor:
        """By rows: dequantising takes several times the memory of its result."""
        values = np.empty((info.rows, info.shape[-1]), dtype=np.float32)
        with self._path.open("rb") as file:
            file.seek(info.offset_bytes)
            for part in row_chunks(*values.shape):
                raw = np.fromfile(file, dtype=np.uint8, count=(part.stop - part.start) * info.row_bytes)
                values[part] = dequantize(raw.reshape(-1, info.row_bytes), info.kind)
        return values.reshape(info.shape)

    def _section(self, prefix: str) -> dict[str, Any]:
        metadata = self._header.metadata
        return {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}

    def _value(self, key: str) -> Any:  # noqa: ANN401 - GGUF metadata is typed by the file
        value = self._optional(key)
        if value is None:
            raise CheckpointError(f"{self._path} has no {key!r}")
        return value

    def _optional(self, key: str) -> Any:  # noqa: ANN401 - GGUF metadata is typed by the file
        return self._header.metadata.get(key)
