"""Connections to the server behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

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


async def _streamed() -> AsyncIterator[bytes]:
    yield b"{}"


@pytest.mark.parametrize(
    ("body", "connections"),
    [
        pytest.param(lambda: b' \n{"prompt": "x"}', 1, id="a JSON object"),
        pytest.param(lambda: b"", 1, id="nothing"),
        pytest.param(lambda: b"--b\r\nPOST /completion HTTP/1.1\r\n\r\n--b--", 2, id="a form"),
        pytest.param(_streamed, 2, id="what is not read here"),
    ],
)
async def test_a_body_that_could_hold_a_request_is_the_last_on_its_connection(
    body: Callable[[], bytes | AsyncIterator[bytes]], connections: int
) -> None:
    """A server that does not read it to its end would take the rest for the next request, which nobody judged."""
    heads: list[bytes] = []
    served: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(10_000):
            if data.startswith(b"POST /api/"):
                heads.append(data.lower())
                writer.write(HEAD + b"ok")
        writer.close()
        await writer.wait_closed()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.ensure_future(answer(reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Upstream(f"http://127.0.0.1:{port}", 5, Metrics()) as upstream:
            for _ in range(2):
                response = await upstream.open("POST", b"/api/show", b"", [(b"range", b"bytes=x")], body())
                await response.aread()
                await response.aclose()
        await asyncio.gather(*served)
    assert len(served) == connections
    assert [b"connection: close" in head for head in heads] == [connections == 2] * 2
    assert not any(b"range:" in head for head in heads)


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
