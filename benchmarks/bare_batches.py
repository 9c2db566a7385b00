"""Bare llama.cpp in a process of its own: how many texts a second it computes in batches, with nothing around it.

``python -m benchmarks.bare_batches`` reads a :class:`Job` from its input and writes the seconds that it took. Texts
are cut into tokens and batches are filled beforehand: what is timed is decoding and reading the logits.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import llama_cpp

from benchmarks.served import environment
from guard.engines.cores import usable_cores

SEQUENCES: Final = 16
"""Of a batch."""

_BATCH_TOKENS: Final = 4096
_STEP_TOKENS: Final = 512
_WARM_UP_BATCHES: Final = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What to compute.

    Attributes:
        guard: path of the GGUF.
        prompts: rendered.
    """

    guard: str
    prompts: list[str]


def compute_seconds(guard: Path, prompts: Sequence[str], spins: int | None = None) -> float:
    """How long bare llama.cpp takes for prompts in batches, in a process of its own that does nothing else.

    Args:
        guard: the GGUF.
        prompts: rendered.
        spins: how often a waiting thread looks before it sleeps; None for llama.cpp's default.
    """
    spinning = {} if spins is None else {"GOMP_SPINCOUNT": str(spins)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare_batches"],
        input=json.dumps(asdict(Job(str(guard), list(prompts)))),
        env=environment() | spinning,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["seconds"])


class _Bare:
    """A model and its context, by llama.cpp's own calls."""

    def __init__(self, guard: str) -> None:
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(guard), parameters)
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._context = llama_cpp.llama_init_from_model(self._model, _context_parameters())
        self._memory = llama_cpp.llama_get_memory(self._context)

    def tokens(self, prompt: str) -> list[int]:
        """Token ids, marks included."""
        data = prompt.encode()
        ids = (ctypes.c_int32 * (len(data) + 3))()
        add_special = parse_special = True
        count = llama_cpp.llama_tokenize(self._vocabulary, data, len(data), ids, len(ids), add_special, parse_special)
        return list(ids[:count])

    def decode(self, batch: Any, outputs: Sequence[int]) -> None:  # noqa: ANN401 - an untyped C structure
        """Compute a batch, and read one number of each row of logits so that it is there."""
        if status := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama.cpp's decode failed with status {status}")
        for index in outputs:
            llama_cpp.llama_get_logits_ith(self._context, index)[0]
        contents_too = False
        llama_cpp.llama_memory_clear(self._memory, contents_too)


def _context_parameters() -> Any:  # noqa: ANN401 - an untyped C structure
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = _BATCH_TOKENS
    parameters.n_ubatch = _STEP_TOKENS
    parameters.n_seq_max = parameters.n_outputs_max = SEQUENCES
    parameters.n_threads = parameters.n_threads_batch = usable_cores()
    # What is fastest for prompts of different lengths, and right for those longer than the sliding window.
    parameters.kv_unified = parameters.swa_full = True
    parameters.no_perf = True
    return parameters


def _batches(prompts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """In order, within the sequences and tokens of a batch."""
    batch: list[Sequence[int]] = []
    for prompt in prompts:
        if len(batch) == SEQUENCES or sum(map(len, batch)) + len(prompt) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


def _filled(prompts: Sequence[Sequence[int]]) -> tuple[Any, list[int]]:
    """A batch as llama.cpp takes it, and the places of its outputs."""
    batch = llama_cpp.llama_batch_init(sum(map(len, prompts)), 0, 1)
    outputs: list[int] = []
    index = 0
    for sequence, prompt in enumerate(prompts):
        for position, token in enumerate(prompt):
            last = position == len(prompt) - 1
            batch.token[index], batch.pos[index] = token, position
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = last
            outputs += [index] * last
            index += 1
    batch.n_tokens = index
    return batch, outputs


def main() -> None:
    """Do the job that is told on the input."""
    job = Job(**json.loads(sys.stdin.read()))
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
    bare = _Bare(job.guard)
    batches = [_filled(batch) for batch in _batches([bare.tokens(prompt) for prompt in job.prompts])]
    for batch, outputs in batches[:_WARM_UP_BATCHES]:
        bare.decode(batch, outputs)
    began = time.perf_counter()
    for batch, outputs in batches:
        bare.decode(batch, outputs)
    print(json.dumps({"seconds": time.perf_counter() - began}))


_SILENT: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
"""Held here, since llama.cpp keeps only the pointer."""


if __name__ == "__main__":
    main()
