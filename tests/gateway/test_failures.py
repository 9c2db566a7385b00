"""No verdict means no forwarding, and each reason has its own answer."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from guard.engines.base import EngineAnswerError, EngineTimeoutError, EngineUnavailableError
from tests.gateway.golden import FOLDER, Case, pieces, request_bytes
from tests.gateway.running import Gateway, GatewayFactory

ON_TOPIC = {"model": "m", "prompt": "Who is Spock?"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineTimeoutError("x"), "guard_timeout"),
        (EngineUnavailableError("x"), "guard_unavailable"),
        (EngineAnswerError("x"), "guard_unavailable"),
        (ZeroDivisionError("x"), "guard_unavailable"),
    ],
)
async def test_a_guard_that_fails_closes_the_door(gateway: Gateway, error: Exception, reason: str) -> None:
    """Class M6: 503 with the time to come again, its own reason and its own count."""
    gateway.engine.error = error
    answer = await gateway.post("/api/generate", ON_TOPIC)
    assert (answer.status_code, answer.headers["x-guard-reason"]) == (503, reason)
    assert int(answer.headers["retry-after"]) > 0
    assert isinstance(answer.json()["error"], str)
    assert gateway.upstream.requests == []
    counted = f'startrek_guard_failures_total{{outcome="refused",reason="{reason}"}} 1.0'
    assert counted in (await gateway.client.get("/-/metrics")).text


async def test_a_guard_that_hangs_is_a_timeout(start: GatewayFactory) -> None:
    """For the whole of one request's judging."""
    async with start(guard_timeout_seconds=0.1) as gateway:
        gateway.engine.hold()
        answer = await gateway.post("/api/generate", ON_TOPIC)
        assert (answer.status_code, answer.headers["x-guard-reason"]) == (503, "guard_timeout")
        gateway.engine.gate.set()
        assert gateway.upstream.requests == []


async def test_a_full_queue_sheds_load(start: GatewayFactory) -> None:
    """At once, not after a timeout."""
    async with start(queue_prompts=1) as gateway:
        gateway.engine.hold()
        first = asyncio.ensure_future(gateway.post("/api/generate", ON_TOPIC))
        await gateway.engine.started.wait()
        second = asyncio.ensure_future(gateway.post("/api/generate", ON_TOPIC | {"prompt": "Kirk?"}))
        await asyncio.sleep(0.1)
        third = await gateway.post("/api/generate", ON_TOPIC | {"prompt": "Worf?"})
        assert (third.status_code, third.headers["x-guard-reason"]) == (503, "queue_full")
        gateway.engine.gate.set()
        assert [(await task).status_code for task in (first, second)] == [200, 200]


async def test_too_long_is_413_and_may_be_let_through(start: GatewayFactory) -> None:
    """Only if named, and then logged."""
    async with start(max_judged_bytes=10) as gateway:
        answer = await gateway.post("/api/generate", ON_TOPIC)
        assert (answer.status_code, answer.headers["x-guard-reason"]) == (413, "too_long")
    async with start(max_judged_bytes=10, fail_open="too_long") as gateway:
        with structlog.testing.capture_logs() as logs:
            answer = await gateway.post("/api/generate", ON_TOPIC)
        assert (answer.status_code, answer.headers["x-guard-decision"]) == (200, "flag")
    assert {"fate": "failed_open", "log_level": "warning"}.items() <= logs[0].items()


async def test_a_failure_of_the_guard_is_logged_by_name(gateway: Gateway) -> None:
    """With what caused it, and without what it says, which may quote a prompt."""
    gateway.engine.error = EngineUnavailableError("about a prompt")
    gateway.engine.error.__cause__ = ConnectionRefusedError("about a prompt")
    with structlog.testing.capture_logs() as logs:
        assert (await gateway.post("/api/generate", ON_TOPIC)).status_code == 503
    [failed] = [entry for entry in logs if entry["event"] == "guard failed"]
    assert (failed["error"], failed["cause"]) == ("EngineUnavailableError", "ConnectionRefusedError")
    assert "about" not in json.dumps(logs, default=str)


async def test_health_tells_of_a_guard_that_fails_until_it_is_back(gateway: Gateway) -> None:
    """It is asked again then, since a gateway that is called unhealthy gets no requests that would."""
    gateway.engine.error = EngineUnavailableError("x")
    assert (await gateway.client.get("/-/health")).status_code == 200
    await gateway.post("/api/generate", ON_TOPIC)
    assert (await gateway.client.get("/-/health")).status_code == 503
    gateway.engine.error = None
    assert (await gateway.client.get("/-/health")).json()["status"] == "ready"


async def test_prompts_that_are_logged_name_their_request(start: GatewayFactory) -> None:
    """Or they could not be found again."""
    async with start(log_prompts=True) as gateway:
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            answer = await gateway.post("/api/generate", ON_TOPIC)
    assert [entry.get("request_id") for entry in logs if entry["event"] == "judged"] == [answer.headers["x-request-id"]]


async def test_no_prompt_is_ever_logged_or_counted(gateway: Gateway) -> None:
    """Whether it is allowed, refused, broken, or the guard fails on it."""
    with structlog.testing.capture_logs() as logs:
        for text in ("Spock's wish", "egg wish"):
            await gateway.post("/api/generate", {"model": "wish", "prompt": text})
        await gateway.post("/api/generate?wish", b'{"prompt":"wish"')
        await gateway.client.get("/wish")
        gateway.engine.error = RuntimeError("wish")
        await gateway.post("/api/generate", {"prompt": "a wish"})
    assert len(logs) >= 5
    assert "wish" not in json.dumps(logs, default=str)
    assert "wish" not in (await gateway.client.get("/-/metrics")).text


async def test_the_score_is_for_trusted_clients(start: GatewayFactory) -> None:
    """It helps strangers to probe."""
    async with start() as gateway:
        assert "x-guard-score" not in (await gateway.post("/api/generate", ON_TOPIC)).headers
    async with start(profile="trusted") as gateway:
        assert float((await gateway.post("/api/generate", ON_TOPIC)).headers["x-guard-score"]) > 0.99


async def test_a_route_that_cannot_be_judged_is_not_forwarded(start: GatewayFactory) -> None:
    """Answered here, in its family's style."""
    async with start(api="llama-server") as gateway:
        answer = await gateway.post("/predict", {"instances": []})
        assert answer.status_code == 501
        assert answer.json()["error"]["type"] == "not_supported_error"
        assert gateway.upstream.requests == []


async def test_the_refusal_is_in_the_clients_language(start: GatewayFactory) -> None:
    """Where the operator wrote one."""
    environ = {"STARTREK_GUARD_REFUSAL_TEXT_DE": "Nur zu {topic}, bitte."}
    async with start(environ) as gateway:
        off = {"model": "m", "prompt": "egg", "stream": False}
        german = await gateway.post("/api/generate", off, headers={"Accept-Language": "fr, de-AT;q=0.9"})
        other = await gateway.post("/api/generate", off, headers={"Accept-Language": "fr"})
    assert german.json()["response"] == "Nur zu Star Trek, bitte."
    assert other.json()["response"] == "I can only help with Star Trek topics."


async def test_readiness_tells_of_the_guard(gateway: Gateway) -> None:
    """Under a path that no upstream has."""
    answer = await gateway.client.get("/-/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "guard": "scripted-guard"})


def _errors(*families: str) -> list[Case]:
    found = json.loads((FOLDER / "errors.json").read_text(encoding="utf-8"))["cases"]
    return [case for case in found if case["id"].startswith(families)]


async def test_errors_have_the_shape_of_ollamas(gateway: Gateway) -> None:
    """Those that the upstream makes pass as they are; those that the gateway makes look alike."""
    for case in _errors("A_", "router_"):
        expected = case["upstream"]
        if expected.get("then"):
            continue
        gateway.upstream.status = expected["status"]
        gateway.upstream.headers = [(b"content-type", expected["headers"]["Content-Type"].encode())]
        gateway.upstream.pieces = pieces(expected, case["path"])
        got = await gateway.client.request(case["method"], case["path"], content=request_bytes(case))
        assert (got.status_code, got.headers["content-type"]) == (
            expected["status"],
            expected["headers"]["Content-Type"],
        )
        assert got.headers.get("allow") == expected["headers"].get("Allow")
        if "text" in expected or case["id"] in {"A_empty_body", "A_midstream", "A_500"}:
            assert got.content == b"".join(pieces(expected, case["path"]))
        else:
            assert isinstance(got.json()["error"], str)


async def test_two_content_types_are_one_too_many(gateway: Gateway) -> None:
    """Two servers could choose differently, and read a form where we read JSON."""
    headers = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=b")]
    answer = await gateway.client.post("/api/generate", content=json.dumps(ON_TOPIC), headers=headers)
    assert answer.status_code == 400
    assert gateway.upstream.requests == []


@pytest.mark.parametrize("pause_seconds", [0.2, 0.0])
async def test_a_content_type_after_the_body_is_refused(gateway: Gateway, pause_seconds: float) -> None:
    """One of them could say that the body, which was judged as JSON, is a form."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(ON_TOPIC).encode()
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    writer.write(head + f"\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n")
    await asyncio.sleep(pause_seconds)
    writer.write(b"0\r\nContent-Type: multipart/form-data; boundary=X\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    await writer.wait_closed()
    assert gateway.upstream.requests == []
