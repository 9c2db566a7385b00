"""Quantise an F16 GGUF with llama.cpp's own code; gguf's Python has no K-quants."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Final

from export.atomic import replacing
from export.errors import QuantiseError

Q8_0_TENSOR: Final = 8
"""ggml_type of ggml.h."""

FILE_TYPES: Final = {"F16": 1, "Q8_0": 7, "Q6_K": 18, "Q5_K_M": 17, "Q4_K_M": 15, "Q4_0": 2}
"""llama_ftype of llama.h, by the name that people know."""

DEFAULT_QUANTISATION: Final = "Q4_0"
"""llama.cpp repacks it for AVX2, AVX-512 and NEON, which makes it the fastest on CPUs."""


def quantise(source: Path, target: Path, kind: str = DEFAULT_QUANTISATION) -> None:
    """Quantise ``source`` (F16) to ``target``, output rows at Q8_0 so that the labels stay precise.

    Raises:
        QuantiseError: if ``kind`` is unknown or llama.cpp fails; the old target stays.
    """
    if kind not in FILE_TYPES:
        raise QuantiseError(f"unknown quantisation {kind!r}, wanted one of {', '.join(FILE_TYPES)}")
    llama_cpp = _quiet_llama_cpp()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[kind]
    parameters.output_tensor_type = Q8_0_TENSOR
    parameters.token_embedding_type = Q8_0_TENSOR
    if kind == "F16":
        parameters.only_copy = True
    with replacing(target) as temporary:
        status = llama_cpp.llama_model_quantize(
            str(source).encode(), str(temporary).encode(), ctypes.byref(parameters)
        )
        if status != 0:
            raise QuantiseError(f"llama.cpp could not quantise {source} to {kind} (status {status})")


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _drop(_level: int, _text: bytes, _data: object) -> None:
    """llama.cpp prints a line a tensor, which is noise beside a progress bar."""


def _quiet_llama_cpp() -> Any:  # noqa: ANN401 - an untyped C binding
    import llama_cpp  # noqa: PLC0415 - loads a large shared library, only where it is needed

    llama_cpp.llama_log_set(_drop, ctypes.c_void_p(0))
    return llama_cpp
