"""The one binding to llama.cpp: tokens in and out of a context. Everything here belongs to one thread.

The C interface is used without ``llama_cpp.Llama``: that class silences its loading by replacing ``sys.stdout`` of the
whole process, and quotes a prompt in an error message.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.embedded.errors import BadCallError, GenerationFailedError, WeightsError
from gateway.embedded.options import SamplingOptions
from gateway.embedded.prompt import Prompt

PIECE_TOKENS: Final = 16
"""Tokens of a prompt that are computed without looking whether the client has left.

Measured on one core: 19 ms for a token alone, 9.5 ms each in eights, 8 ms each from sixteens on."""

# The C functions take their flags by position.
_SHOW_CONTROL: Final = False
_ADD_BEGIN: Final = False
_CLEAR_DATA: Final = True

_MAX_PIECE_BYTES: Final = 256
_MAX_METADATA_BYTES: Final = 8192


def _library() -> Any:  # noqa: ANN401 -- the binding has no types
    """llama_cpp, imported on first use: it brings numpy and takes a third of a second."""
    import llama_cpp  # noqa: PLC0415

    # Its log callback prints to stderr whatever is above this level, and its level is none.
    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)
    return llama_cpp


class Llama:
    """A loaded model with one context.

    Args:
        path: of the GGUF.
        context_tokens: size of the context.
        threads: that compute.

    Attributes:
        context_tokens: size of the context.
        metadata: the scalars in the GGUF, as text.
        parameters: how many weights it has.

    Raises:
        WeightsError: if llama.cpp can't load it.
    """

    def __init__(self, path: Path, context_tokens: int, threads: int) -> None:
        self._c = _library()
        self._c.llama_backend_init()
        self._model = self._c.llama_model_load_from_file(str(path).encode(), self._c.llama_model_default_params())
        if not self._model:
            raise WeightsError(f"llama.cpp can't load the embedded chat model: {path}")
        params = self._c.llama_context_default_params()
        params.n_ctx = context_tokens
        params.n_batch = params.n_ubatch = PIECE_TOKENS
        params.n_threads = params.n_threads_batch = threads
        self._context = self._c.llama_init_from_model(self._model, params)
        if not self._context:
            self._c.llama_model_free(self._model)
            raise WeightsError(f"not enough memory for the embedded chat model with {context_tokens} tokens of context")
        self._vocabulary = self._c.llama_model_get_vocab(self._model)
        self._vocabulary_size = int(self._c.llama_vocab_n_tokens(self._vocabulary))
        self._memory = self._c.llama_get_memory(self._context)
        self._held: list[int] = []
        self.context_tokens = int(self._c.llama_n_ctx(self._context))
        self.metadata = dict(self._read_metadata())
        self.parameters = int(self._c.llama_model_n_params(self._model))

    def close(self) -> None:
        """Free the memory; nothing may be called afterwards."""
        self._c.llama_free(self._context)
        self._c.llama_model_free(self._model)

    def tokenize(self, prompt: Prompt) -> list[int]:
        """The token ids of a prompt.

        Raises:
            BadCallError: if its context has ids that are not in the vocabulary.
            GenerationFailedError: if llama.cpp refuses.
        """
        if any(not 0 <= token < self._vocabulary_size for token in prompt.context):
            raise BadCallError("context has token ids that the model does not know")
        tokens = list(prompt.context)
        for segment in prompt.segments:
            tokens += self._tokenize(segment.text.encode(), control=segment.control)
        return tokens

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        buffer = ctypes.create_string_buffer(_MAX_PIECE_BYTES)
        size = self._c.llama_token_to_piece(self._vocabulary, token, buffer, _MAX_PIECE_BYTES, 0, _SHOW_CONTROL)
        return buffer.raw[: max(size, 0)]

    def is_end(self, token: int) -> bool:
        """Whether the model ends its answer with this token."""
        return bool(self._c.llama_vocab_is_eog(self._vocabulary, token))

    def keep_prefix(self, tokens: Sequence[int]) -> int:
        """Forget all but what ``tokens`` begin with, and say how many of them need no computing.

        The last one is always computed, for the logits after it.
        """
        kept = 0
        for held, wanted in zip(self._held, tokens[:-1], strict=False):
            if held != wanted:
                break
            kept += 1
        self._c.llama_memory_seq_rm(self._memory, 0, kept, -1)
        del self._held[kept:]
        return kept

    def forget(self) -> None:
        """Begin anew."""
        self._c.llama_memory_clear(self._memory, _CLEAR_DATA)
        self._held.clear()

    def evaluate(self, tokens: Sequence[int]) -> None:
        """Compute up to :data:`PIECE_TOKENS` tokens after those before.

        Raises:
            GenerationFailedError: if llama.cpp can't.
        """
        array = (self._c.llama_token * len(tokens))(*tokens)
        status = self._c.llama_decode(self._context, self._c.llama_batch_get_one(array, len(tokens)))
        if status != 0:
            self.forget()
            raise GenerationFailedError(f"llama.cpp could not go on (status {status})")
        self._held += tokens

    def sample(self, sampler: object) -> int:
        """Draw the next token."""
        return int(self._c.llama_sampler_sample(sampler, self._context, -1))

    @contextmanager
    def sampler(self, options: SamplingOptions) -> Iterator[object]:
        """A chain of samplers in the order of llama.cpp's server."""
        chain = self._c.llama_sampler_chain_init(self._c.llama_sampler_chain_default_params())
        try:
            for link in self._links(options):
                self._c.llama_sampler_chain_add(chain, link)
            yield chain
        finally:
            self._c.llama_sampler_free(chain)

    def _links(self, options: SamplingOptions) -> Iterator[object]:
        window = options.repeat_last_n if options.repeat_last_n >= 0 else self.context_tokens
        yield self._c.llama_sampler_init_penalties(
            self._vocabulary_size,
            min(window, self.context_tokens),
            options.repeat_penalty,
            options.frequency_penalty,
            options.presence_penalty,
        )
        if options.temperature <= 0:
            yield self._c.llama_sampler_init_greedy()
            return
        yield self._c.llama_sampler_init_top_k(min(max(options.top_k, 0), self._vocabulary_size))
        yield self._c.llama_sampler_init_top_p(options.top_p, 1)
        yield self._c.llama_sampler_init_min_p(options.min_p, 1)
        yield self._c.llama_sampler_init_temp(options.temperature)
        seed = self._c.LLAMA_DEFAULT_SEED if options.seed < 0 else options.seed % self._c.LLAMA_DEFAULT_SEED
        yield self._c.llama_sampler_init_dist(seed)

    def _tokenize(self, text: bytes, *, control: bool) -> list[int]:
        # A token has at least one byte, so the array is never too small.
        array = (self._c.llama_token * (len(text) + 1))()
        count = self._c.llama_tokenize(self._vocabulary, text, len(text), array, len(array), _ADD_BEGIN, control)
        if count < 0:
            raise GenerationFailedError("llama.cpp can't tokenise the prompt")
        return list(array[:count])

    def _read_metadata(self) -> Iterator[tuple[str, str]]:
        buffer = ctypes.create_string_buffer(_MAX_METADATA_BYTES)
        for index in range(self._c.llama_model_meta_count(self._model)):
            self._c.llama_model_meta_key_by_index(self._model, index, buffer, _MAX_METADATA_BYTES)
            key = buffer.value.decode(errors="replace")
            self._c.llama_model_meta_val_str_by_index(self._model, index, buffer, _MAX_METADATA_BYTES)
            yield key, buffer.value.decode(errors="replace")
