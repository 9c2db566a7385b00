"""The guard's engine alone, in a process with nothing else in it.

Not in the benchmark's own: there torch has loaded the OpenMP library before llama.cpp could tell it how long to spin,
and the same engine takes another time than in the gateway.

``python -m benchmarks.engine_process GUARD`` reads lines of prompts and writes lines of seconds, both as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.served import environment
from guard.engines.llama_cpp import LlamaCppEngine


class EngineProcess:
    """Asks it.

    Args:
        prompts: where it reads.
        seconds: where it writes.
    """

    def __init__(self, prompts: IO[str], seconds: IO[str]) -> None:
        self._prompts = prompts
        self._seconds = seconds

    def score_seconds(self, prompts: Sequence[str]) -> float:
        """How long the engine takes for prompts, by its own process' clock."""
        self._prompts.write(json.dumps(list(prompts)) + "\n")
        self._prompts.flush()
        return float(json.loads(self._seconds.readline()))


@contextmanager
def engine_process(guard: Path) -> Iterator[EngineProcess]:
    """Start it; it ends with the block.

    Args:
        guard: the GGUF.
    """
    command = [sys.executable, "-m", "benchmarks.engine_process", str(guard)]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield EngineProcess(process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait()


def main() -> None:
    """Answer until the input ends."""
    engine = LlamaCppEngine(Path(sys.argv[1]))
    engine.start_sync()
    for line in sys.stdin:
        prompts = json.loads(line)
        began = time.perf_counter()
        engine.score_sync(prompts)
        print(time.perf_counter() - began, flush=True)
    engine.close()


if __name__ == "__main__":
    main()
