"""Connections to the server behind."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from gateway import upstream as upstream_module
from gateway.metrics import Metrics
from gateway.upstream import Upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


async def _ask(upstream: Upstream) -> bytes:
    """The body of an answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await upstream.relay(await upstream.open("GET", b"/api/tags", b"", [], b""), send, [])
    return b"".join(message.get("body", b"") for message in sent)


async def test_an_idle_connection_is_closed_though_nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it is used again."""
    monkeypatch.setattr(upstream_module, "KEEP_ALIVE_SECONDS", 0.3)
    heads: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(10_000):
            heads.append(head)
            writer.write(HEAD + b"ok")
        ended.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Upstream(f"http://127.0.0.1:{port}", 5, Metrics()) as upstream:
            assert [await _ask(upstream), await _ask(upstream)] == [b"ok", b"ok"]
            assert not ended.is_set()
            await asyncio.wait_for(ended.wait(), 20)
    assert [head.split(b"\r\n")[0] for head in heads] == [b"GET /api/tags HTTP/1.1"] * 2


async def test_a_connection_in_use_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its answer takes."""
    monkeypatch.setattr(upstream_module, "KEEP_ALIVE_SECONDS", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(HEAD + b"o")
        await asyncio.sleep(0.5)
        writer.write(b"k")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Upstream(f"http://127.0.0.1:{port}", 5, Metrics()) as upstream:
            assert await _ask(upstream) == b"ok"
