"""What else llama.cpp could be told, and other weights: whether anything is faster than what the engine does."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.bare_llama import BATCH_PROMPTS
from benchmarks.context import Context
from benchmarks.llama_process import LlamaProcess
from benchmarks.results import Section, Table
from benchmarks.rounds import Measured, Timing, chunked, interleave
from benchmarks.timing import milliseconds
from startrek_guard.guards import build, open_adapter

_PROMPTS: Final = 192
_TOGETHER: Final = ", together"
_LENGTHS: Final = {"up to 160 bytes": range(161), "longer": range(161, 1 << 20)}
"""Of rendered prompts, in UTF-8 bytes."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """One way to compute.

    Attributes:
        quantisation: of the guard's file.
        changes: to llama.cpp's context as the engine makes it.
    """

    quantisation: str = "Q4_0"
    changes: Mapping[str, int] = field(default_factory=dict)


_GGML_TYPE_F32: Final = 0
_FLASH_ATTENTION_DISABLED: Final = 0

_AS_SERVED: Final = "as the engine does it"
_SETTINGS: Final = {
    _AS_SERVED: _Setting(),
    "no flash attention": _Setting(changes={"flash_attn_type": _FLASH_ATTENTION_DISABLED}),
    "keys and values in float32": _Setting(changes={"type_k": _GGML_TYPE_F32, "type_v": _GGML_TYPE_F32}),
    "steps of 128 tokens, not 512": _Setting(changes={"n_ubatch": 128}),
    "a cache for each sequence": _Setting(changes={"kv_unified": 0}),
    "one thread": _Setting(changes={"n_threads": 1, "n_threads_batch": 1}),
    "weights at Q4_K_M": _Setting("Q4_K_M"),
    "weights at Q8_0": _Setting("Q8_0"),
}

_TEXT: Final = """What was tried to make llama.cpp itself faster. {prompts} prompts of the test side, {rounds} rounds,
bare llama.cpp as in the section before; a way differs from the engine's in what its name says, and in nothing else.
Medians of one prompt alone by its length in bytes, and prompts a second in batches of {batch}."""


def measure(context: Context) -> Section:
    """Time every setting."""
    prompts = context.prompts[:_PROMPTS]
    chunks = chunked(prompts, BATCH_PROMPTS)
    adapter = open_adapter(context.adapter_name)
    files = {kind: build(adapter, kind, None) for kind in {setting.quantisation for setting in _SETTINGS.values()}}
    with LlamaProcess(context.guard) as process:
        ways: dict[str, Callable[[int], Measured]] = {}
        for name, setting in _SETTINGS.items():
            ways |= _ways(process, name, files[setting.quantisation], setting.changes, chunks)
        timings = interleave(ways, [len(chunk) for chunk in chunks], context.rounds)
    text = _TEXT.format(prompts=len(prompts), rounds=context.rounds, batch=BATCH_PROMPTS)
    return Section("tuning", "Other settings of llama.cpp", text, [_table(timings, prompts)])


def _ways(
    process: LlamaProcess, name: str, path: Path, changes: Mapping[str, int], chunks: Sequence[Sequence[str]]
) -> dict[str, Callable[[int], Measured]]:
    return {
        name: lambda index: process.bare(path, [[prompt] for prompt in chunks[index]], changes),
        name + _TOGETHER: lambda index: process.bare(path, [chunks[index]], changes),
    }


def _table(timings: Mapping[str, Timing], prompts: Sequence[str]) -> Table:
    sizes = [len(prompt.encode()) for prompt in prompts]
    rows = []
    for name in _SETTINGS:
        seconds = timings[name].unit_seconds
        groups = [
            [second for second, size in zip(seconds, sizes, strict=True) if size in lengths]
            for lengths in _LENGTHS.values()
        ]
        medians = [milliseconds(statistics.median(group)) if group else "–" for group in groups]
        rows.append([name, *medians, f"{timings[name + _TOGETHER].prompts_per_s:.1f}"])
    return Table(["way", *(f"p50 ms, {name}" for name in _LENGTHS), "prompts/s"], rows)
