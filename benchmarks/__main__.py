"""``python -m benchmarks GUARD.gguf``: the in-process guard, alone and in batches, on prompts of the hard set.

Rounds of single and batched computation alternate, so that another tenant of the machine slows both; medians are told.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from guard.engines.llama_cpp import LlamaCppEngine
from guard.labels import DEFAULT_LABELS
from guard.prompt import render_prompts
from train.hard import read_hard
from train.run import DATA

ROUNDS: Final = 5
BATCH_PROMPTS: Final = 16
MAX_PROMPTS: Final = 200


def main() -> None:
    """Measure the guard that the first argument names, and print a table."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks GUARD.gguf   (startrek-guard model build prints its path)")
    engine = LlamaCppEngine(Path(sys.argv[1]))
    started = time.perf_counter()
    manifest = engine.start_sync()
    ready = time.perf_counter() - started
    rows = read_hard(DATA / "startrek" / "hard", DEFAULT_LABELS)
    prompts = [prompt for row in rows for prompt in render_prompts(row.turns, manifest.template)][:MAX_PROMPTS]
    single, batched = [], []
    for _ in range(ROUNDS):
        single += _alone(engine, prompts)
        batched.append(_in_batches(engine, prompts))
    engine.close()
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores; {len(prompts)} prompts, {ROUNDS} rounds each")
    print(f"ready after start: {ready:.2f} s")
    print(f"one prompt: p50 {statistics.median(single) * 1e3:.1f} ms, p95 {_quantile(single, 95) * 1e3:.1f} ms")
    print(f"batches of {BATCH_PROMPTS}: {statistics.median(batched):.0f} prompts/s (median of rounds)")


def _alone(engine: LlamaCppEngine, prompts: Sequence[str]) -> list[float]:
    """Seconds of each prompt by itself."""
    seconds = []
    for prompt in prompts:
        before = time.perf_counter()
        engine.score_sync([prompt])
        seconds.append(time.perf_counter() - before)
    return seconds


def _in_batches(engine: LlamaCppEngine, prompts: Sequence[str]) -> float:
    """Prompts a second in full batches."""
    before = time.perf_counter()
    for start in range(0, len(prompts), BATCH_PROMPTS):
        engine.score_sync(prompts[start : start + BATCH_PROMPTS])
    return len(prompts) / (time.perf_counter() - before)


def _quantile(seconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]


if __name__ == "__main__":
    main()
