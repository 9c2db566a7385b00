"""One GGUF loaded by llama.cpp: its metadata, its vocabulary, and the logits of a batch of prompts.

Nothing here is safe to call from two threads at once: llama.cpp's context has one owner.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from guard.engines.base import EngineAnswerError, GuardFileError

GGUF_MAGIC: Final = b"GGUF"
_LOG_LEVEL_ERROR: Final = 4
"""``GGML_LOG_LEVEL_ERROR`` of ggml.h."""

_ATTRIBUTE_NORMAL: Final = 1 << 2
_ATTRIBUTE_CONTROL: Final = 1 << 3
"""``llama_token_attr`` of llama.h."""

_PREFIX_SEQUENCE: Final = 0
_PREFIX_CELLS: Final = 256

_errors: deque[str] = deque(maxlen=8)


def _keep_error(level: int, text: bytes, _data: object) -> None:
    """llama.cpp logs a hundred lines a load; only what explains a failure is kept, for the exception's text."""
    if level == _LOG_LEVEL_ERROR and (line := text.decode(errors="replace").strip()):
        _errors.append(line)


# Held here for good: llama.cpp keeps the pointer, and calls it for as long as the process lives.
_log_callback: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_keep_error)


@dataclass(frozen=True, slots=True)
class ContextSize:
    """How much one decode may hold.

    Attributes:
        tokens: of all prompts of a batch together; also the size of the key-value cache.
        prompts: of a batch.
        step_tokens: that are computed at once; a larger batch takes several steps.
        beside_tokens: that have room beside a prompt of as many tokens as a whole batch.
    """

    tokens: int
    prompts: int
    step_tokens: int
    beside_tokens: int

    @property
    def sequences(self) -> int:
        """The shared prefix, each prompt of a batch, and one that is computed in slices meanwhile."""
        return self.prompts + 2


class LlamaModel:
    """A model and its context in memory.

    Args:
        library: the module ``llama_cpp``, given by the one module that imports it.
        path: of the GGUF.
        size: of the context.
        threads: that compute.

    Raises:
        GuardFileError: if there is no such file, or llama.cpp can't load it.
    """

    def __init__(self, library: Any, path: Path, size: ContextSize, threads: int) -> None:  # noqa: ANN401 - untyped C
        _check_magic(path)
        self._library = library
        self._path = path
        self._size = size
        self._context: Any = None
        library.llama_log_set(_log_callback, ctypes.c_void_p(0))
        _errors.clear()
        self._model = library.llama_model_load_from_file(os.fsencode(path), self._model_parameters())
        if not self._model:
            raise GuardFileError(f"llama.cpp can't load {path}: {_last_errors()}")
        self._context = library.llama_init_from_model(self._model, self._context_parameters(threads))
        if not self._context:
            self.close()
            raise GuardFileError(f"llama.cpp can't create a context for {path}: {_last_errors()}")
        self._vocabulary = library.llama_model_get_vocab(self._model)
        self._memory = library.llama_get_memory(self._context)
        self.vocabulary_size: int = library.llama_vocab_n_tokens(self._vocabulary)
        self._batches = _Batches(library, size)
        self._prefix: list[int] = []
        self._prefix_held = False
        self._emptied = 0

    def close(self) -> None:
        """Free the model; twice does no harm."""
        if self._context:
            self._library.llama_free(self._context)
        if self._model:
            self._library.llama_model_free(self._model)
        self._context = self._model = None

    def metadata(self) -> dict[str, str]:
        """Every scalar key of the file, as text; arrays come as llama.cpp prints them, which may be cut short."""
        library, model = self._library, self._model
        return {
            _text(library.llama_model_meta_key_by_index, model, index): _text(
                library.llama_model_meta_val_str_by_index, model, index
            )
            for index in range(library.llama_model_meta_count(model))
        }

    def tokenise(self, text: str, *, whole: bool) -> list[int]:
        """Token ids of ``text``.

        Args:
            text: to read.
            whole: read it as a server reads a prompt: texts of control tokens are those tokens, and start and end
                tokens are added where the vocabulary says so. Else all of it is plain text.

        Raises:
            EngineAnswerError: if it makes more tokens than bytes.
        """
        data = text.encode()
        # A token stands for at least one byte, but for an added space, start and end.
        room = len(data) + 3
        ids = (ctypes.c_int32 * room)()
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), ids, room, whole, whole)
        if count < 0:
            raise EngineAnswerError(f"llama.cpp cut {len(data)} bytes into {-count} tokens, wanted at most {room}")
        return list(ids[:count])

    def token_text(self, token: int) -> str:
        """A token as the vocabulary writes it."""
        text: bytes = self._library.llama_vocab_get_text(self._vocabulary, token)
        return text.decode(errors="replace")

    def is_normal(self, token: int) -> bool:
        """Whether a token is printable text of its own."""
        return bool(self._library.llama_vocab_get_attr(self._vocabulary, token) & _ATTRIBUTE_NORMAL)

    def is_control(self, token: int) -> bool:
        """Whether a token is one that no text reaches."""
        return bool(self._library.llama_vocab_get_attr(self._vocabulary, token) & _ATTRIBUTE_CONTROL)

    def find_tokens(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """For each text, the ids of all tokens written exactly so."""
        found: dict[bytes, list[int]] = {text.encode(): [] for text in texts}
        entry = self._library.llama_vocab_get_text
        for token in range(self.vocabulary_size):
            ids = found.get(entry(self._vocabulary, token))
            if ids is not None:
                ids.append(token)
        return {text.decode(): ids for text, ids in found.items()}

    def share_prefix(self, tokens: Sequence[int]) -> None:
        """Compute a beginning that prompts have in common only once, in a sequence of its own.

        Worth it even for one token (Gemma 3, 9 layers, Q4_0, 2 cores, interleaved): a lone prompt of 10 tokens
        takes 10.6 ms instead of 11.9, 600 natural ones 13.2 ms on average instead of 14.0; batches of 16 take the
        same time either way.
        """
        self._prefix = list(tokens)
        self._forget()

    @contextmanager
    def decoded_in_slices(
        self, prompt: Sequence[int], slice_tokens: int, between: Callable[[int], int]
    ) -> Iterator[Any]:
        """Compute one prompt a slice at a time; within the block, its row of logits.

        Args:
            prompt: token ids; within the context's size.
            slice_tokens: the most tokens that are computed before ``between`` is called.
            between: called after every slice but the last with the number of tokens that have room beside the prompt.
                It may use :meth:`decoded`, and says how many tokens the next slice has at most.

        Yields:
            A pointer to ``vocabulary_size`` floats, after its last token.

        Raises:
            EngineAnswerError: if it is too long, or llama.cpp does not compute it.
        """
        run = self._run(self._size.sequences - 1, prompt)
        try:
            last = self._decode_slices(run, slice_tokens, between)
            if last is None:
                # What ran in between emptied the cache: once more, and nobody comes in between.
                last = self._decode_slices(run, slice_tokens, lambda _room: slice_tokens)
            yield self._library.llama_get_logits_ith(self._context, last)
        finally:
            self._library.llama_memory_seq_rm(self._memory, run.sequence, -1, -1)

    def _decode_slices(self, run: _Run, slice_tokens: int, between: Callable[[int], int]) -> int | None:
        """The place of the last token's logits; None if the cache was emptied meanwhile."""
        self._prepare()
        if run.start:
            self._library.llama_memory_seq_cp(self._memory, _PREFIX_SEQUENCE, run.sequence, 0, run.start)
        held = self._emptied
        room = self._size.tokens + self._size.beside_tokens - len(run.tokens)
        part, rest = run.cut(slice_tokens)
        while rest is not None:
            batch, _last = self._batches.make([part], logits=False)
            self._decode(batch)
            slice_tokens = between(room)
            if self._emptied != held:
                return None
            part, rest = rest.cut(slice_tokens)
        batch, (last,) = self._batches.make([part])
        self._decode(batch)
        return last

    @contextmanager
    def decoded(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[Any]]:
        """Compute prompts together, each on its own; within the block, their rows of logits.

        Args:
            prompts: token ids; together within the context's size.

        Yields:
            A pointer to ``vocabulary_size`` floats a prompt, after its last token.

        Raises:
            EngineAnswerError: if there are too many, or llama.cpp does not compute them.
        """
        runs = [self._run(sequence, prompt) for sequence, prompt in enumerate(prompts, start=_PREFIX_SEQUENCE + 1)]
        batch, last = self._batches.make(runs)
        self._prepare()
        for run in runs:
            if run.start:
                self._library.llama_memory_seq_cp(self._memory, _PREFIX_SEQUENCE, run.sequence, 0, run.start)
        self._decode(batch)
        try:
            yield [self._library.llama_get_logits_ith(self._context, index) for index in last]
        finally:
            for run in runs:
                self._library.llama_memory_seq_rm(self._memory, run.sequence, -1, -1)

    def wipe(self) -> None:
        """Zero the cache's contents, which are otherwise only marked as free.

        Masked attention still multiplies what it masks, and zero times a NaN is a NaN: a prompt that overflowed
        would spoil those that come after it.
        """
        self._forget()

    def _run(self, sequence: int, prompt: Sequence[int]) -> _Run:
        shared = len(self._prefix)
        # The last token is always computed, since its logits are wanted.
        if len(prompt) > shared and list(prompt[:shared]) == self._prefix:
            return _Run(sequence, shared, prompt[shared:])
        return _Run(sequence, 0, prompt)

    def _prepare(self) -> None:
        """Compute the prefix, if the cache does not hold it."""
        if self._prefix and not self._prefix_held:
            batch, _last = self._batches.make([_Run(_PREFIX_SEQUENCE, 0, self._prefix)])
            self._decode(batch)
            self._prefix_held = True

    def _decode(self, batch: Any) -> None:  # noqa: ANN401 - an untyped C structure
        _errors.clear()
        if status := self._library.llama_decode(self._context, batch):
            self._forget()
            raise EngineAnswerError(f"llama.cpp's decode failed with status {status}: {_last_errors()}")

    def _forget(self) -> None:
        self._emptied += 1
        contents_too = True
        self._library.llama_memory_clear(self._memory, contents_too)
        self._prefix_held = False

    def _model_parameters(self) -> Any:  # noqa: ANN401 - an untyped C structure
        parameters = self._library.llama_model_default_params()
        # The guard is a CPU program: a GPU, where there is one, is the chat model's.
        parameters.n_gpu_layers = 0
        # Read, not mapped: blocks that are laid out anew for the processor would stay in memory a second time (27 MB
        # of the shipped guard), and a file that is cut short while it is served would end the process.
        parameters.load_mode = self._library.LLAMA_LOAD_MODE_NONE
        return parameters

    def _context_parameters(self, threads: int) -> Any:  # noqa: ANN401 - an untyped C structure
        parameters = self._library.llama_context_default_params()
        # Room for the shared prefix beside the largest batch; llama.cpp counts in steps of 256 cells.
        parameters.n_ctx = self._size.tokens + self._size.beside_tokens + _PREFIX_CELLS
        parameters.n_batch = self._size.tokens
        parameters.n_ubatch = self._size.step_tokens
        parameters.n_seq_max = parameters.n_outputs_max = self._size.sequences
        parameters.n_threads = parameters.n_threads_batch = threads
        # One cache for all sequences. A stream a sequence needs cells for the longest prompt in each, and splits
        # prompts of different lengths over several steps: measured with 16 prompts (Gemma 3, 9 layers, Q4_0,
        # 2 cores), 112 natural ones a second with one cache and 87 with streams; equally long ones 153 and 173.
        parameters.kv_unified = True
        # Sliding-window layers would keep cells for one window and one step only, counted over all sequences: a batch
        # of prompts that are longer than the window would lose its first ones' cells, and be answered wrongly.
        parameters.swa_full = True
        parameters.no_perf = True
        parameters.offload_kqv = parameters.op_offload = False
        return parameters


@dataclass(frozen=True, slots=True)
class _Run:
    """Tokens of one sequence, from the position ``start`` on."""

    sequence: int
    start: int
    tokens: Sequence[int]

    def cut(self, size: int) -> tuple[_Run, _Run | None]:
        """The first of as few slices of at most ``size`` tokens as can be, all of about one length; and the rest."""
        slices = -(-len(self.tokens) // size)
        end = -(-len(self.tokens) // slices)
        rest = self.tokens[end:]
        first = _Run(self.sequence, self.start, self.tokens[:end])
        return first, _Run(self.sequence, self.start + end, rest) if rest else None


class _Batches:
    """Makes ``llama_batch`` structures; the arrays that are the same for every batch are made once."""

    def __init__(self, library: Any, size: ContextSize) -> None:  # noqa: ANN401 - an untyped C binding
        self._library = library
        self._size = size
        self._ids = (ctypes.c_int32 * size.sequences)(*range(size.sequences))
        first = ctypes.addressof(self._ids)
        self._addresses = [first + index * ctypes.sizeof(ctypes.c_int32) for index in range(size.sequences)]
        self._ones = (ctypes.c_int32 * size.tokens)(*[1] * size.tokens)

    def make(self, runs: Sequence[_Run], *, logits: bool = True) -> tuple[Any, list[int]]:
        """A batch, and the place of each run's last token, the only one whose logits are asked for, if any are."""
        last = [count - 1 for count in accumulate(len(run.tokens) for run in runs)]
        count = last[-1] + 1
        if count > self._size.tokens or len(runs) > self._size.prompts:
            raise EngineAnswerError(
                f"a batch of {len(runs)} prompts and {count} tokens, "
                f"wanted at most {self._size.prompts} and {self._size.tokens}"
            )
        wanted = (ctypes.c_int8 * count)()
        for index in last if logits else ():
            wanted[index] = 1
        positions = [run.start + index for run in runs for index in range(len(run.tokens))]
        owners = (ctypes.c_void_p * count)(*(self._addresses[run.sequence] for run in runs for _ in run.tokens))
        # Arrays are filled whole: setting elements through ctypes costs a millisecond a thousand tokens.
        batch = self._library.llama_batch(
            n_tokens=count,
            token=(ctypes.c_int32 * count)(*(token for run in runs for token in run.tokens)),
            pos=(ctypes.c_int32 * count)(*positions),
            n_seq_id=self._ones,
            seq_id=ctypes.cast(owners, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=wanted,
        )
        return batch, last


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise GuardFileError(f"can't read the guard's file {path}: {error}") from error
    if magic != GGUF_MAGIC:
        raise GuardFileError(f"{path} is not a GGUF file: it begins with {magic!r}, wanted {GGUF_MAGIC!r}")


def _last_errors() -> str:
    return "; ".join(_errors) or "it gave no reason"


def _text(read: Any, model: Any, index: int) -> str:  # noqa: ANN401 - an untyped C binding
    """A key or value of the metadata; llama.cpp returns its whole length even if the buffer is smaller."""
    buffer = ctypes.create_string_buffer(256)
    length = read(model, index, buffer, len(buffer))
    if length >= len(buffer):
        buffer = ctypes.create_string_buffer(length + 1)
        read(model, index, buffer, len(buffer))
    return buffer.value.decode(errors="replace")
