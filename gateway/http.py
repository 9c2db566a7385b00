"""The client's side of one request: its body, its leaving, whole answers to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
from starlette.types import Receive, Send

from gateway.errors import BodyTooLargeError
from gateway.styles import Answer


class ClientGoneError(Exception):
    """The client left before its answer was complete."""


class Client:
    """What comes from the client, read in order by one reader at a time.

    Args:
        receive: of ASGI.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = asyncio.Event()

    async def stream(self, max_bytes: int | None) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            BodyTooLargeError: if there is more than ``max_bytes``.
            ClientGoneError: if the client leaves before its end.
        """
        size = 0
        while not self._complete.is_set():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if not message.get("more_body", False):
                self._complete.set()
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
            if chunk:
                yield chunk

    async def body(self, max_bytes: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: if it is longer than ``max_bytes``.
            ClientGoneError: if the client leaves before its end.
        """
        return b"".join([chunk async for chunk in self.stream(max_bytes)])

    async def gone(self) -> None:
        """Wait until the client has left; a body that is still coming is left to its reader."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def while_connected(client: Client, work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, cancelled at once when the client leaves.

    Raises:
        ClientGoneError: if it left first.
        Exception: whatever ``work`` raised.
    """
    finished = False
    # Not a task group, which takes four times as long; nor the task's own cancel(), which no shield holds off.
    with anyio.CancelScope() as scope:
        watcher = asyncio.create_task(_cancel_when_gone(client, scope))
        try:
            await work()
            finished = True
        finally:
            watcher.cancel()
    if not finished:
        raise ClientGoneError


async def _cancel_when_gone(client: Client, scope: anyio.CancelScope) -> None:
    await client.gone()
    scope.cancel()


async def send_answer(send: Send, answer: Answer, headers: list[tuple[bytes, bytes]], *, head_only: bool) -> None:
    """Send a whole answer; without its body for HEAD."""
    length = (b"content-length", str(len(answer.body)).encode())
    own = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    start = [(b"content-type", answer.content_type.encode()), length, *own, *headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": start})
    await send({"type": "http.response.body", "body": b"" if head_only else answer.body, "more_body": False})
