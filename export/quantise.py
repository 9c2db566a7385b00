"""Quantise an F16 GGUF with llama.cpp's own code; gguf's Python has no K-quants."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from export.atomic import replacing
from export.errors import CheckpointError, QuantiseError
from export.gguf_header import read_header
from export.llama import last_errors, library

Q8_0_TENSOR: Final = 8
"""ggml_type of ggml.h."""

Q8_0_BLOCK: Final = 32
"""Weights of a row that share a scale."""

_ALWAYS_Q8_0: Final = frozenset({"token_embd.weight", "output.weight"})

FILE_TYPES: Final = {"F16": 1, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q4_K_M": 15, "Q4_0": 2}
"""llama_ftype of llama.h, by the name that people know."""

DEFAULT_QUANTISATION: Final = "Q4_0"
"""llama.cpp repacks it for AVX2, AVX-512 and NEON, which makes it the fastest on CPUs."""


def check_kind(kind: str) -> None:
    """Say that a quantisation is unknown, before anything is computed or written for it.

    Raises:
        QuantiseError: if it is none of :data:`FILE_TYPES`.
    """
    if kind not in FILE_TYPES:
        raise QuantiseError(f"unknown quantisation {kind!r}, wanted one of {', '.join(FILE_TYPES)}")


def quantise(source: Path, target: Path, kind: str = DEFAULT_QUANTISATION) -> None:
    """Quantise ``source`` (F16) to ``target``, output rows at Q8_0 so that the labels stay precise.

    Raises:
        QuantiseError: if ``kind`` is unknown, llama.cpp fails or the disk is full; the old target stays.
    """
    check_kind(kind)
    if not source.is_file():
        raise QuantiseError(f"no GGUF file to quantise at {source}")
    if kind != "F16":
        _check_rows(source, kind)
    try:
        with replacing(target) as temporary:
            _quantise(source, temporary, kind)
    except OSError as error:
        raise QuantiseError(f"can't write {target}: {error}") from error


def _check_rows(source: Path, kind: str) -> None:
    """llama.cpp ends the process where the rows that are wanted at Q8_0 can't be."""
    try:
        tensors = read_header(source).tensors
    except CheckpointError as error:
        raise QuantiseError(f"could not quantise {source}: {error}") from error
    for name, tensor in tensors.items():
        if name in _ALWAYS_Q8_0 and tensor.shape[-1] % Q8_0_BLOCK:
            raise QuantiseError(
                f"{name} of {source} has rows of {tensor.shape[-1]} weights, which {kind} can't hold: "
                f"wanted a multiple of {Q8_0_BLOCK}, or F16"
            )


def _quantise(source: Path, target: Path, kind: str) -> None:
    llama_cpp = library()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[kind]
    parameters.output_tensor_type = Q8_0_TENSOR
    parameters.token_embedding_type = Q8_0_TENSOR
    if kind == "F16":
        parameters.only_copy = True
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if status != 0:
        raise QuantiseError(f"llama.cpp could not quantise {source} to {kind} (status {status}): {last_errors()}")
