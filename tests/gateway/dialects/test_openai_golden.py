"""The golden exchanges of OpenAI's routes, by Ollama and by llama-server, over real sockets."""

from __future__ import annotations

import base64
import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.golden import OFF_TOPIC, Case, assert_passes, assert_refused, cases, off_topic_variants, send_case
from tests.gateway.running import Gateway, running_gateway

OLLAMA = ["v1_chat_completions", "v1_completions", "v1_responses", "v1_embeddings", "v1_audio_transcriptions"]
LLAMA_PATHS = {
    "/v1/chat/completions",
    "/chat/completions",
    "/api/chat",
    "/v1/completions",
    "/v1/responses",
    "/responses",
    "/embedding",
    "/v1/embeddings",
}
BOUNDARY = b"--NCC1701"

# Whoever sends images and tools is trusted, but for what the goldens say is always judged.
TRUSTED: dict[str, Any] = {"profile": "trusted", "channel_tool_results": "judge", "channel_embeddings": "judge"}


def _form(parts: list[Any]) -> bytes:
    lines: list[bytes] = []
    for part in parts:
        name = f'; filename="{part["filename"]}"' if "filename" in part else ""
        lines += [BOUNDARY, f'Content-Disposition: form-data; name="{part["name"]}"{name}'.encode()]
        lines += [f"Content-Type: {part['content_type']}".encode()] if "content_type" in part else []
        lines += [b"", base64.b64decode(part["b64"]) if "b64" in part else part["value"].encode()]
    return b"\r\n".join([*lines, BOUNDARY + b"--", b""])


def _sendable(case: Case) -> Case:
    """The case with a form's parts as bytes."""
    if "multipart" not in case["request"]:
        return case
    body = base64.b64encode(_form(case["request"]["multipart"])).decode()
    return {**case, "request": {**case["request"], "body_b64": body}}


def _llama_cases() -> list[Case]:
    found = copy.deepcopy([case for case in cases("llamacpp") if case["path"] in LLAMA_PATHS])
    for case in found:
        # Only the server knows the name of a model that the request does not name.
        for pointer in ("/model", "/data/model", "/data/response/model"):
            if "model" not in case["request"]["body"] and "refusal" in case:
                case["refusal"]["volatile"].append(pointer)
    return found


def _refused(found: list[Case]) -> list[Case]:
    """Those that are refused, and the others with an off-topic text wherever it is always judged."""
    off = [case for case in found if case["on_topic"] is False]
    variants = [variant for case in found if case["on_topic"] for variant in _variants(case)]
    return [*off, *variants]


def _variants(case: Case) -> list[Case]:
    if "multipart" not in case["request"]:
        return list(off_topic_variants(case))
    found = []
    for index, part in enumerate(case["request"]["multipart"]):
        if part["name"] in {"prompt", "language"}:
            variant = copy.deepcopy(case)
            variant["request"]["multipart"][index]["value"] = OFF_TOPIC
            found.append(_sendable(variant))
    return found


OLLAMA_CASES = [_sendable(case) for name in OLLAMA for case in cases(name)]
LLAMA_CASES = _llama_cases()
OVERRIDE = "lc_chat_kwargs_messages_override"


@pytest.fixture
async def trusting() -> AsyncIterator[Gateway]:
    """Before an Ollama."""
    async with running_gateway(**TRUSTED) as running:
        yield running


@pytest.fixture
async def trusting_llama() -> AsyncIterator[Gateway]:
    """Before a llama-server."""
    async with running_gateway(**TRUSTED, api="llama-server") as running:
        yield running


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in OLLAMA_CASES if case["on_topic"]])
async def test_an_allowed_exchange_passes_in_the_same_bytes(trusting: Gateway, case: Case) -> None:
    """Request and answer."""
    await assert_passes(trusting, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in LLAMA_CASES if case["on_topic"]])
async def test_an_exchange_with_llama_server_passes_in_the_same_bytes(trusting_llama: Gateway, case: Case) -> None:
    """Request and answer."""
    await assert_passes(trusting_llama, case)


@pytest.mark.parametrize(("api", "family"), [("ollama", "O_"), ("llama-server", "L_")])
async def test_errors_of_the_upstream_pass_as_they_are(api: str, family: str) -> None:
    """Before the answer and in the middle of it."""
    found = [case for case in cases("errors") if case["id"].startswith(family) and "chat" in case["path"]]
    async with running_gateway(**TRUSTED, api=api) as gateway:
        for case in found:
            await assert_passes(gateway, case)
    assert len(found) >= 2


async def _assert_all_refused(gateway: Gateway, found: list[Case], *, as_error: bool = False) -> None:
    assert len(found) > 10
    for case in found:
        got = await send_case(gateway, case)
        expected = case["refusal_error"] if as_error else case.get("refusal") or case["refusal_error"]
        assert_refused(expected, got.status_code, got.headers["content-type"], got.content)
    assert gateway.upstream.requests == []


async def test_refused_exchanges_end_in_a_turn_of_the_assistant(trusting: Gateway) -> None:
    """Or in an error where no turn has the demanded shape; the upstream sees none of them."""
    system_is_trusted = {"resp_instructions_only_off"}
    await _assert_all_refused(trusting, [c for c in _refused(OLLAMA_CASES) if c["id"] not in system_is_trusted])


async def test_instructions_are_judged_where_the_system_channel_is(trusting: Gateway) -> None:
    """The one golden case whose question stands there alone."""
    [case] = [case for case in OLLAMA_CASES if case["id"] == "resp_instructions_only_off"]
    async with running_gateway() as gateway:
        got = await send_case(gateway, case)
        assert_refused(case["refusal"], got.status_code, got.headers["content-type"], got.content)


async def test_refusals_look_like_llama_servers_own_answers(trusting_llama: Gateway) -> None:
    """With timings, with its chunks, with the usage where it puts it."""
    await _assert_all_refused(trusting_llama, [case for case in _refused(LLAMA_CASES) if case["id"] != OVERRIDE])


async def test_refused_exchanges_end_in_an_error_if_so_set() -> None:
    """In the style of either server."""
    for api, found in (("ollama", OLLAMA_CASES), ("llama-server", LLAMA_CASES)):
        async with running_gateway(api=api, refusal_mode="error", channel_audio="allow", channel_images="allow") as one:
            await _assert_all_refused(one, [c for c in _refused(found) if c["id"] != OVERRIDE], as_error=True)


async def test_template_arguments_that_replace_the_messages_are_denied(trusting_llama: Gateway) -> None:
    """Class H3: in the refusal's shape, with a message that names the setting."""
    [case] = [case for case in LLAMA_CASES if case["id"] == OVERRIDE]
    got = await send_case(trusting_llama, case)
    error = got.json()["error"]
    assert "STARTREK_GUARD_CHANNEL_TEMPLATE_KWARGS" in error.pop("message")
    assert (got.status_code, error) == (400, {"code": 400, "type": "invalid_request_error"})
    assert trusting_llama.upstream.requests == []
