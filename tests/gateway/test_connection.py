"""A client's connection, byte by byte."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.connection import MAX_HEAD_BYTES
from gateway.server import server_for
from tests.fakes import eventually
from tests.gateway.running import Gateway, GatewayFactory

BODY = json.dumps({"model": "m", "prompt": "Who is Spock?"}).encode()
HEAD = b"POST /api/generate HTTP/1.1\r\nhost: localhost\r\n"


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    async with connected_to(host, int(port)) as streams:
        yield streams


@asynccontextmanager
async def connected_to(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Likewise, to any server."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answered(gateway: Gateway, *pieces: bytes) -> bytes:
    """The beginning of what comes back, sent piece by piece; all there is if the connection is closed."""
    async with connected(gateway) as (reader, writer):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await asyncio.wait_for(reader.read(100), 20)
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET /", id="line"),
        pytest.param(HEAD + b"x: ", id="header"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nx: ", id="trailer"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n1;", id="chunk extension"),
    ],
)
async def test_a_head_without_an_end_is_cut_off(gateway: Gateway, begin: bytes) -> None:
    """One client could fill the memory otherwise."""
    answer = await answered(gateway, begin, *[b"a" * 1_000_000] * 40)
    assert answer[:13] in {b"", b"HTTP/1.1 431 "}
    assert gateway.upstream.requests == []


async def test_many_small_headers_are_cut_off_as_well(gateway: Gateway) -> None:
    """Each takes twenty times its bytes."""
    answer = await answered(gateway, HEAD, *[b"a:b\r\n" * 100_000] * 40)
    assert answer[:13] in {b"", b"HTTP/1.1 431 "}


async def test_long_bodies_and_long_headers_pass(gateway: Gateway) -> None:
    """In one piece or in many, one request after another in the same."""
    long = HEAD + b"x: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\ncontent-length: %d\r\n\r\n"
    body = BODY + b" " * 1_000_000
    whole = long % len(body) + body
    answer = await answered(gateway, whole + whole)
    assert answer.startswith(b"HTTP/1.1 200 ")
    answer = await answered(gateway, *(whole[begin : begin + 10_000] for begin in range(0, len(whole), 10_000)))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert {request.body for request in gateway.upstream.requests} == {body}


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
async def test_a_request_that_offers_an_upgrade_is_one_like_any_other(gateway: Gateway, offer: str) -> None:
    """As Java's HttpClient sends all of them, several on a connection."""
    offered = {"connection": "Upgrade, HTTP2-Settings", "http2-settings": "AAEAAEAA", "Upgrade": offer}

    answers = [await gateway.client.post("/api/generate", content=BODY, headers=offered) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    sent = gateway.upstream.requests
    assert [request.body for request in sent] == [BODY] * 3
    assert not {b"upgrade", b"http2-settings"} & {name for name, _ in sent[0].headers}


async def test_a_head_without_an_end_is_cut_off_where_an_upgrade_is_offered(gateway: Gateway) -> None:
    """Another protocol reads that connection, with a bound of its own."""
    answer = await answered(gateway, HEAD + b"upgrade: h2c\r\nx: ", *[b"a" * 1_000_000] * 40)
    assert answer[:13] in {b"", b"HTTP/1.1 400 "}
    assert gateway.upstream.requests == []


WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
OFFERED = WHOLE.replace(b"host:", b"upgrade: h2c\r\nhost:")
TIMEOUT_SECONDS = 1.0
PATIENT_SECONDS = 2.0
"""The timeout where a client goes on in time, which a busy machine must not make too late."""


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    """All that comes; a server that closes a connection before it has read everything resets it."""
    answer = b""
    with suppress(ConnectionResetError):
        while some := await reader.read(65_536):
            answer += some
    return answer


async def last_words(gateway: Gateway, *pieces: bytes, pause_seconds: float = 0.0) -> bytes:
    """All that comes until the server closes the connection, the pieces sent with pauses between."""
    async with connected(gateway) as (reader, writer):
        reading = asyncio.ensure_future(read_to_the_end(reader))
        for piece in pieces:
            if reading.done():
                break
            writer.write(piece)
            await asyncio.sleep(pause_seconds)
        return await asyncio.wait_for(reading, 20)


async def test_a_connection_that_asks_nothing_is_closed_without_a_word(start: GatewayFactory) -> None:
    """An answer would be taken for that to the first request, which may be on its way."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        assert await last_words(gateway) == b""


@pytest.mark.parametrize("whole", [pytest.param(WHOLE, id="plain"), pytest.param(OFFERED, id="upgrade")])
@pytest.mark.parametrize("share", [0.4, 0.95], ids=["head", "body"])
async def test_a_request_that_does_not_go_on_is_answered_with_408(
    start: GatewayFactory, whole: bytes, share: float
) -> None:
    """It would keep its connection for ever."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        answer = await last_words(gateway, whole[: int(share * len(whole))])
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert gateway.upstream.requests == []


async def test_a_head_that_comes_byte_by_byte_is_answered_with_408(start: GatewayFactory) -> None:
    """Each byte would be reason to wait on otherwise."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        answer = await last_words(gateway, *[b"POST", *[b" "] * 200], pause_seconds=0.15 * TIMEOUT_SECONDS)
        assert answer.startswith(b"HTTP/1.1 408 ")


async def test_empty_lines_in_place_of_a_request_are_no_reason_to_wait(start: GatewayFactory) -> None:
    """They may come before one."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        assert await last_words(gateway, *[b"\r\n"] * 200, pause_seconds=0.15 * TIMEOUT_SECONDS) == b""


async def test_the_next_request_on_a_connection_has_to_go_on_as_well(start: GatewayFactory) -> None:
    """After a whole one."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        answer = await last_words(gateway, WHOLE, HEAD, pause_seconds=TIMEOUT_SECONDS / 2)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answer
        assert len(gateway.upstream.requests) == 1


@pytest.mark.parametrize("whole", [pytest.param(WHOLE, id="plain"), pytest.param(OFFERED, id="upgrade")])
async def test_a_slow_body_is_read_to_its_end(start: GatewayFactory, whole: bytes) -> None:
    """Longer than the timeout, with pauses below it."""
    head, body = whole[: -len(BODY)].replace(b"host:", b"connection: close\r\nhost:"), whole[-len(BODY) :]
    pieces = [body[begin : begin + 5] for begin in range(0, len(body), 5)]
    async with start(client_timeout_seconds=PATIENT_SECONDS) as gateway:
        answer = await last_words(gateway, head, *pieces, pause_seconds=PATIENT_SECONDS / 8)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert gateway.upstream.requests[0].body == BODY


async def test_an_answer_may_take_its_time(start: GatewayFactory) -> None:
    """A first token can take minutes, and the client waits, too."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        gateway.upstream.head_gate.clear()
        asking = asyncio.ensure_future(gateway.client.post("/api/generate", content=BODY))
        await asyncio.sleep(3 * TIMEOUT_SECONDS)
        gateway.upstream.head_gate.set()
        assert (await asking).status_code == 200


async def client_is_left(gateway: Gateway) -> bool:
    """As the metrics say."""
    return "startrek_guard_vanished_clients_total 1.0" in (await gateway.client.get("/-/metrics")).text


async def test_a_client_that_does_not_take_its_answer_is_left(start: GatewayFactory) -> None:
    """It would keep a connection to the upstream as well, and the model on it."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        gateway.upstream.pieces = [b'{"response":"%s"}\n' % (b"a" * 100_000)] * 1000
        async with connected(gateway) as (_, writer):
            writer.write(WHOLE)
            await eventually(lambda: client_is_left(gateway))


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(start: GatewayFactory) -> None:
    """Longer than the timeout, with pauses below it."""
    async with start(client_timeout_seconds=PATIENT_SECONDS) as gateway:
        gateway.upstream.pieces = [b'{"response":"%s"}\n' % (b"a" * 1_000_000)] * 20 + [b'{"done":true}\n']
        async with connected(gateway) as (reader, writer):
            writer.write(WHOLE.replace(b"host:", b"connection: close\r\nhost:"))
            answer = bytearray()
            while taken := await asyncio.wait_for(reader.read(2_000_000), 20):
                answer += taken
                await asyncio.sleep(TIMEOUT_SECONDS / 10)
        assert answer.count(b'{"response"') == 20


@asynccontextmanager
async def served(app: ASGIApp, listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
    """An application of the test's own behind the gateway's protocols."""
    config = server_for(app, "127.0.0.1", 0, client_timeout_seconds=TIMEOUT_SECONDS).config
    config.lifespan = "off"
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve([listener]))
    try:
        await eventually(lambda: server.started)
        yield server
    finally:
        server.should_exit = True
        await serving


async def test_a_connection_that_is_closed_in_order_is_closed_though_the_client_takes_nothing() -> None:
    """What is left of an answer would keep it open for ever."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * 50_000})

    # Neither side's system can take the answer, and it is too short for the server to be told so.
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with served(app, listener) as server:
            client.connect(listener.getsockname())
            client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nG")
            await eventually(lambda: bool(server.server_state.connections))
            await eventually(lambda: not server.server_state.connections)


async def test_nothing_is_left_of_a_connection_that_is_closed() -> None:
    """Not for as long as the collector does not run: a request's body is part of it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    gc.disable()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with served(app, listener) as server:
                async with connected_to(*listener.getsockname()) as (reader, writer):
                    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    await reader.readuntil(b"\r\n\r\n")
                    (connection,) = map(weakref.ref, server.server_state.connections)
                await eventually(lambda: connection() is None)
    finally:
        gc.enable()


async def test_a_client_that_was_not_told_to_go_on_is_not_waited_for() -> None:
    """It is the server that takes its time, to find the upstream."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(2.5 * TIMEOUT_SECONDS)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with served(app, listener), connected_to(*listener.getsockname()) as (reader, writer):
            writer.write(HEAD + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"Spock")
            answer = await asyncio.wait_for(read_to_the_end(reader), 20)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Spock" in answer


async def test_an_answer_that_began_early_is_not_cut_off() -> None:
    """A client that sees it need not send the rest of its body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(2.5 * TIMEOUT_SECONDS)
        await send({"type": "http.response.body", "body": b"Spock"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with served(app, listener), connected_to(*listener.getsockname()) as (reader, writer):
            writer.write(HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\nS")
            answer = await asyncio.wait_for(read_to_the_end(reader), 20)
            assert b"Spock" in answer


async def test_nothing_is_written_into_an_answer_when_the_next_request_does_not_go_on(start: GatewayFactory) -> None:
    """It came with the first, whose answer takes longer than the next has time for."""
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        gateway.upstream.head_gate.clear()
        asking = asyncio.ensure_future(last_words(gateway, WHOLE + WHOLE[:-5]))
        await asyncio.sleep(2.5 * TIMEOUT_SECONDS)
        gateway.upstream.head_gate.set()
        answer = await asking
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'{"done":true}' in answer.partition(b"HTTP/1.1 408 ")[0]
        assert answer.count(b"HTTP/1.1 408 ") == 1
        assert len(gateway.upstream.requests) == 1


async def test_a_client_that_leaves_is_noticed_though_it_sent_another_request(gateway: Gateway) -> None:
    """The model would go on for nobody."""
    gateway.upstream.pieces = [b'{"response":"a"}\n', b'{"done":true}\n']
    gateway.upstream.gate.clear()
    async with connected(gateway) as (reader, writer):
        writer.write(WHOLE + WHOLE)
        await asyncio.wait_for(reader.readuntil(b'"a"}'), 20)
    await asyncio.wait_for(gateway.upstream.closed.wait(), 20)
    assert len(gateway.upstream.requests) == 1


DENIED = HEAD.replace(b"generate", b"pull") + b"content-length: 10\r\n\r\n"


@pytest.mark.parametrize("offer", [b"", b"upgrade: h2c\r\n"], ids=["plain", "upgrade"])
async def test_a_body_is_read_on_after_an_early_answer(start: GatewayFactory, offer: bytes) -> None:
    """Many clients look at an answer only when they have sent the whole body."""
    head = DENIED.replace(b"host:", offer + b"host:")
    async with start(client_timeout_seconds=PATIENT_SECONDS) as gateway:
        answer = await last_words(gateway, head, *[b"a"] * 10, WHOLE, pause_seconds=PATIENT_SECONDS / 8)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"HTTP/1.1 200 " in answer
        assert b"HTTP/1.1 408 " not in answer


@pytest.mark.parametrize("offer", [b"", b"upgrade: h2c\r\n"], ids=["plain", "upgrade"])
async def test_a_body_that_does_not_go_on_after_an_early_answer_gets_no_other(
    start: GatewayFactory, offer: bytes
) -> None:
    """The client would take it for the answer to its next request."""
    head = DENIED.replace(b"host:", offer + b"host:")
    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        answer = await last_words(gateway, head, b"a", pause_seconds=TIMEOUT_SECONDS / 5)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_client_that_sends_on_but_does_not_take_its_answer_is_left(start: GatewayFactory) -> None:
    """A byte of another body now and then would hold the model for days otherwise."""

    async def send_on(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(TIMEOUT_SECONDS / 4)

    async with start(client_timeout_seconds=TIMEOUT_SECONDS) as gateway:
        gateway.upstream.pieces = [b'{"response":"%s"}\n' % (b"a" * 100_000)] * 1000
        async with connected(gateway) as (_, writer):
            writer.write(WHOLE + HEAD + b"content-length: 1000000\r\n\r\n")
            sending = asyncio.ensure_future(send_on(writer))
            await eventually(lambda: client_is_left(gateway))
            sending.cancel()
