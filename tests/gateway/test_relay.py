"""When bytes come, and what happens to those who leave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import zstandard

from tests.fakes import eventually
from tests.gateway.running import Gateway, GatewayFactory

ON_TOPIC = {"model": "m", "messages": [{"role": "user", "content": "Who is Spock?"}]}
PIECES = [b'{"message":{"content":"Sp"},"done":false}\n', b'{"done":true}\n']


async def test_the_first_bytes_arrive_before_the_upstream_has_finished(gateway: Gateway) -> None:
    """Nothing is buffered."""
    gateway.upstream.pieces = PIECES
    gateway.upstream.gate.clear()
    async with gateway.client.stream("POST", "/api/chat", json=ON_TOPIC) as answer:
        chunks = answer.aiter_raw()
        assert await anext(chunks) == PIECES[0]
        gateway.upstream.gate.set()
        assert await anext(chunks) == PIECES[1]


async def test_a_client_that_leaves_in_mid_stream_closes_the_upstream(gateway: Gateway) -> None:
    """At once, not with the next piece."""
    gateway.upstream.pieces = PIECES
    gateway.upstream.gate.clear()
    async with gateway.client.stream("POST", "/api/chat", json=ON_TOPIC) as answer:
        await anext(answer.aiter_raw())
    await asyncio.wait_for(gateway.upstream.closed.wait(), 10)


async def test_a_client_that_leaves_before_the_answer_begins_closes_the_upstream(gateway: Gateway) -> None:
    """A model that is still loading need not load for nobody."""
    gateway.upstream.head_gate.clear()
    task = asyncio.ensure_future(gateway.post("/api/chat", ON_TOPIC | {"stream": False}))
    await asyncio.wait_for(gateway.upstream.waiting.wait(), 10)
    task.cancel()
    await asyncio.wait_for(gateway.upstream.closed.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_leaves_while_the_guard_works_is_never_forwarded(gateway: Gateway) -> None:
    """Class M6: and its place in the queue is free again."""
    gateway.engine.hold()
    first = asyncio.ensure_future(gateway.post("/api/chat", ON_TOPIC))
    await asyncio.wait_for(gateway.engine.started.wait(), 10)
    second = asyncio.ensure_future(gateway.post("/api/generate", {"model": "m", "prompt": "Kirk?"}))
    await asyncio.sleep(0.1)
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.sleep(0.1)
    gateway.engine.gate.set()
    await asyncio.sleep(0.1)
    assert gateway.upstream.requests == []
    assert gateway.engine.judged == ["Who is Spock?"]


async def test_many_clients_that_vanish_leave_nothing_open(gateway: Gateway) -> None:
    """No upstream connection, no task, no place in the queue: client, gateway and upstream are all in this process."""
    gateway.upstream.pieces = PIECES
    gateway.upstream.gate.clear()
    tasks, sockets = len(asyncio.all_tasks()), open_files()
    everybody_listens = asyncio.Barrier(200)

    async def vanish(client: httpx.AsyncClient) -> None:
        async with client.stream("POST", "/api/chat", json=ON_TOPIC) as answer:
            await anext(answer.aiter_raw())
            await everybody_listens.wait()

    async with crowd(gateway) as client:
        await asyncio.gather(*(vanish(client) for _ in range(200)))
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks and open_files() <= sockets)
    assert len(gateway.upstream.requests) == 200
    metrics = (await gateway.client.get("/-/metrics")).text
    assert "startrek_guard_vanished_clients_total 200.0" in metrics
    assert "startrek_guard_waiting_prompts 0.0" in metrics


async def test_many_clients_that_vanish_while_the_guard_works_leave_nothing_waiting(start: GatewayFactory) -> None:
    """Their places in the queue are free for others at once, though the guard is still at the first of them."""
    async with start(queue_prompts=200) as gateway:
        tasks, sockets = len(asyncio.all_tasks()), open_files()
        gateway.engine.hold()
        async with crowd(gateway) as client:
            bodies = [{"model": "m", "prompt": f"Kirk {number}?"} for number in range(200)]
            asks = [asyncio.ensure_future(client.post("/api/generate", json=body)) for body in bodies]
            await gateway.engine.started.wait()
            await eventually(lambda: waiting_prompts(gateway, 200 - len(gateway.engine.batches[0])), 10)
            for ask in asks:
                ask.cancel()
            await asyncio.gather(*asks, return_exceptions=True)
        late = asyncio.ensure_future(gateway.post("/api/generate", {"model": "m", "prompt": "Spock?"}))
        await asyncio.sleep(0.1)
        gateway.engine.gate.set()
        assert (await late).status_code == 200
        assert gateway.engine.batches[1:] == [["<s>Spock?</s>"]]
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks + 2 and open_files() <= sockets + 4)
        assert await waiting_prompts(gateway, 0)


def crowd(gateway: Gateway) -> httpx.AsyncClient:
    """Any number of clients at once."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30, limits=limits)


def open_files() -> int:
    """How many files, sockets included, this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def waiting_prompts(gateway: Gateway, count: int) -> bool:
    """Whether so many prompts wait for the guard."""
    return f"startrek_guard_waiting_prompts {count}.0" in (await gateway.client.get("/-/metrics")).text


async def test_an_answer_that_breaks_off_is_not_finished_for_the_client(gateway: Gateway) -> None:
    """It must not take half an answer for a whole one."""
    gateway.upstream.pieces = PIECES[:1]
    gateway.upstream.reset = True
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.post("/api/chat", ON_TOPIC)


async def test_errors_of_the_upstream_pass_as_they_are(gateway: Gateway) -> None:
    """Status, headers and body."""
    gateway.upstream.status = 404
    gateway.upstream.headers = [(b"content-type", b"application/json; charset=utf-8"), (b"x-own", b"1")]
    gateway.upstream.pieces = [b'{"error":"model \'m\' not found"}']
    answer = await gateway.post("/api/chat", ON_TOPIC)
    assert (answer.status_code, answer.content) == (404, gateway.upstream.pieces[0])
    assert answer.headers["x-own"] == "1"


async def test_redirects_are_not_followed(gateway: Gateway) -> None:
    """Class M2: the body would go to a path that was not judged."""
    gateway.upstream.status = 307
    gateway.upstream.headers = [(b"location", b"/api/generate")]
    answer = await gateway.post("/api/chat", ON_TOPIC, follow_redirects=False)
    assert answer.status_code == 307
    assert len(gateway.upstream.requests) == 1


async def test_headers_of_the_hop_and_of_the_network_stay_here(gateway: Gateway) -> None:
    """Classes M1, M4 and M7."""
    sent = {
        "Connection": "close, X-Secret",
        "X-Secret": "1",
        "TE": "trailers",
        "Upgrade": "h2c",
        "Keep-Alive": "9",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Prefix": "/x",
        "Forwarded": "for=1",
        "X-Conversation-Id": "7",
        "Origin": "http://localhost:3000",
        "Authorization": "Bearer K",
        "User-Agent": "own/1",
    }
    await gateway.post("/api/chat", ON_TOPIC, headers=sent)
    [seen] = gateway.upstream.requests
    names = {name for name, _ in seen.headers}
    assert names.isdisjoint({b"x-secret", b"te", b"upgrade", b"keep-alive", b"forwarded", b"origin"})
    assert names.isdisjoint({b"x-forwarded-for", b"x-forwarded-prefix", b"x-conversation-id", b"connection"})
    assert (seen.header(b"authorization"), seen.header(b"user-agent")) == (b"Bearer K", b"own/1")
    assert seen.header(b"host") != gateway.url.removeprefix("http://").encode()


async def test_a_request_of_two_lengths_is_refused(gateway: Gateway) -> None:
    """Class M1: request smuggling."""
    host, port = gateway.url.removeprefix("http://").split(":")
    body = b'{"model":"m","prompt":"boil an egg"}'
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()
    assert gateway.upstream.requests == []


async def test_a_body_over_the_limit_is_413(start: GatewayFactory) -> None:
    """Counted as it comes, whatever its length is said to be."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    async with start(max_body_bytes=10_000) as gateway:
        for path in ("/api/chat", "/api/show"):
            answer = await gateway.client.post(path, content=endless())
            assert answer.status_code == 413
            assert "10000" in answer.json()["error"]
        assert gateway.upstream.requests == []


async def test_a_management_body_streams_without_a_limit(start: GatewayFactory) -> None:
    """Blobs have hundreds of gigabytes."""

    async def large() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 1000

    async with start(max_body_bytes=10_000, allow_management="true") as gateway:
        answer = await gateway.client.post("/api/blobs/sha256:" + "a" * 64, content=large())
        assert answer.status_code == 200
        assert gateway.upstream.requests[0].body == b"x" * 50_000


@pytest.mark.parametrize("connection", ["keep-alive", "keep-alive, Content-Encoding, content-type"])
async def test_what_is_forwarded_of_zstd_are_the_bytes_that_were_judged(gateway: Gateway, connection: str) -> None:
    """Frames that are skipped in reading could hold a form; nor may a client say that the encoding is for us only."""
    body = json.dumps(ON_TOPIC).encode()
    frame = b'--X\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nboil an egg\r\n--X--\r\n'
    skipped = b"\x50\x2a\x4d\x18" + len(frame).to_bytes(4, "little") + frame
    headers = {"Content-Encoding": "zstd", "Connection": connection}
    await gateway.post("/v1/chat/completions", skipped + zstandard.compress(body), headers=headers)
    [seen] = gateway.upstream.requests
    assert seen.body == body
    assert b"content-encoding" not in {name for name, _ in seen.headers}
    assert seen.header(b"content-type") == b"application/json"


@pytest.mark.parametrize("sent", ["text/plain", "application/x-www-form-urlencoded", "application/json, multipart/x"])
async def test_json_is_forwarded_as_json_whatever_the_client_calls_it(gateway: Gateway, sent: str) -> None:
    """llama-server reads a form where the header names one."""
    await gateway.post("/api/chat", ON_TOPIC, headers={"Content-Type": sent})
    [seen] = gateway.upstream.requests
    assert [value for name, value in seen.headers if name == b"content-type"] == [b"application/json"]


async def test_zstd_and_forms_are_refused_where_no_upstream_reads_them(start: GatewayFactory) -> None:
    """On the native routes."""
    async with start() as gateway:
        answer = await gateway.post("/api/chat", b"x", headers={"Content-Encoding": "zstd"})
        assert answer.status_code == 415
        form = await gateway.post("/api/chat", b"{}", headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert form.status_code == 415


async def test_an_upstream_on_a_unix_socket(start: GatewayFactory, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As the embedded one may be; one that is not there is 502."""
    path = tmp_path_factory.mktemp("s") / "u"
    async with start(upstream=f"unix:{path}") as gateway:
        assert (await gateway.post("/api/chat", ON_TOPIC)).status_code == 502
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            task = asyncio.ensure_future(gateway.client.get("/api/tags"))
            connection, _ = await asyncio.to_thread(listener.accept)
            with connection:
                assert (await asyncio.to_thread(connection.recv, 4096)).startswith(b"GET /api/tags HTTP/1.1\r\n")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            assert (await task).content == b"{}"
