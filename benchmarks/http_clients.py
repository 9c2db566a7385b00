"""Clients that post prompts over kept connections, each waiting for its answer before it asks again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import httpx

from benchmarks.rounds import Measured
from benchmarks.served import Listening
from benchmarks.timing import cpu_seconds


class HttpClients:
    """So many clients of one server.

    Args:
        server: to ask.
        clients: how many.
        body: what is posted for a rendered prompt.
    """

    def __init__(self, server: Listening, clients: int, body: Callable[[str], Mapping[str, object]]) -> None:
        self._server = server
        self._clients = clients
        self._body = body
        self._runner = asyncio.Runner()
        # No timeout: under load a slow answer is a figure, not a failure; proxies are not for this machine's servers.
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
        self._http = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def ask(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """The answers, in the prompts' order."""
        return [answer for answer, _seconds in self._runner.run(self._ask_all(prompts))]

    def time(self, prompts: Sequence[str]) -> Measured:
        """How long each answer takes; the processor time is the server's."""
        cpu_before, begin = cpu_seconds(self._server.pid), time.perf_counter()
        found = self._runner.run(self._ask_all(prompts))
        wall_s = time.perf_counter() - begin
        return Measured([seconds for _answer, seconds in found], wall_s, cpu_seconds(self._server.pid) - cpu_before)

    async def _ask_all(self, prompts: Sequence[str]) -> list[tuple[dict[str, Any], float]]:
        waiting = iter(enumerate(prompts))
        answers: dict[int, tuple[dict[str, Any], float]] = {}

        async def client() -> None:
            # All take from the same iterator: whoever is free takes the next one.
            for place, prompt in waiting:
                answers[place] = await self._ask(prompt)

        await asyncio.gather(*(client() for _ in range(self._clients)))
        return [answers[place] for place in range(len(prompts))]

    async def _ask(self, prompt: str) -> tuple[dict[str, Any], float]:
        before = time.perf_counter()
        response = await self._http.post(self._server.url, json=self._body(prompt))
        response.raise_for_status()
        return response.json(), time.perf_counter() - before
