"""The answer to a call of the model, whole or streamed; it stops the model when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.embedded.errors import EmbeddedError
from gateway.embedded.generation import Call, Event, Finished, Generation
from gateway.embedded.model import ChatModel


class Wire(Protocol):
    """How one API writes an answer.

    Attributes:
        whole_type: content type of a whole answer.
        stream_type: content type of a streamed one.
    """

    whole_type: str
    stream_type: str

    def whole(self, text: str, finished: Finished) -> bytes:
        """The body of an answer in one piece."""

    def chunk(self, text: str) -> bytes:
        """A piece of a stream with text."""

    def last(self, finished: Finished) -> bytes:
        """What ends a stream."""

    def failure(self, error: EmbeddedError) -> bytes:
        """What ends a stream that began and can't go on."""


class ModelAnswer:
    """An ASGI application for one request: runs a call of the model and sends what comes of it.

    Args:
        model: to be asked.
        call: what is asked.
        wire: how the answer is written.
        stream: whether it is sent as it grows.
    """

    def __init__(self, model: ChatModel, call: Call, wire: Wire, *, stream: bool) -> None:
        self._model = model
        self._call = call
        self._wire = wire
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; before the first byte an error goes to the application's handlers, with its own status."""
        generation = self._model.submit(self._call)
        async with _cancelled_on_disconnect(generation, receive), aclosing(generation.events()) as events:
            if self._stream:
                await self._send_stream(events, send)
            else:
                await self._send_whole(events, scope, receive, send)

    async def _send_whole(
        self, events: AsyncGenerator[Event, None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        text: list[str] = []
        async for event in events:
            if isinstance(event, Finished):
                body = self._wire.whole("".join(text), event)
                await Response(body, media_type=self._wire.whole_type)(scope, receive, send)
            else:
                text.append(event)

    async def _send_stream(self, events: AsyncGenerator[Event, None], send: Send) -> None:
        # The status waits for the first event: an impossible call gets its own.
        begun = False
        try:
            async for event in events:
                if not begun:
                    begun = True
                    await send(_start(self._wire.stream_type))
                ended = isinstance(event, Finished)
                body = self._wire.last(event) if isinstance(event, Finished) else self._wire.chunk(event)
                await send({"type": "http.response.body", "body": body, "more_body": not ended})
        except EmbeddedError as error:
            if not begun:
                raise
            await send({"type": "http.response.body", "body": self._wire.failure(error), "more_body": False})


def _start(content_type: str) -> dict[str, object]:
    return {"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type.encode())]}


@asynccontextmanager
async def _cancelled_on_disconnect(generation: Generation, receive: Receive) -> AsyncIterator[None]:
    """Cancel the generation as soon as the client is gone, and at the latest at the end of the block."""
    watcher = asyncio.create_task(_cancel_when_gone(generation, receive), name="embedded-disconnect")
    try:
        yield
    finally:
        generation.cancel()
        watcher.cancel()
        await asyncio.wait({watcher})


async def _cancel_when_gone(generation: Generation, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    generation.cancel()
