"""The server below the gateway, byte by byte."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.server import MAX_HEAD_BYTES
from tests.gateway.running import Gateway

BODY = json.dumps({"model": "m", "prompt": "Who is Spock?"}).encode()
HEAD = b"POST /api/generate HTTP/1.1\r\nhost: localhost\r\n"


async def answered(gateway: Gateway, *pieces: bytes) -> bytes:
    """The beginning of what comes back, sent piece by piece; all there is if the connection is closed."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(100), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


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
