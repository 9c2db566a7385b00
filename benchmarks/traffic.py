"""What clients do to a gateway in a day: good requests of every kind, bad ones, and leaving."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import httpx

from benchmarks.bodies import JSON_HEADERS, chat_body, long_text

LONG_BYTES: Final = (4_000, 16_000)
"""Of a long text, at least and at most."""

_LEAVES_AFTER_SECONDS: Final = 0.02
"""A long text is still being judged then."""

_KNOWN_TEXTS: Final = 32
"""That are asked again and again."""


class UnexpectedAnswerError(Exception):
    """An answer is not what the request should get."""


_Kind: TypeAlias = Callable[[], Awaitable[None]]


class Visitor:
    """One client that does now this, now that.

    Args:
        client: with the gateway as its base address.
        texts: of the test side, on and off topic.
        seed: of its choices.

    Attributes:
        long_seconds: how long each answer to a long text took, the right and the wrong ones.
    """

    def __init__(self, client: httpx.AsyncClient, texts: Sequence[str], seed: str) -> None:
        self.long_seconds: list[float] = []
        self._client = client
        self._texts = texts
        self._random = random.Random(seed)
        self._asked = 0
        self._seed = seed
        self._kinds: list[tuple[_Kind, int]] = [
            (self._chat, 30),
            (self._chat_stream, 20),
            (self._openai, 15),
            (self._openai_stream, 10),
            (self._vanish, 8),
            (self._bad_json, 5),
            (self._unknown_route, 5),
            (self._managing, 2),
            (self._passed, 2),
            (self._long, 2),
            (self._leave_while_judged, 1),
        ]

    async def visit(self) -> None:
        """One request of some kind.

        Raises:
            UnexpectedAnswerError: if the answer is not what it should be.
            httpx.HTTPError: if there is none.
        """
        kinds, weights = zip(*self._kinds, strict=True)
        await self._random.choices(kinds, weights)[0]()

    async def think(self, mean_seconds: float) -> None:
        """Pause as people do."""
        await asyncio.sleep(self._random.expovariate(1 / mean_seconds))

    def _text(self) -> str:
        """Half the time one that was asked before, else a new one."""
        self._asked += 1
        if self._random.random() < 0.5:
            return self._random.choice(self._texts[:_KNOWN_TEXTS])
        return f"{self._random.choice(self._texts)} ({self._seed}, {self._asked})"

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        return await self._client.post(path, content=body, headers=JSON_HEADERS)

    async def _chat(self) -> None:
        answer = await self._post("/api/chat", chat_body(self._text()))
        _expect(answer, 200)
        if not answer.json()["message"]["content"]:
            raise UnexpectedAnswerError("a chat answer without text")

    async def _openai(self) -> None:
        answer = await self._post("/v1/chat/completions", chat_body(self._text()))
        _expect(answer, 200)
        if not answer.json()["choices"][0]["message"]["content"]:
            raise UnexpectedAnswerError("a completion without text")

    async def _chat_stream(self) -> None:
        lines = await self._lines("/api/chat")
        if not json.loads(lines[-1])["done"]:
            raise UnexpectedAnswerError("an NDJSON stream without its end")

    async def _openai_stream(self) -> None:
        lines = await self._lines("/v1/chat/completions")
        if lines[-1] != "data: [DONE]":
            raise UnexpectedAnswerError("an event stream without its end")

    async def _lines(self, path: str) -> list[str]:
        body = chat_body(self._text(), stream=True)
        async with self._client.stream("POST", path, content=body, headers=JSON_HEADERS) as answer:
            _expect(answer, 200)
            lines = [line async for line in answer.aiter_lines()]
        return [line for line in lines if line]

    async def _vanish(self) -> None:
        """Leave after the first piece; httpx closes a connection that was not read to its end."""
        body = chat_body(self._text(), stream=True)
        async with self._client.stream("POST", "/api/chat", content=body, headers=JSON_HEADERS) as answer:
            _expect(answer, 200)
            await anext(answer.aiter_raw())

    async def _long(self) -> None:
        body, began = chat_body(self._long_text()), time.monotonic()
        answer = await self._post("/api/chat", body)
        self.long_seconds.append(time.monotonic() - began)
        _expect(answer, 200)

    async def _leave_while_judged(self) -> None:
        try:
            async with asyncio.timeout(_LEAVES_AFTER_SECONDS):
                await self._long()
        except TimeoutError:
            pass  # as meant

    async def _bad_json(self) -> None:
        _expect(await self._post("/api/chat", chat_body(self._text())[:-1]), 400)

    async def _unknown_route(self) -> None:
        _expect(await self._client.get(f"/nowhere/{self._random.randrange(10**9)}"), 404)

    async def _managing(self) -> None:
        _expect(await self._post("/api/pull", b'{"model": "any"}'), 403)

    async def _passed(self) -> None:
        _expect(await self._client.get("/"), 200)

    def _long_text(self) -> str:
        shuffled = self._random.sample(self._texts, len(self._texts))
        return long_text(shuffled, self._random.randint(*LONG_BYTES))


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        asked = f"{answer.request.method} {answer.request.url.path}"
        got = f"status {answer.status_code} ({answer.headers.get('x-guard-reason', 'no reason')})"
        raise UnexpectedAnswerError(f"{asked}: {got}, wanted {status}")
