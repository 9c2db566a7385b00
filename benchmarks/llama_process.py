"""The guard's engine and bare llama.cpp in a process of their own, as they are in one that serves.

In the benchmarks' own process PyTorch has been loaded, and with it its copy of OpenMP's library, which llama.cpp would
then use, with settings read before the engine made its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, Final, Self, TypeVar

from benchmarks.bare_llama import BareLlama
from benchmarks.rounds import Measured, measured
from benchmarks.served import environment
from benchmarks.timing import resident_mib
from guard.calibration import LabelLogits
from guard.engines.cores import usable_cores
from guard.engines.llama_cpp import LlamaCppEngine

_ROOT: Final = Path(__file__).parents[1]
_STOP_SECONDS: Final = 60
_Result = TypeVar("_Result")


class LlamaProcess:
    """That process, seen from the benchmarks.

    Args:
        guard: the guard's GGUF, for the engine.
    """

    def __init__(self, guard: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.llama_process", str(guard)]
        self._process = Popen(command, cwd=_ROOT, env=environment(), stdin=PIPE, stdout=PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=_STOP_SECONDS)
        finally:
            self._process.kill()

    def engine(self, batches: Sequence[Sequence[str]]) -> Measured:
        """Batches of rendered prompts, scored by the engine; each batch is a unit."""
        return Measured(**self._ask("engine", batches)["measured"])

    def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """The engine's logits of rendered prompts."""
        return [LabelLogits(*pair) for pair in self._ask("score", [prompts])["logits"]]

    def bare(self, path: Path, batches: Sequence[Sequence[str]], changes: Mapping[str, int] | None = None) -> Measured:
        """Batches of rendered prompts, decoded by llama.cpp with this GGUF; each batch is a unit.

        Args:
            path: of the GGUF.
            batches: of prompts.
            changes: see :class:`benchmarks.bare_llama.BareLlama`.
        """
        return Measured(**self._ask("bare", batches, str(path), changes or {})["measured"])

    @property
    def resident_mib(self) -> float:
        """Memory of the process."""
        return resident_mib(self._process.pid)

    def _ask(
        self, way: str, batches: Sequence[Sequence[str]], path: str = "", changes: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"way": way, "path": path, "changes": changes, "batches": batches}) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the process of llama.cpp ended; its last words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


class _LentEngine(LlamaCppEngine):
    """The engine, its thread lent to others.

    OpenMP keeps a team for each thread that computes, and lets all of them wait more shortly when they are more than
    the cores: with a second team the engine would not be what it is in a process that serves.
    """

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Do this in the engine's thread."""
        return self._submit(work).result()


class _Server:
    """Answers one request after the other."""

    def __init__(self, guard: Path) -> None:
        self._engine = _LentEngine(guard)
        self._engine.start_sync()
        self._bare: dict[tuple[str, frozenset[tuple[str, int]]], BareLlama] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        batches = request["batches"]
        if request["way"] == "score":
            return {"logits": [[pair.off_topic, pair.on_topic] for pair in self._engine.score_sync(batches[0])]}
        if request["way"] == "engine":
            return _told(measured([partial(self._engine.score_sync, batch) for batch in batches]))
        return _told(self._engine.run(partial(self._measure_bare, request["path"], request["changes"], batches)))

    def _measure_bare(self, path: str, changes: dict[str, int], batches: Sequence[Sequence[str]]) -> Measured:
        key = (path, frozenset(changes.items()))
        if key not in self._bare:
            self._bare[key] = BareLlama(Path(path), usable_cores(), changes)
        bare = self._bare[key]
        return measured([bare.lone(batch[0]) if len(batch) == 1 else bare.together(batch) for batch in batches])


def _told(found: Measured) -> dict[str, Any]:
    return {"measured": asdict(found)}


def main() -> None:
    """Answer requests until there are no more."""
    server = _Server(Path(sys.argv[1]))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(server.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
