"""Ollama's embeddings, by the official client."""

from __future__ import annotations

from typing import Any

import ollama
import pytest

from gateway.channels import Channel
from gateway.dialects.base import Flavour
from gateway.dialects.ollama_embeddings import dialect
from gateway.errors import BadRequestError
from gateway.framing import compact_json
from tests.gateway.running import Gateway, GatewayFactory

OFF_TOPIC = "How do I boil an egg?"


def texts(path: str, body: dict[str, Any]) -> list[str]:
    """What could be judged."""
    conversation = dialect(Flavour.OLLAMA).parse(body, path)
    assert conversation.error_only
    assert {use.channel for use in conversation.channels} <= {Channel.EMBEDDINGS}
    return [text for use in conversation.channels for text in use.texts]


def test_each_route_reads_a_key_of_its_own() -> None:
    """The other is ignored by Ollama too."""
    body = {"input": ["Odo", "", "Quark"], "prompt": "Kira"}
    assert texts("/api/embed", body) == ["Odo", "Quark"]
    assert texts("/api/embed", {"input": "Odo"}) == ["Odo"]
    assert texts("/api/embeddings", body) == ["Kira"]
    assert texts("/api/embed", {"input": ""}) == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"input": 1}),
        ("/api/embed", {"input": [1, 2]}),
        ("/api/embed", {"input": [["Odo"]]}),
        ("/api/embed", {"input": {"text": "Odo"}}),
        ("/api/embeddings", {"prompt": ["Odo"]}),
    ],
)
def test_another_type_is_refused(path: str, body: dict[str, Any]) -> None:
    """Never skipped."""
    with pytest.raises(BadRequestError):
        texts(path, body)


def answering(gateway: Gateway) -> Gateway:
    """The gateway, before an upstream that embeds."""
    gateway.upstream.headers = [(b"content-type", b"application/json; charset=utf-8")]
    gateway.upstream.pieces = [compact_json({"model": "m", "embeddings": [[0.5]], "embedding": [0.5]})]
    return gateway


async def test_embeddings_pass_by_default(gateway: Gateway) -> None:
    """Only numbers come back."""
    async with ollama.AsyncClient(answering(gateway).url) as client:
        assert (await client.embed("m", [OFF_TOPIC])).embeddings == [[0.5]]
        assert (await client.embeddings("m", OFF_TOPIC)).embedding == [0.5]
    assert [seen.raw_path for seen in gateway.upstream.requests] == [b"/api/embed", b"/api/embeddings"]
    assert gateway.engine.judged == []


async def test_embeddings_are_refused_by_an_error_if_they_are_judged(start: GatewayFactory) -> None:
    """No refusal in words is a vector."""
    async with (
        start(channel_embeddings="judge") as gateway,
        ollama.AsyncClient(answering(gateway).url) as client,
    ):
        with pytest.raises(ollama.ResponseError, match="I can only help") as raised:
            await client.embed("m", ["Odo", OFF_TOPIC])
        assert raised.value.status_code == 400
        with pytest.raises(ollama.ResponseError, match="I can only help"):
            await client.embeddings("m", OFF_TOPIC)
        assert gateway.upstream.requests == []
        assert (await client.embed("m", ["Odo"])).embeddings == [[0.5]]
