"""Things measured in turn: every thing one chunk, then every thing the next, round after round.

What disturbs the machine for a minute then disturbs all of them, and medians over the rounds leave most of it out.
Nothing here loads a library: it is used in the processes that are measured, too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.timing import cpu_seconds, percentile

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Measured:
    """One chunk of one thing.

    Attributes:
        seconds: of each of its units, be they prompts or batches.
        wall_s: from the first unit's begin to the last one's end.
        cpu_s: of the processor, by whatever process computed.
    """

    seconds: Sequence[float]
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One thing over all rounds.

    Attributes:
        prompts: of one round.
        unit_seconds: of each unit, the median over the rounds.
        wall_s: of one round, the median over the rounds.
        cpu_s: of one round, the median over the rounds.
    """

    prompts: int
    unit_seconds: Sequence[float]
    wall_s: float
    cpu_s: float

    def at(self, percent: int) -> float:
        """A percentile of the units' times, in seconds."""
        return percentile(self.unit_seconds, percent)

    @property
    def prompts_per_s(self) -> float:
        """Over a whole round."""
        return self.prompts / self.wall_s

    @property
    def cpu_s_per_1000(self) -> float:
        """Processor time of 1,000 prompts."""
        return self.cpu_s / self.prompts * 1000


def measured(units: Iterable[Callable[[], object]], cpu: Callable[[], float] = cpu_seconds) -> Measured:
    """Run units one after the other.

    Args:
        units: to run.
        cpu: tells the processor time of the process that computes; this one's, if it is not said.
    """
    seconds = []
    cpu_before, begin = cpu(), time.perf_counter()
    for unit in units:
        before = time.perf_counter()
        unit()
        seconds.append(time.perf_counter() - before)
    return Measured(seconds, time.perf_counter() - begin, cpu() - cpu_before)


def interleave(things: Mapping[str, Callable[[int], Measured]], sizes: Sequence[int], rounds: int) -> dict[str, Timing]:
    """Measure every thing on chunk after chunk, several rounds; one more chunk before that is not counted.

    Args:
        things: by name, each measures the chunk of that index.
        sizes: how many prompts each chunk has.
        rounds: how many.
    """
    for thing in things.values():
        thing(0)
    found: dict[str, list[list[Measured]]] = {name: [] for name in things}
    for _ in range(rounds):
        for chunks in found.values():
            chunks.append([])
        for index in range(len(sizes)):
            for name, thing in things.items():
                found[name][-1].append(thing(index))
    return {name: _timing(sum(sizes), chunks) for name, chunks in found.items()}


def chunked(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    """Neighbours together, the last chunk perhaps smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _timing(prompts: int, rounds: Sequence[Sequence[Measured]]) -> Timing:
    seconds = [[unit for chunk in chunks for unit in chunk.seconds] for chunks in rounds]
    return Timing(
        prompts=prompts,
        unit_seconds=[statistics.median(times) for times in zip(*seconds, strict=True)],
        wall_s=statistics.median(sum(chunk.wall_s for chunk in chunks) for chunks in rounds),
        cpu_s=statistics.median(sum(chunk.cpu_s for chunk in chunks) for chunks in rounds),
    )
