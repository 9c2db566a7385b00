"""llama.cpp, as export uses it: the one module here that binds it."""

from __future__ import annotations

import ctypes
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from export.checkpoint import Vocabulary
from export.errors import CheckpointError
from export.gguf_file import write_vocabulary

_LOG_LEVEL_ERROR: Final = 4
"""``GGML_LOG_LEVEL_ERROR`` of ggml.h."""

_errors: deque[str] = deque(maxlen=8)


def _keep_errors(level: int, text: bytes, _data: object) -> None:
    if level == _LOG_LEVEL_ERROR and (line := text.decode(errors="replace").strip()):
        _errors.append(line)


# Kept in a name of the module: llama.cpp holds the pointer for as long as the process lives.
_LOG_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_keep_errors)


def library() -> Any:  # noqa: ANN401 - an untyped C binding
    """The module ``llama_cpp``, silent: it prints a line a tensor, which is noise beside a progress bar."""
    import llama_cpp  # noqa: PLC0415 - loads a large shared library, only where it is needed

    llama_cpp.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
    _errors.clear()
    return llama_cpp


def last_errors() -> str:
    """What llama.cpp has logged as errors since :func:`library` was called."""
    return "; ".join(_errors) or "it gave no reason"


class LlamaTokenizer:
    """llama.cpp's tokenizer of a GGUF file; the weights are not loaded. To be closed."""

    def __init__(self, path: Path) -> None:
        self._library = library()
        parameters = self._library.llama_model_default_params()
        parameters.vocab_only = True
        self._model = self._library.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise CheckpointError(f"llama.cpp can't load the vocabulary of {path}: {last_errors()}")
        self._vocabulary = self._library.llama_model_get_vocab(self._model)

    def tokenise(self, text: str, *, marks: bool = False) -> list[int]:
        """Token ids of ``text``, without a start token; ``marks``: control tokens' texts are read as those tokens."""
        data = text.encode()
        # A token stands for at least one byte, but for the space that some vocabularies put in front.
        room = len(data) + 2
        ids = (ctypes.c_int32 * room)()
        start_token = False
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), ids, room, start_token, marks)
        if count < 0:
            raise CheckpointError(f"llama.cpp cut {len(data)} bytes into {-count} tokens, wanted at most {room}")
        return list(ids[:count])

    def close(self) -> None:
        """Free the model; twice does no harm."""
        if self._model:
            self._library.llama_model_free(self._model)
            self._model = None


@contextmanager
def tokenizer_of(vocabulary: Vocabulary, architecture: str) -> Iterator[LlamaTokenizer]:
    """llama.cpp's tokenizer with this vocabulary, by way of a temporary file.

    Raises:
        CheckpointError: if llama.cpp does not load it, because it does not know the pre-tokenizer, for example.
    """
    with tempfile.TemporaryDirectory(prefix="startrek-guard-") as folder:
        path = Path(folder) / "vocabulary.gguf"
        write_vocabulary(vocabulary, architecture, path)
        tokenizer = LlamaTokenizer(path)
        try:
            yield tokenizer
        finally:
            tokenizer.close()
