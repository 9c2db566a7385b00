"""The gateway's added latency: one client, the same texts directly, through the gateway, and at the engine alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx

from benchmarks.bodies import JSON_HEADERS, chat_body
from benchmarks.context import Context
from benchmarks.engine_process import EngineProcess, engine_process
from benchmarks.hot_path import hot_path
from benchmarks.results import Section, Table, Target
from benchmarks.served import served, upstream
from benchmarks.texts import single_turns
from benchmarks.timing import milliseconds, percentile, resident_mib
from guard.prompt import PromptTemplate, Role, Turn, render_prompts
from train.rows import Row

LEAST_STARTS: Final = 3
WARM_UP: Final = tuple(f"{text} (warm-up)" for text in ("Who is Spock?", "What is a warp core?", "best borg episode"))
"""Asked first: dialects are imported and connections opened with the first requests. No test row is written so."""

_TEXT: Final = """
One client with one connection, one request at a time, to `/api/chat` without streaming; behind is a canned upstream in
a process of its own. Each text in turn goes directly to the upstream, through the gateway as a new text, through it
again as one whose verdict is remembered, and to the guard's engine alone, in another process; every other text in
reverse order. What is added is the difference for the same text. Each round has a gateway of its own, so nothing is
remembered from the last; all have the default settings. Texts that the guard refuses are answered by the gateway
itself and counted apart. "Judging" is what the gateway's own `Server-Timing` says, from the parsed body to the
decision; "beyond the engine" is what was added less what the engine alone took for that text.

The engine reads all its weights for a prompt, which empties the caches that client, gateway and upstream run from: what
that costs a request which no gateway touches is the difference between "directly" and "directly, right after the
engine has computed". It is part of what is added to a new text.

The shares of the second table are the profiler's (cProfile, one client, log lines not written), which makes small
Python functions look dearer than they are. What would shorten it most, another library for the connections to the
upstream, was tried and not kept (docs/design.md says why).

These are milliseconds, not ratios: on a 2-core AMD EPYC, where the same upstream takes 0.7 times as long
("directly" 0.70 ms), 2.56 ms were added beyond the engine and 1.64 ms to a remembered text (commit 1bb3433).
"""


@dataclass(slots=True)
class _Timings:
    """Seconds, a text each; lists are in the same order.

    Attributes:
        direct: at the upstream.
        after_engine: at the upstream, right after the engine has computed.
        new: through the gateway, not seen before.
        again: through the gateway, remembered.
        engine: the guard alone.
        judging: what the gateway tells of a new one.
    """

    direct: list[float] = field(default_factory=list)
    after_engine: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    judging: list[float] = field(default_factory=list)

    @property
    def added_new(self) -> list[float]:
        """By the gateway to a new text."""
        return [new - direct for new, direct in zip(self.new, self.direct, strict=True)]

    @property
    def added_again(self) -> list[float]:
        """By the gateway to a text whose verdict it remembers."""
        return [again - direct for again, direct in zip(self.again, self.direct, strict=True)]

    @property
    def beyond_engine(self) -> list[float]:
        """Of what is added to a new text, what the engine does not take."""
        return [added - engine for added, engine in zip(self.added_new, self.engine, strict=True)]


@dataclass(slots=True)
class _Found:
    """What all rounds found."""

    forwarded: _Timings = field(default_factory=_Timings)
    refused: _Timings = field(default_factory=_Timings)
    resident: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)


class _Comparison:
    """One round's ways to ask."""

    def __init__(self, client: httpx.Client, upstream_url: str, gateway_url: str, engine: EngineProcess) -> None:
        self._client = client
        self._upstream = f"{upstream_url}/api/chat"
        self._gateway = f"{gateway_url}/api/chat"
        self._engine = engine

    def warm_up(self, template: PromptTemplate) -> None:
        """Ask once in every way."""
        for text in WARM_UP:
            self._post(self._upstream, chat_body(text))
            self._post(self._gateway, chat_body(text))
            self._engine.score_seconds(render_prompts([Turn(Role.USER, text)], template))

    def compare(self, row: Row, prompts: Sequence[str], found: _Found, *, backwards: bool) -> None:
        """Time one text in every way."""
        body = chat_body(row.text)
        alone = partial(self._engine_then_direct, body, prompts)
        through = partial(self._new_then_again, body)
        if backwards:
            (engine, after), (new, again, answer), (direct, _) = alone(), through(), self._post(self._upstream, body)
        else:
            (direct, _), (new, again, answer), (engine, after) = self._post(self._upstream, body), through(), alone()
        timings = found.refused if answer.headers["x-guard-decision"] == "block" else found.forwarded
        timings.direct.append(direct)
        timings.after_engine.append(after)
        timings.new.append(new)
        timings.again.append(again)
        timings.engine.append(engine)
        timings.judging.append(_judging_seconds(answer))

    def _engine_then_direct(self, body: bytes, prompts: Sequence[str]) -> tuple[float, float]:
        return self._engine.score_seconds(prompts), self._post(self._upstream, body)[0]

    def _new_then_again(self, body: bytes) -> tuple[float, float, httpx.Response]:
        new, answer = self._post(self._gateway, body)
        return new, self._post(self._gateway, body)[0], answer

    def _post(self, url: str, body: bytes) -> tuple[float, httpx.Response]:
        began = time.perf_counter()
        answer = self._client.post(url, content=body, headers=JSON_HEADERS)
        seconds = time.perf_counter() - began
        answer.raise_for_status()
        return seconds, answer


def measure(context: Context) -> Section:
    """Compare, and look at memory and starts."""
    found = _Found()
    with upstream() as behind, engine_process(context.guard) as engine:
        for number in range(context.rounds):
            _round(context, behind.url, engine, found, number)
        while len(found.starts) < LEAST_STARTS:
            with served(behind.url) as gateway:
                found.starts.append(gateway.seconds_to_ready)
        path = hot_path(context.guard, behind.url)
    return _section(found, path, context.rounds)


def _round(context: Context, upstream_url: str, engine: EngineProcess, found: _Found, number: int) -> None:
    with served(upstream_url) as gateway, httpx.Client(timeout=60, trust_env=False) as client:
        found.starts.append(gateway.seconds_to_ready)
        comparison = _Comparison(client, upstream_url, gateway.url, engine)
        comparison.warm_up(context.template)
        for index, row in enumerate(single_turns(context)):
            prompts = render_prompts(row.turns, context.template)
            comparison.compare(row, prompts, found, backwards=(index + number) % 2 == 1)
        found.resident.append(resident_mib(gateway.pid))


def _judging_seconds(answer: httpx.Response) -> float:
    return float(answer.headers["server-timing"].rpartition("dur=")[2]) / 1000


def _section(found: _Found, path: Table, rounds: int) -> Section:
    told = _Told(found)
    latencies = Table(["one request, ms", "requests", "p50", "p95", "p99"], told.rows())
    process = Table(
        ["the gateway's process, no embedded chat model", "figure"],
        [
            [f"resident after a round, most of {rounds}, MiB", f"{max(found.resident):.0f}"],
            [f"start to ready, median of {len(found.starts)}, s", f"{statistics.median(found.starts):.2f}"],
        ],
    )
    return Section("gateway", "The gateway's added latency", _TEXT, [latencies, path, process], told.targets())


class _Told:
    """What was found, as cells and verdicts."""

    def __init__(self, found: _Found) -> None:
        self._found = found

    def rows(self) -> list[list[str]]:
        """Cells of the table of latencies."""
        forwarded, refused = self._found.forwarded, self._found.refused
        named = {
            "directly to the upstream": forwarded.direct,
            "directly, right after the engine has computed": forwarded.after_engine,
            "through the gateway, new text": forwarded.new,
            "through the gateway, remembered": forwarded.again,
            "the engine alone": forwarded.engine,
            "**added, new text**": forwarded.added_new,
            "of that, judging": forwarded.judging,
            "of that, beyond the engine": forwarded.beyond_engine,
            "**added, remembered**": forwarded.added_again,
            "refused, new text": refused.new,
            "refused, the engine alone": refused.engine,
            "refused, remembered": refused.again,
        }
        return [_cells(name, values) for name, values in named.items() if values]

    def targets(self) -> list[Target]:
        """The bounds, with this run's figures."""
        forwarded = self._found.forwarded
        added, engine, again = (
            percentile(values, 50) * 1e3 for values in (forwarded.added_new, forwarded.engine, forwarded.added_again)
        )
        resident, ready = max(self._found.resident), statistics.median(self._found.starts)
        beyond = f"gateway's added p50 ({added:.2f} ms, new text) less the engine's ({engine:.2f} ms), ms"
        return [
            Target(beyond, added - engine, 1.5),
            Target("gateway's added p50, verdict remembered, ms", again, 1.5),
            Target("resident memory of `serve` without an embedded chat model, MiB", resident, 300),
            Target("start to ready with the guard in the cache, s", ready, 2),
        ]


def _cells(name: str, values: Sequence[float]) -> list[str]:
    return [name, str(len(values)), *(milliseconds(percentile(values, percent)) for percent in (50, 95, 99))]
