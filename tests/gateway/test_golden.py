"""The golden exchanges over real sockets: allowed ones byte for byte, refused ones in the caller's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateway.golden import Case, assert_passes, assert_refused, cases, off_topic_variants, send_case
from tests.gateway.running import Gateway, running_gateway

GUARDED = ["api_chat", "api_embed", "api_generate", "v1_messages"]

# Whoever sends images, templates and raw prompts is trusted, but for what the goldens say is always judged;
# management is allowed for the passing routes.
SETTINGS: dict[str, Any] = {"profile": "trusted", "allow_management": True, "channel_tool_results": "judge"}


def _named(names: list[str]) -> list[Any]:
    return [pytest.param(case, id=f"{name}-{case['id']}") for name in names for case in cases(name)]


@pytest.fixture
async def trusting() -> AsyncIterator[Gateway]:
    """A gateway for one's own applications."""
    async with running_gateway(**SETTINGS) as running:
        yield running


@pytest.mark.parametrize("case", [p for p in _named([*GUARDED, "passthrough"]) if p.values[0]["on_topic"]])
async def test_an_allowed_exchange_passes_in_the_same_bytes(trusting: Gateway, case: Case) -> None:
    """Request and answer."""
    await assert_passes(trusting, case)


def _refused() -> list[Case]:
    off = [case for name in GUARDED for case in cases(name) if not case["on_topic"]]
    on = [case for name in GUARDED for case in cases(name) if case["on_topic"]]
    return [*off, *(variant for case in on for variant in off_topic_variants(case))]


async def test_refused_exchanges_end_in_a_turn_of_the_assistant(trusting: Gateway) -> None:
    """Or in an error where no turn has the demanded shape; the upstream sees none of them."""
    for case in _refused():
        got = await send_case(trusting, case)
        expected = case.get("refusal") or case["refusal_error"]
        assert_refused(expected, got.status_code, got.headers["content-type"], got.content)
    assert trusting.upstream.requests == []


async def test_refused_exchanges_end_in_an_error_if_so_set() -> None:
    """In the caller's own style."""
    async with running_gateway(**SETTINGS, refusal_mode="error") as gateway:
        for case in _refused():
            got = await send_case(gateway, case)
            assert_refused(case["refusal_error"], got.status_code, got.headers["content-type"], got.content)
        assert gateway.upstream.requests == []


async def test_management_is_denied_unless_allowed() -> None:
    """Class C8: what is stored now would reach a model later."""
    async with running_gateway() as gateway:
        for case in cases("api_create"):
            got = await send_case(gateway, case)
            assert_refused(case["refusal_error"], got.status_code, got.headers["content-type"], got.content)
        assert gateway.upstream.requests == []
