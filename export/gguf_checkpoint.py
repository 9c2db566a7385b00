"""Read a GGUF file as a checkpoint, dequantised tensor by tensor (format: docs/gguf.md of ggml)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import GGUFReader, ReaderField, ReaderTensor
from gguf.quants import dequantize

from export.checkpoint import Tensor, Vocabulary
from export.errors import CheckpointError

_TOKENIZER: Final = "tokenizer.ggml."
_FLAGS: Final = ("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces")
_ROLES: Final = ("bos", "eos", "unknown", "seperator", "padding", "eot")
"""``seperator`` is GGUF's own spelling."""


class GgufCheckpoint:
    """The model in a GGUF file.

    Args:
        path: the file; it is mapped, not read.

    Raises:
        CheckpointError: if there is no such file or it is no GGUF with a tokenizer.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CheckpointError(f"no GGUF file at {path}")
        try:
            self._reader = GGUFReader(path)
            self.architecture: str = self._reader.fields["general.architecture"].contents()
        except (ValueError, KeyError, IndexError, OverflowError, OSError) as error:
            raise CheckpointError(f"{path} is no readable GGUF file: {error}") from error
        self._tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in self._reader.tensors}

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        return self._section(f"{self.architecture}.")

    @cached_property
    def general(self) -> Mapping[str, Any]:
        return self._section("general.")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        model = self._value(f"{_TOKENIZER}model")
        scores = self._optional(f"{_TOKENIZER}scores")
        return Vocabulary(
            model=model,
            pre=self._optional(f"{_TOKENIZER}pre") or "default",
            tokens=self._value(f"{_TOKENIZER}tokens"),
            types=[int(kind) for kind in self._value(f"{_TOKENIZER}token_type")],
            scores=None if scores is None else [float(score) for score in scores],
            merges=self._optional(f"{_TOKENIZER}merges"),
            special_ids={
                role: int(token_id)
                for role in _ROLES
                if (token_id := self._optional(f"{_TOKENIZER}{role}_token_id")) is not None
            },
            flags={
                flag: bool(value) for flag in _FLAGS if (value := self._optional(f"{_TOKENIZER}{flag}")) is not None
            },
        )

    def metadata(self, prefix: str) -> Mapping[str, Any]:
        """All keys that begin with ``prefix``, whole."""
        return {prefix + key: value for key, value in self._section(prefix).items()}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        # GGUF counts dimensions from the innermost.
        return {name: tuple(int(n) for n in reversed(tensor.shape)) for name, tensor in self._tensors.items()}

    def load(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise CheckpointError(f"the GGUF has no tensor {name!r}")
        tensor = self._tensors[name]
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(
            self.shapes()[name]
        )

    def _section(self, prefix: str) -> dict[str, Any]:
        return {
            key.removeprefix(prefix): field.contents()
            for key, field in self._reader.fields.items()
            if key.startswith(prefix)
        }

    def _value(self, key: str) -> Any:  # noqa: ANN401 - GGUF metadata is typed by the file
        value = self._optional(key)
        if value is None:
            raise CheckpointError(f"the GGUF has no {key!r}")
        return value

    def _optional(self, key: str) -> Any:  # noqa: ANN401 - GGUF metadata is typed by the file
        field: ReaderField | None = self._reader.fields.get(key)
        return None if field is None else field.contents()
