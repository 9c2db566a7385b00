"""The engine beside what llama.cpp alone costs: on the guard's own file, and on its base as it was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.bare_llama import BATCH_PROMPTS
from benchmarks.context import Context
from benchmarks.full_base import full_base
from benchmarks.llama_process import LlamaProcess
from benchmarks.results import Section, Table, Target
from benchmarks.rounds import Measured, Timing, chunked, interleave
from benchmarks.timing import milliseconds

_QUANTISATION: Final = "Q4_0"

_ENGINE: Final = "the guard's engine"
_FLOOR: Final = "bare llama.cpp, the guard's file"
_BASE: Final = "bare llama.cpp, the whole base"
_TOGETHER: Final = f", {BATCH_PROMPTS} at once"

_TEXT: Final = """{prompts} prompts of the test side, the natural mix of lengths, {rounds} rounds; each of the six ways
computes {chunk} prompts, then the next way does, all in one process with the same settings of OpenMP. A prompt's time
is the median over the rounds; percentiles are over prompts, or over batches of {chunk}.

*Bare* is `llama_decode` alone, through llama-cpp-python's low-level interface: tokens prepared before, the cache
cleared before each prompt, the logits of the last token, as many threads as the engine has. The engine's time has
everything: the rendered prompt as text, tokens, its queue and thread, the two logits out. *The whole base* has all its
layers and tokens, at {kind} like the guard (embedding and output rows at Q8_0 in both), and reads the same texts with
its own vocabulary. On a 2-core AMD EPYC with AVX-512 (commit 1bb3433) the engine's median was 7.53 ms, 0.43 times that
of the whole base and 1.04 times that of the guard's file in bare llama.cpp. A process with the engine alone, Python
included, holds {resident:.0f} MiB; the files have {guard_mb:.0f} MB and {base_mb:.0f} MB."""


def measure(context: Context) -> Section:
    """All ways in turn."""
    base = full_base(context, _QUANTISATION)
    chunks = chunked(context.prompts, BATCH_PROMPTS)
    with LlamaProcess(context.guard) as process:
        # Before the other ways load their models into it; one round of the engine, so that it has touched its own.
        process.engine(chunks)
        resident_mib = process.resident_mib
        ways = _ways(process, context.guard, base, chunks)
        timings = interleave(ways, [len(chunk) for chunk in chunks], context.rounds)
    text = _TEXT.format(
        prompts=len(context.prompts),
        rounds=context.rounds,
        chunk=BATCH_PROMPTS,
        kind=_QUANTISATION,
        resident=resident_mib,
        guard_mb=context.guard.stat().st_size / 1e6,
        base_mb=base.stat().st_size / 1e6,
    )
    tables = [_table("one prompt", timings, ""), _table(f"{BATCH_PROMPTS} at once", timings, _TOGETHER)]
    return Section("engine", "The engine beside bare llama.cpp", text, tables, _targets(timings))


def _ways(
    process: LlamaProcess, guard: Path, base: Path, chunks: Sequence[Sequence[str]]
) -> dict[str, Callable[[int], Measured]]:
    return {
        _FLOOR: lambda index: process.bare(guard, _lone(chunks[index])),
        _ENGINE: lambda index: process.engine(_lone(chunks[index])),
        _BASE: lambda index: process.bare(base, _lone(chunks[index])),
        _FLOOR + _TOGETHER: lambda index: process.bare(guard, [chunks[index]]),
        _ENGINE + _TOGETHER: lambda index: process.engine([chunks[index]]),
        _BASE + _TOGETHER: lambda index: process.bare(base, [chunks[index]]),
    }


def _lone(chunk: Sequence[str]) -> list[list[str]]:
    return [[prompt] for prompt in chunk]


def _table(title: str, timings: Mapping[str, Timing], suffix: str) -> Table:
    columns = [title, "p50 ms", "p95 ms", "p99 ms", "prompts/s", "CPU s per 1,000"]
    return Table(columns, [_row(name, timings[name + suffix]) for name in (_FLOOR, _ENGINE, _BASE)])


def _row(name: str, timing: Timing) -> list[str]:
    times = [milliseconds(timing.at(percent)) for percent in (50, 95, 99)]
    return [name, *times, f"{timing.prompts_per_s:.1f}", f"{timing.cpu_s_per_1000:.1f}"]


def _targets(timings: Mapping[str, Timing]) -> list[Target]:
    engine, floor, base = (timings[name].at(50) for name in (_ENGINE, _FLOOR, _BASE))
    rates = [timings[name + _TOGETHER].prompts_per_s for name in (_ENGINE, _FLOOR)]
    return [
        Target("engine p50 over bare llama.cpp with the whole base", engine / base, 0.6),
        Target("engine p50 over bare llama.cpp with the guard's file", engine / floor, 1.15),
        Target(
            f"engine's rate with {BATCH_PROMPTS} at once over bare batches", rates[0] / rates[1], 0.85, at_most=False
        ),
    ]
