"""What the server behind gets is what the client sent, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from gateway.connections import Connections
from gateway.errors import BodyTooLargeError, GatewayError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Twice: a\r\nX-Twice: b\r\nSet-Cookie: k=v\r\n\r\nok"
TIMEOUT = {"timeout": {"connect": 5.0}}


class Behind:
    """A server that keeps what it is sent, and answers every request in the same words."""

    def __init__(self, answer: bytes, *, stays: bool = True) -> None:
        self.answer = answer
        self.stays = stays
        self.sent = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; one that does not stay is closed after the first answer."""
        while data := await reader.read(1 << 20):
            self.sent += data
            if data.endswith((b"\r\n\r\n", b"end")):
                writer.write(self.answer)
                if not self.stays:
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def behind(path: Path, answer: bytes = OK, *, stays: bool = True) -> AsyncIterator[tuple[Connections, Behind]]:
    """A server on a Unix socket, and connections to it."""
    server = Behind(answer, stays=stays)
    served: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.ensure_future(server.serve(reader, writer)))

    async with await asyncio.start_unix_server(serve, path / "socket"):
        async with Connections(str(path / "socket"), None, 2.0) as connections:
            yield connections, server
        await asyncio.gather(*served)


async def ask(
    connections: Connections,
    url: str = "http://localhost/api/chat",
    headers: Sequence[tuple[bytes, bytes]] = (),
    content: bytes | AsyncIterator[bytes] | None = None,
) -> httpx.Response:
    """The answer, read to its end."""
    request = httpx.Request("POST", httpx.URL(url), headers=list(headers), content=content, extensions=TIMEOUT)
    answer = await connections.handle_async_request(request)
    try:
        await answer.aread()
    finally:
        await answer.aclose()
    return answer


async def test_no_header_is_added_but_host_and_length(tmp_path: Path) -> None:
    """A client that names no agent and accepts nothing in particular stays such a client."""
    async with behind(tmp_path) as (connections, server):
        await ask(connections, content=b"end")
    head = bytes(server.sent).split(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST /api/chat HTTP/1.1"
    assert {line.split(b":")[0].lower() for line in head[1:]} == {b"host", b"content-length"}


async def test_repeated_headers_stay_apart(tmp_path: Path) -> None:
    """On the way there and on the way back."""
    async with behind(tmp_path) as (connections, server):
        answer = await ask(connections, headers=[(b"x-key", b"one"), (b"x-key", b"two \xc3\xa9")], content=b"end")
    assert bytes(server.sent).lower().count(b"x-key: ") == 2
    assert b"two \xc3\xa9\r\n" in server.sent
    assert [value for name, value in answer.headers.raw if name == b"X-Twice"] == [b"a", b"b"]


async def test_one_clients_cookie_is_not_anothers(tmp_path: Path) -> None:
    """What an answer sets is its client's affair."""
    async with behind(tmp_path) as (connections, server):
        await ask(connections, content=b"end")
        server.sent.clear()
        await ask(connections, content=b"end")
    assert b"cookie" not in bytes(server.sent).lower()


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%41b?q=%20x+y", "/a//b"])
async def test_a_path_is_not_rewritten(tmp_path: Path, path: str) -> None:
    """The route that was judged is the route that is asked."""
    async with behind(tmp_path) as (connections, server):
        await ask(connections, "http://localhost" + path, content=b"end")
    assert bytes(server.sent).startswith(f"POST {path} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("size", [3, 70_000, 3_000_000])
async def test_a_body_arrives_whole(tmp_path: Path, size: int) -> None:
    """With its length before it."""
    body = b"x" * (size - 3) + b"end"
    async with behind(tmp_path) as (connections, server):
        await ask(connections, content=body)
    head, _, sent = bytes(server.sent).partition(b"\r\n\r\n")
    assert sent == body
    assert f"content-length: {size}".encode() in head.lower()


async def test_what_a_streamed_body_raises_is_raised(tmp_path: Path) -> None:
    """Not a complaint about the server behind."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        raise BodyTooLargeError(1)

    async with behind(tmp_path) as (connections, _):
        with pytest.raises(GatewayError) as raised:
            await ask(connections, content=pieces())
    assert isinstance(raised.value, BodyTooLargeError)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
    ],
)
async def test_an_answer_that_breaks_off_is_an_error(tmp_path: Path, answer: bytes) -> None:
    """It must not be taken for complete."""
    async with behind(tmp_path, answer, stays=False) as (connections, _):
        with pytest.raises(httpx.ReadError):
            await ask(connections, content=b"end")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"])
async def test_what_is_no_answer_is_an_error(tmp_path: Path, answer: bytes) -> None:
    """Of the transport, for the gateway to tell."""
    async with behind(tmp_path, answer, stays=False) as (connections, _):
        with pytest.raises(httpx.TransportError):
            await ask(connections, content=b"end")


async def test_no_server_is_an_error(tmp_path: Path) -> None:
    """Of the transport, for the gateway to tell."""
    async with Connections(str(tmp_path / "nobody"), None, 2.0) as connections:
        with pytest.raises(httpx.TransportError):
            await ask(connections)
