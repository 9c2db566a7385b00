"""Bare llama.cpp in a process of its own: how many texts a second it computes in batches, with nothing around it.

``python -m benchmarks.bare_batches`` reads a :class:`Job` from its input and writes what it took. Texts
are cut into tokens and batches are filled beforehand: what is timed is decoding and reading the logits.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import llama_cpp

from benchmarks.bare_llama import BATCH_PROMPTS, BareLlama
from benchmarks.served import environment
from benchmarks.timing import cpu_seconds
from guard.engines.cores import usable_cores

_WARM_UP_PROMPTS: Final = 2 * BATCH_PROMPTS


@dataclass(frozen=True, slots=True)
class Job:
    """What to compute.

    Attributes:
        guard: path of the GGUF.
        prompts: rendered.
    """

    guard: str
    prompts: list[str]


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took.

    Attributes:
        seconds: from the first batch to the last.
        cpu_seconds: of all threads meanwhile.
    """

    seconds: float
    cpu_seconds: float


def bare_cost(guard: Path, prompts: Sequence[str], spins: int | None = None) -> Cost:
    """What bare llama.cpp takes for prompts in batches, in a process of its own that does nothing else.

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
    return Cost(**json.loads(done.stdout))


def main() -> None:
    """Do the job that is told on the input."""
    job = Job(**json.loads(sys.stdin.read()))
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
    bare = BareLlama(Path(job.guard), usable_cores())
    bare.together(job.prompts[:_WARM_UP_PROMPTS])()
    work = bare.together(job.prompts)
    began, used = time.perf_counter(), cpu_seconds()
    work()
    print(json.dumps(asdict(Cost(time.perf_counter() - began, cpu_seconds() - used))))


_SILENT: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
"""Held here, since llama.cpp keeps only the pointer."""


if __name__ == "__main__":
    main()
