"""Reads the golden exchanges of ``tests/golden`` and compares by their rules (see the README there)."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.framing import NdjsonDecoder, SseDecoder, compact_json, ndjson_line, sse_frame
from tests.gateway.running import Gateway

FOLDER: Final = Path(__file__).parent.parent / "golden"
OFF_TOPIC: Final = "How do I boil an egg?"

Case = dict[str, Any]


def cases(name: str) -> list[Case]:
    """The cases of one file."""
    found: list[Case] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    return found


def request_bytes(case: Case) -> bytes:
    """The body to send."""
    request = case["request"]
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"])
    return compact_json(request["body"]) if "body" in request else b""


def pieces(answer: Case, path: str) -> list[bytes]:
    """The body of an upstream's answer, in the pieces in which it comes."""
    if "ndjson" in answer:
        return [ndjson_line(line) for line in answer["ndjson"]]
    if "sse" in answer:
        return [sse_frame(frame["data"], frame["event"]) for frame in answer["sse"]]
    if "body" in answer:
        return [compact_json(answer["body"]) + (b"\n" if path.startswith("/v1/") else b"")]
    return [answer["text"].encode()] if answer.get("text") else []


def off_topic_variants(case: Case) -> Iterator[Case]:
    """The same case with an off-topic text at each place that is always judged."""
    for channel in case.get("channels", []):
        if channel["must"] and "body" in case["request"]:
            variant = copy.deepcopy(case)
            _put(variant["request"]["body"], channel["pointer"], OFF_TOPIC)
            yield variant


def assert_refused(expected: Case, status: int, content_type: str, body: bytes) -> None:
    """Compare an answer with a golden one: values less the volatile ones, presence of all, events in order."""
    assert status == expected["status"]
    assert content_type == expected["headers"]["Content-Type"]
    volatile = expected.get("volatile", [])
    wanted, got = _parsed(expected), _read(expected, body)
    masked = [_masked(value, volatile) for value in got]
    assert masked == [_masked(value, volatile) for value in wanted], (masked, wanted)


async def send_case(gateway: Gateway, case: Case) -> httpx.Response:
    """Send a case's request."""
    headers = dict(case["request"]["headers"])
    chunked = headers.pop("Transfer-Encoding", None)
    content = _chunks(request_bytes(case)) if chunked else request_bytes(case)
    return await gateway.client.request(case["method"], case["path"], content=content, headers=headers)


async def assert_passes(gateway: Gateway, case: Case) -> None:
    """Send an allowed case, and compare what the upstream got and what the client got, byte by byte."""
    answer = case["upstream"]
    gateway.upstream.requests.clear()
    gateway.upstream.status = answer["status"]
    gateway.upstream.headers = [(k.lower().encode(), v.encode()) for k, v in answer["headers"].items()]
    gateway.upstream.pieces = pieces(answer, case["path"])
    got = await send_case(gateway, case)
    assert got.status_code == answer["status"], got.text
    assert got.content == b"".join(gateway.upstream.pieces)
    assert got.headers.get("content-type") == answer["headers"].get("Content-Type")
    [seen] = gateway.upstream.requests
    assert (seen.method, seen.raw_path, seen.body) == (case["method"], case["path"].encode(), request_bytes(case))


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def _parsed(expected: Case) -> list[Any]:
    if "ndjson" in expected:
        return list(expected["ndjson"])
    if "sse" in expected:
        return list(expected["sse"])
    return [expected["body"]]


def _read(expected: Case, body: bytes) -> list[Any]:
    if "ndjson" in expected:
        assert b"\n\n" not in body
        return NdjsonDecoder().decode(body)
    if "sse" in expected:
        return [
            {"event": event.event, "data": event.data if event.data == "[DONE]" else json.loads(event.data)}
            for event in SseDecoder().decode(body)
        ]
    return [json.loads(body)]


def _masked(value: Any, volatile: list[str]) -> Any:
    masked = copy.deepcopy(value)
    for pointer in volatile:
        if _has(masked, pointer):
            _put(masked, pointer, "volatile")
    return masked


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _has(value: Any, pointer: str) -> bool:
    for step in _steps(pointer):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return False
    return True


def _put(value: Any, pointer: str, new: Any) -> None:
    *steps, last = _steps(pointer)
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    if isinstance(value, list):
        value[int(last)] = new
    else:
        value[last] = new
