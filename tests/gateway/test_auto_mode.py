"""The default: both families of routes at one address."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.channels import Channel, Policy
from gateway.routes import Action, Api, routes_of
from gateway.settings import Settings
from tests.gateway.running import Gateway

OFF_TOPIC = "How do I boil an egg?"
REFUSAL = "I can only help with Star Trek topics."


def body(text: str) -> dict[str, Any]:
    """A request in every protocol at once: each route reads its own keys."""
    return {
        "model": "m",
        "max_tokens": 9,
        "stream": False,
        "messages": [{"role": "user", "content": text}],
        "prompt": text,
        "input": text,
        "input_prefix": "",
        "input_suffix": "",
    }


OLLAMA = ["/api/chat", "/api/generate", "/v1/messages"]
LLAMA_SERVER = ["/completion", "/completions", "/infill"]


@pytest.mark.parametrize("path", [*OLLAMA, *LLAMA_SERVER])
async def test_a_question_of_either_family_is_judged(gateway: Gateway, path: str) -> None:
    """Forwarded to its own path, or refused in its own shape."""
    assert (await gateway.post(path, body("Who is Spock?"))).headers["x-guard-decision"] == "allow"
    assert [seen.raw_path for seen in gateway.upstream.requests] == [path.encode()]
    refused = await gateway.post(path, body(OFF_TOPIC))
    assert (refused.status_code, refused.headers["x-guard-decision"]) == (200, "block")
    assert REFUSAL in refused.text
    assert len(gateway.upstream.requests) == 1


@pytest.mark.parametrize("path", ["/api/embed", "/rerank", "/v1/reranking"])
async def test_numbers_of_either_family_pass(gateway: Gateway, path: str) -> None:
    """By default."""
    numbers = {"model": "m", "input": OFF_TOPIC, "query": OFF_TOPIC, "documents": ["Kirk"]}
    assert (await gateway.post(path, numbers)).headers["x-guard-decision"] == "allow"
    assert [seen.raw_path for seen in gateway.upstream.requests] == [path.encode()]
    assert Settings().channels[Channel.EMBEDDINGS] is Policy.ALLOW


async def test_errors_have_the_style_of_their_family(gateway: Gateway) -> None:
    """Also where both have the route: Ollama's there."""
    assert (await gateway.post("/api/chat", b"{")).json()["error"].startswith("invalid JSON")
    assert (await gateway.post("/completion", b"{")).json()["error"]["code"] == 400
    assert (await gateway.post("/v1/messages", b"{")).json()["type"] == "error"


def test_a_route_of_both_is_ollamas_and_is_guarded_as_it_is_there() -> None:
    """No route is guarded in one family and let through in both."""
    both = {(route.method, route.path): route.action for route in routes_of(Api.AUTO)}
    for api in (Api.OLLAMA, Api.LLAMA_SERVER):
        guarded = [(r.method, r.path) for r in routes_of(api) if r.action is Action.GUARDED]
        assert {both[key] for key in guarded} == {Action.GUARDED}
