"""The golden exchanges of llama-server, over real sockets, but for those in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.routes import Action, Api, Route, routes_of
from tests.gateway.golden import Case, assert_passes, assert_refused, cases, off_topic_variants, send_case
from tests.gateway.running import Gateway, running_gateway

SETTINGS: dict[str, Any] = {"api": "llama-server", "profile": "trusted", "allow_management": True}

ROUTES = {(route.method, route.path): route for route in routes_of(Api.LLAMA_SERVER)}


def _route(case: Case) -> Route | None:
    return ROUTES.get((case["method"], case["path"]))


def _cases(*, on_topic: bool) -> list[Case]:
    found = [case for case in cases("llamacpp") if case["on_topic"] is on_topic]
    return [case for case in found if (route := _route(case)) and not route.target.startswith("openai_")]


def _named(found: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in found]


def _expected(case: Case, kind: str) -> Case:
    """The golden answer; the name of a model that the request does not name is the upstream's secret."""
    expected: Case = dict(case[kind])
    if "model" not in case["request"].get("body", {}):
        expected["volatile"] = [*expected.get("volatile", []), "/model", "/data/model"]
    return expected


@pytest.fixture
async def trusting() -> AsyncIterator[Gateway]:
    """A gateway for one's own applications."""
    async with running_gateway(**SETTINGS) as running:
        yield running


@pytest.mark.parametrize("case", _named(_cases(on_topic=True)))
async def test_an_allowed_exchange_passes_in_the_same_bytes(trusting: Gateway, case: Case) -> None:
    """Request and answer."""
    await assert_passes(trusting, case)


def _refused() -> list[Case]:
    """What is off topic and can be read."""
    off = [case for case in _cases(on_topic=False) if case["id"] not in UNREADABLE and "body" in case["request"]]
    guarded = [case for case in _cases(on_topic=True) if (route := _route(case)) and route.action is Action.GUARDED]
    return [*off, *(variant for case in guarded for variant in off_topic_variants(case))]


UNREADABLE = {"lc_completion_token_ids", "lc_completion_mixed", "lc_lora_set"}


async def test_refused_exchanges_end_in_the_shape_of_the_route(trusting: Gateway) -> None:
    """Or in an error where no text has the demanded shape; the upstream sees none of them."""
    assert len(_refused()) > 8
    for case in _refused():
        got = await send_case(trusting, case)
        expected = _expected(case, "refusal" if "refusal" in case else "refusal_error")
        assert_refused(expected, got.status_code, got.headers["content-type"], got.content)
    assert trusting.upstream.requests == []


async def test_refused_exchanges_end_in_an_error_if_so_set() -> None:
    """In llama-server's own style, on Anthropic's route too."""
    async with running_gateway(**SETTINGS, refusal_mode="error") as gateway:
        for case in _refused():
            got = await send_case(gateway, case)
            assert_refused(case["refusal_error"], got.status_code, got.headers["content-type"], got.content)
        assert gateway.upstream.requests == []


@pytest.mark.parametrize("case", _named([case for case in cases("llamacpp") if case["id"] in UNREADABLE]))
async def test_what_is_denied_is_an_error_of_the_gateways_own_words(case: Case) -> None:
    """Token ids, also among words, and management."""
    async with running_gateway(**(SETTINGS | {"allow_management": False})) as gateway:
        got = await send_case(gateway, case)
        expected = case["refusal_error"] | {"volatile": ["/error/message"]}
        assert_refused(expected, got.status_code, got.headers["content-type"], got.content)
        assert gateway.upstream.requests == []


async def test_a_slot_is_not_restored() -> None:
    """The query does not hide the route."""
    [case] = [case for case in cases("llamacpp") if case["id"] == "lc_slots_restore"]
    async with running_gateway(api="llama-server") as gateway:
        got = await gateway.post(case["path"], case["request"]["body"])
        assert (got.status_code, got.json()["error"]["type"]) == (403, "permission_error")
        assert gateway.upstream.requests == []


async def test_a_form_is_not_read_as_a_body() -> None:
    """llama-server would make a prompt of its fields."""
    [case] = [case for case in cases("llamacpp") if case["id"] == "lc_multipart_as_json"]
    form = {part["name"]: (None, part["value"]) for part in case["request"]["multipart"]}
    async with running_gateway(api="llama-server") as gateway:
        got = await gateway.client.post(case["path"], files=form)
        expected = case["refusal_error"] | {"volatile": ["/error/message"]}
        assert_refused(expected, got.status_code, got.headers["content-type"], got.content)
        assert gateway.upstream.requests == []
