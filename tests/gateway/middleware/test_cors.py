"""Which web pages may ask."""

from __future__ import annotations

import pytest

from tests.gateway.running import Gateway, GatewayFactory

OFF = {"model": "m", "prompt": "egg"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://evil.example:3000",
        "chrome-extension://x",
    ],
)
async def test_a_foreign_origin_gets_an_empty_403(gateway: Gateway, origin: str) -> None:
    """On actual requests as on preflights."""
    for method in ("POST", "OPTIONS"):
        answer = await gateway.client.request(method, "/api/generate", json=OFF, headers={"Origin": origin})
        assert (answer.status_code, answer.content) == (403, b"")
    assert gateway.engine.batches == []


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "app://obsidian.md", "file://x"])
async def test_a_local_origin_may_read_answers_and_refusals(gateway: Gateway, origin: str) -> None:
    """Without the header a browser would show a network error in place of the refusal."""
    for prompt in ("egg", "Spock"):
        answer = await gateway.post("/api/generate", {"prompt": prompt}, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"


async def test_a_preflight_is_answered_here(gateway: Gateway) -> None:
    """As Ollama does."""
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    answer = await gateway.client.options("/api/chat", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert answer.headers["access-control-max-age"] == "43200"
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()
    assert gateway.upstream.requests == []


async def test_our_own_pages_and_further_origins_may_ask(start: GatewayFactory) -> None:
    """The gateway's own origin, and what the settings name."""
    async with start(allowed_origins="chrome-extension://*") as gateway:
        for origin in (gateway.url, "chrome-extension://abc"):
            answer = await gateway.post("/api/generate", {"prompt": "Spock"}, headers={"Origin": origin})
            assert answer.status_code == 200
