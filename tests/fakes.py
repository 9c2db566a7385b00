"""The wire and the guard model, faked; nothing of the project's own is."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.server import server_for
from guard.calibration import LabelLogits
from guard.engines.base import EngineAnswerError
from guard.manifest import GuardManifest
from guard.prompt import PromptTemplate

TEMPLATE: Final = PromptTemplate(prefix="<s>", turn="<t>", suffix="</s>")

OFF_TOPIC_WORDS: Final = ("egg", "tax", "sourdough")


def judged_text(prompt: str) -> str:
    """The text that a rendered prompt asks about: its last."""
    return prompt.removeprefix(TEMPLATE.prefix).removesuffix(TEMPLATE.suffix).rpartition(TEMPLATE.turn)[2]


class ScriptedEngine:
    """Calls a text off topic that has one of :data:`OFF_TOPIC_WORDS`, looking at the last turn only.

    Attributes:
        batches: the prompts of every call.
        gate: calls wait for it; set it again with :meth:`hold` and ``gate.set()``.
        error: raised in place of an answer.
        answer: to everything, in place of the script's.
        unanswerable: a prompt; a call with it gets no answer.
    """

    def __init__(self, max_batch_prompts: int = 8, max_batch_bytes: int = 1 << 20) -> None:
        self.name = self.fingerprint = "scripted"
        self.max_batch_prompts = max_batch_prompts
        self.max_batch_bytes = max_batch_bytes
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.answer: LabelLogits | None = None
        self.unanswerable: str | None = None
        self.started = asyncio.Event()
        self.closed = False

    async def start(self) -> GuardManifest:
        """Give the manifest."""
        return GuardManifest(name="scripted-guard", topic="Star Trek", template=TEMPLATE)

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """Answer by the script."""
        self.batches.append(list(prompts))
        self.started.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.unanswerable in prompts:
            raise EngineAnswerError("no logits")
        return [self.answer or _logits(judged_text(prompt)) for prompt in prompts]

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True

    def hold(self) -> None:
        """Let the next calls wait."""
        self.gate.clear()
        self.started.clear()

    @property
    def judged(self) -> list[str]:
        """Every text that was asked about."""
        return [judged_text(prompt) for batch in self.batches for prompt in batch]


def _logits(text: str) -> LabelLogits:
    off_topic = any(word in text.lower() for word in OFF_TOPIC_WORDS)
    return LabelLogits(off_topic=4.0 if off_topic else -4.0, on_topic=-4.0 if off_topic else 4.0)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that reached the upstream."""

    method: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class FakeUpstream:
    """A server that records what it gets and answers what it is told, piece by piece.

    Attributes:
        requests: everything that arrived whole.
        status: of the answer.
        headers: of the answer.
        pieces: of its body.
        gate: before each piece but the first; holds them back while clear.
        head_gate: before the head of the answer.
        waiting: set when a request has arrived whole.
        closed: set when a client left before its answer was complete.
        reset: break the connection off in place of the last piece.
    """

    requests: list[Recorded] = field(default_factory=list)
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"content-type", b"application/x-ndjson")])
    pieces: list[bytes] = field(default_factory=lambda: [b'{"done":true}\n'])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    head_gate: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    reset: bool = False

    def __post_init__(self) -> None:
        self.gate.set()
        self.head_gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        message: Message = {"more_body": True}
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
        self.requests.append(
            Recorded(scope["method"], scope["raw_path"], scope["query_string"], list(scope["headers"]), body)
        )
        self.waiting.set()
        await self._answer(receive, send)

    async def _answer(self, receive: Receive, send: Send) -> None:
        answering = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            self.closed.set()
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await self.head_gate.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for index, piece in enumerate(self.pieces):
            if index:
                await self.gate.wait()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not self.reset:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})


@asynccontextmanager
async def serving(app: ASGIApp, *, client_timeout_seconds: float = 60.0) -> AsyncIterator[str]:
    """``app`` on a real socket of its own; gives its base address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = server_for(app, "127.0.0.1", 0, client_timeout_seconds=client_timeout_seconds)
    task = asyncio.ensure_future(server.serve([listener]))
    try:
        while not server.started:
            if task.done():
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def eventually(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until ``condition`` holds.

    Raises:
        TimeoutError: if it does not.
    """
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)
