"""The main job over real sockets."""

from __future__ import annotations

import json

from tests.gateway.running import Gateway, GatewayFactory

ON_TOPIC = b'{"model" : "m",  "messages":[{"role":"user","content":"Who is Spock?"}], "x": 1.50}'


def chat(text: str, **more: object) -> dict[str, object]:
    """A chat request of one turn."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


async def test_an_on_topic_prompt_is_forwarded_in_the_same_bytes(gateway: Gateway) -> None:
    """White space, key order and number spelling included."""
    answer = await gateway.post("/api/chat", ON_TOPIC)
    assert (answer.status_code, answer.content) == (200, b'{"done":true}\n')
    assert [request.body for request in gateway.upstream.requests] == [ON_TOPIC]
    assert answer.headers["x-guard-decision"] == "allow"
    assert answer.headers["x-guard-reason"] == "on_topic"
    assert answer.headers["server-timing"].startswith("guard;dur=")


async def test_an_off_topic_prompt_is_refused_in_the_callers_protocol(gateway: Gateway) -> None:
    """As a stream of two lines by default, and nothing reaches the upstream."""
    answer = await gateway.post("/api/chat", chat("How do I boil an egg?"))
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert lines[0]["message"] == {"role": "assistant", "content": "I can only help with Star Trek topics."}
    assert (lines[1]["done"], lines[1]["done_reason"], lines[1]["model"]) == (True, "stop", "m")
    assert answer.headers["x-guard-decision"] == "block"
    assert gateway.upstream.requests == []


async def test_generate_is_refused_in_one_object(gateway: Gateway) -> None:
    """Where the caller does not want a stream."""
    answer = await gateway.post("/api/generate", {"model": "m", "prompt": "boil an egg", "stream": False})
    assert answer.json()["response"] == "I can only help with Star Trek topics."
    assert answer.json()["done"] is True
    assert gateway.upstream.requests == []


async def test_a_broken_body_is_the_clients_error(gateway: Gateway) -> None:
    """Empty, no JSON, of the wrong type: 400 in Ollama's shape."""
    for body in (b"", b"{", b"[]", b'{"messages":"x"}', b'{"messages":[{"role":"user","content":[]}]}'):
        answer = await gateway.post("/api/chat", body)
        assert answer.status_code == 400
        assert isinstance(answer.json()["error"], str)
    assert gateway.upstream.requests == []


async def test_passes_reach_the_upstream(gateway: Gateway) -> None:
    """With their query, their method and their body."""
    await gateway.client.head("/")
    await gateway.client.get("/api/tags?x=1")
    await gateway.post("/api/show", {"model": "m"})
    seen = [(r.method, r.raw_path, r.query, r.body) for r in gateway.upstream.requests]
    assert seen == [
        ("HEAD", b"/", b"", b""),
        ("GET", b"/api/tags", b"x=1", b""),
        ("POST", b"/api/show", b"", b'{"model":"m"}'),
    ]


async def test_an_upstream_that_is_down_is_502(start: GatewayFactory) -> None:
    """In Ollama's error shape."""
    async with start(upstream="http://127.0.0.1:9") as gateway:
        answer = await gateway.post("/api/chat", ON_TOPIC)
    assert answer.status_code == 502
    assert answer.json() == {"error": "the upstream model server can't be reached"}
