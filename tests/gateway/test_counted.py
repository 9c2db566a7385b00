"""Routes that count tokens: no model answers there, but one that sees fetches images to count them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.running import Gateway, GatewayFactory

OFF_TOPIC = "How do I boil an egg?"
ADDRESS = "http://169.254.169.254/latest/meta-data"

TEXTS: dict[str, dict[str, Any]] = {
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": OFF_TOPIC}]},
    "/chat/completions/input_tokens": {"messages": [{"role": "user", "content": OFF_TOPIC}]},
    "/v1/chat/completions/input_tokens": {"messages": [{"role": "user", "content": OFF_TOPIC}]},
    "/responses/input_tokens": {"input": OFF_TOPIC},
    "/v1/responses/input_tokens": {"input": OFF_TOPIC},
}
_OPENAI_IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]
IMAGES: dict[str, dict[str, Any]] = {
    "/v1/messages/count_tokens": {
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": ADDRESS}}]}]
    },
    "/chat/completions/input_tokens": {"messages": _OPENAI_IMAGE},
    "/v1/chat/completions/input_tokens": {"messages": _OPENAI_IMAGE},
    "/responses/input_tokens": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": ADDRESS, "detail": "auto"}]}]
    },
}


@pytest.mark.parametrize("path", TEXTS)
async def test_a_text_is_counted_whatever_it_is_about(gateway: Gateway, path: str) -> None:
    """The guard is not asked."""
    assert (await gateway.post(path, TEXTS[path])).status_code == 200
    assert [seen.raw_path for seen in gateway.upstream.requests] == [path.encode()]
    assert gateway.engine.judged == []


@pytest.mark.parametrize("path", IMAGES)
async def test_a_stranger_has_no_image_fetched_by_having_it_counted(gateway: Gateway, path: str) -> None:
    """As where a model answers."""
    assert (await gateway.post(path, IMAGES[path])).status_code == 400
    assert gateway.upstream.requests == []


async def test_a_body_that_can_be_read_in_two_ways_is_not_counted(gateway: Gateway) -> None:
    """An image could hide in the other reading."""
    twice = b'{"messages": [], "messages": [{"role": "user", "content": "Why?"}]}'
    assert (await gateway.post("/v1/messages/count_tokens", twice)).status_code == 400
    assert gateway.upstream.requests == []


async def test_an_image_is_counted_where_images_are_allowed(start: GatewayFactory) -> None:
    """If the request brings it along."""
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    body = {"messages": [{"role": "user", "content": [url, {"type": "text", "text": OFF_TOPIC}]}]}
    async with start(profile="trusted") as gateway:
        assert (await gateway.post("/chat/completions/input_tokens", body)).status_code == 200
        assert len(gateway.upstream.requests) == 1
