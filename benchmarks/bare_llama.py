"""llama.cpp with nothing around it: the least that a prompt can cost."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from guard.engines.probes import CONTEXT_TOKENS

BATCH_PROMPTS: Final = 16

_STEP_TOKENS: Final = 512
"""llama.cpp's default, and the engine's."""

_SEQUENCE_POINTER: Final = ctypes.POINTER(ctypes.c_int32)


class BareLlama:
    """A GGUF whose prompts are decoded by llama.cpp's own calls alone.

    To be made after the engine has loaded llama.cpp, so that both run with the same settings of OpenMP, and used in one
    thread only.

    Args:
        path: of the GGUF.
        threads: that compute.
        changes: fields of ``llama_context_params`` that are to be other than the engine's.
    """

    def __init__(self, path: Path, threads: int, changes: Mapping[str, int] = MappingProxyType({})) -> None:
        import llama_cpp  # noqa: PLC0415 - whoever loads it first decides how its threads wait

        self._library: Any = llama_cpp
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise RuntimeError(f"llama.cpp can't load {path}")
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._lone = self._new_context(1, threads, changes)
        self._shared = self._new_context(BATCH_PROMPTS, threads, changes)

    def lone(self, prompt: str) -> Callable[[], None]:
        """What decodes one prompt, its tokens prepared."""
        ids = self._tokenise(prompt)
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        batch = self._library.llama_batch_get_one(tokens, len(ids))

        def work(_held: object = tokens) -> None:
            # llama.cpp's structure has the bare address of the tokens: they live as long as this function.
            self._decode(self._lone, batch)

        return work

    def together(self, prompts: Sequence[str]) -> Callable[[], None]:
        """What decodes prompts as sequences of one batch, or of several where the engine would need several."""
        batches = [self._batch(pack) for pack in _packs([self._tokenise(prompt) for prompt in prompts])]

        def work() -> None:
            for batch in batches:
                self._decode(self._shared, batch)

        return work

    def _tokenise(self, prompt: str) -> list[int]:
        data = prompt.encode()
        ids = (ctypes.c_int32 * (len(data) + 3))()
        # The rendered prompt has its start token, as text: none is added, and control tokens' texts are read as such.
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), False, True)  # noqa: FBT003
        if count <= 0:
            raise RuntimeError(f"llama.cpp made {count} tokens of {len(data)} bytes")
        return list(ids[:count])

    def _batch(self, prompts: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - an untyped C structure
        cells = [
            (token, position, sequence, position == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        tokens, positions, sequences, last = zip(*cells, strict=True)
        owners = [ctypes.cast((ctypes.c_int32 * 1)(place), _SEQUENCE_POINTER) for place in range(len(prompts))]
        count = len(cells)
        return self._library.llama_batch(
            n_tokens=count,
            token=(ctypes.c_int32 * count)(*tokens),
            pos=(ctypes.c_int32 * count)(*positions),
            n_seq_id=(ctypes.c_int32 * count)(*[1] * count),
            seq_id=(_SEQUENCE_POINTER * count)(*(owners[place] for place in sequences)),
            logits=(ctypes.c_int8 * count)(*last),
        )

    def _decode(self, context: Any, batch: Any) -> None:  # noqa: ANN401 - untyped C structures
        library = self._library
        library.llama_memory_clear(library.llama_get_memory(context), False)  # noqa: FBT003 - cells are marked free
        if status := library.llama_decode(context, batch):
            raise RuntimeError(f"llama.cpp's decode failed with status {status}")
        # Waits for the logits, as whoever wants to read them has to.
        library.llama_get_logits_ith(context, -1)

    def _new_context(self, sequences: int, threads: int, changes: Mapping[str, int]) -> Any:  # noqa: ANN401 - an untyped C structure
        parameters = self._library.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = CONTEXT_TOKENS
        parameters.n_ubatch = _STEP_TOKENS
        parameters.n_seq_max = parameters.n_outputs_max = sequences
        parameters.n_threads = parameters.n_threads_batch = threads
        # One cache for all sequences is the faster way for prompts of different lengths (guard.engines.llama_model).
        parameters.kv_unified = True
        parameters.swa_full = True
        parameters.no_perf = True
        for name, value in changes.items():
            setattr(parameters, name, value)
        context = self._library.llama_init_from_model(self._model, parameters)
        if not context:
            raise RuntimeError("llama.cpp made no context")
        return context


def _packs(prompts: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Prompts in order, as many together as fit the context."""
    pack: list[list[int]] = []
    for prompt in prompts:
        if pack and (len(pack) == BATCH_PROMPTS or sum(map(len, pack)) + len(prompt) > CONTEXT_TOKENS):
            yield pack
            pack = []
        pack.append(prompt)
    yield pack
