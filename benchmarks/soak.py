"""Soak: mixed traffic for half an hour; memory, sockets and errors."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from benchmarks.context import Context
from benchmarks.plots import Line, plot_lines
from benchmarks.results import Section, Table, Target
from benchmarks.served import Served, served, upstream
from benchmarks.texts import single_turns
from benchmarks.timing import cpu_seconds, open_sockets, percentile, resident_mib
from benchmarks.traffic import LONG_BYTES, UnexpectedAnswerError, Visitor

CLIENTS: Final = 8
THINK_SECONDS: Final = 0.5
SAMPLE_SECONDS: Final = 10.0
WARM_UP_SHARE: Final = 0.1
MEDIAN_OF: Final = 5
IDLE_SECONDS: Final = 10.0
SOCKETS_CLOSED_SECONDS: Final = 15.0
"""For keep-alive to end: 5 s here and at the upstream."""

_TEXT: Final = f"""
{CLIENTS} clients, each with a pause of {THINK_SECONDS} s on average between requests, before a canned upstream:
`/api/chat` and `/v1/chat/completions`, streaming and not, on and off topic, new texts and repeated ones, long texts
of {LONG_BYTES[0]:,} to {LONG_BYTES[1]:,} bytes, bad JSON, unknown and refused routes, clients that leave in the
middle of a stream or while they are judged. All settings are the defaults. An error is any status but the one that the
request should get, a broken answer, or none.

The start is the end of the warm-up, the first {WARM_UP_SHARE:.0%} of the time: the median of its last {MEDIAN_OF}
samples. The end is the median of {MEDIAN_OF} samples within {IDLE_SECONDS:.0f} s without traffic. Between them memory
also grows by what is remembered, bounded by settings (16 MiB of verdicts, 4 MiB of answers). Sockets are counted
before the first request, and after the last client has closed its connections, within {SOCKETS_CLOSED_SECONDS:.0f} s.
"""


@dataclass(frozen=True, slots=True)
class _Sample:
    """The gateway's process at one moment.

    Attributes:
        seconds: since the traffic began.
        resident: MiB.
        sockets: open.
    """

    seconds: float
    resident: float
    sockets: int


@dataclass(slots=True)
class _Found:
    """What the soak found.

    Attributes:
        samples: during the traffic.
        idle: after it.
        sockets_before: open before the first request.
        sockets_after: open after all clients had left.
        sockets_swept: open after one more forwarded request.
        requests: that were made.
        errors: by what they were.
        long_seconds: what the answers to long texts took.
        cpu_seconds: of the gateway.
    """

    samples: list[_Sample] = field(default_factory=list)
    idle: list[_Sample] = field(default_factory=list)
    sockets_before: int = 0
    sockets_after: int = 0
    sockets_swept: int = 0
    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    long_seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def start_mib(self, seconds: float) -> float:
        """Resident memory at the end of the warm-up."""
        warm = [sample.resident for sample in self.samples if sample.seconds <= WARM_UP_SHARE * seconds]
        return statistics.median(warm[-MEDIAN_OF:])

    def end_mib(self) -> float:
        """Resident memory after the traffic."""
        return statistics.median(sample.resident for sample in self.idle[-MEDIAN_OF:])


class _Soak:
    """The traffic and who watches it."""

    def __init__(self, gateway: Served, texts: Sequence[str], seconds: float) -> None:
        self._gateway = gateway
        self._texts = texts
        self._seconds = seconds
        self._began = 0.0
        self._found = _Found(sockets_before=open_sockets(gateway.pid))

    async def run(self) -> _Found:
        """Traffic, then silence."""
        self._began, used = time.monotonic(), cpu_seconds(self._gateway.pid)
        async with asyncio.TaskGroup() as tasks:
            for number in range(CLIENTS):
                tasks.create_task(self._client(number))
            tasks.create_task(self._watch())
        self._found.cpu_seconds = cpu_seconds(self._gateway.pid) - used
        await self._close()
        await self._idle()
        return self._found

    async def _client(self, number: int) -> None:
        async with httpx.AsyncClient(base_url=self._gateway.url, timeout=120, trust_env=False) as client:
            visitor = Visitor(client, self._texts, f"client {number}")
            while self._elapsed() < self._seconds:
                try:
                    await visitor.visit()
                except (UnexpectedAnswerError, httpx.HTTPError) as error:
                    self._found.errors[f"{type(error).__name__}: {error}"] += 1
                self._found.requests += 1
                await visitor.think(THINK_SECONDS)
            self._found.long_seconds += visitor.long_seconds

    async def _watch(self) -> None:
        # As many samples in the warm-up of a short soak as a median needs.
        pause = min(SAMPLE_SECONDS, self._seconds * WARM_UP_SHARE / MEDIAN_OF)
        while self._elapsed() < self._seconds:
            self._found.samples.append(self._sample())
            await asyncio.sleep(pause)

    async def _close(self) -> None:
        """Wait until no more sockets are open than before, for as long as keep-alive may take."""
        deadline = time.monotonic() + SOCKETS_CLOSED_SECONDS
        while (sockets := open_sockets(self._gateway.pid)) > self._found.sockets_before:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        self._found.sockets_after = sockets
        # The pool looks after idle connections to the upstream only when it is used: this tells those from a leak.
        async with httpx.AsyncClient(base_url=self._gateway.url, timeout=120, trust_env=False) as client:
            await client.get("/")
        await asyncio.sleep(0.5)
        self._found.sockets_swept = open_sockets(self._gateway.pid)

    async def _idle(self) -> None:
        for _ in range(MEDIAN_OF):
            await asyncio.sleep(IDLE_SECONDS / MEDIAN_OF)
            self._found.idle.append(self._sample())

    def _sample(self) -> _Sample:
        return _Sample(self._elapsed(), resident_mib(self._gateway.pid), open_sockets(self._gateway.pid))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def measure(context: Context) -> Section:
    """Soak one gateway."""
    texts = [row.text for row in single_turns(context)]
    with upstream() as behind, served(behind.url) as gateway:
        found = asyncio.run(_Soak(gateway, texts, context.soak_seconds).run())
    tables, targets = _tables(found, context.soak_seconds), _targets(found, context.soak_seconds)
    return Section("soak", "Soak", _TEXT, tables, targets, [_plot(found)])


def _tables(found: _Found, seconds: float) -> list[Table]:
    samples = [*found.samples, *found.idle]
    figures = [
        ["traffic, s", f"{seconds:.0f}"],
        ["requests", f"{found.requests:,}"],
        ["errors", str(found.errors.total())],
        *(_long_figures(found.long_seconds) if found.long_seconds else ()),
        ["gateway's CPU time, s", f"{found.cpu_seconds:.0f}"],
        ["resident at the start, MiB", f"{found.start_mib(seconds):.1f}"],
        ["resident at the end, MiB", f"{found.end_mib():.1f}"],
        ["resident, most, MiB", f"{max(sample.resident for sample in samples):.1f}"],
        ["open sockets, before", str(found.sockets_before)],
        ["open sockets, most", str(max(sample.sockets for sample in samples))],
        ["open sockets, after", str(found.sockets_after)],
        ["open sockets, after one more forwarded request, its own included", str(found.sockets_swept)],
    ]
    tables = [Table(["soak", "figure"], figures)]
    if found.errors:
        rows = [[name.replace("|", "/"), str(count)] for name, count in found.errors.most_common(10)]
        tables.append(Table(["error", "times"], rows))
    return tables


def _long_figures(seconds: Sequence[float]) -> list[list[str]]:
    named = {f"p{percent}": percentile(seconds, percent) for percent in (50, 99)} | {"longest": max(seconds)}
    return [
        ["long texts answered", str(len(seconds))],
        *([f"answer to a long text, {name}, s", f"{value:.1f}"] for name, value in named.items()),
    ]


def _targets(found: _Found, seconds: float) -> list[Target]:
    start, end = found.start_mib(seconds), found.end_mib()
    return [
        Target(f"memory after the soak ({end:.0f} MiB) as a share of the start's ({start:.0f} MiB)", end / start, 1.05),
        Target("errors in the soak", found.errors.total(), 0),
        Target("open sockets after the soak, more than before", found.sockets_after - found.sockets_before, 0),
    ]


def _plot(found: _Found) -> str:
    samples = [*found.samples, *found.idle]
    minutes = [sample.seconds / 60 for sample in samples]
    line = Line("resident memory", minutes, [sample.resident for sample in samples], marker="")
    return plot_lines("soak.svg", [line], x="minutes", y="MiB")
