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


ON = {"role": "user", "content": "Who is Spock?"}
ASKED = [{"role": "user", "content": OFF_TOPIC}]
AS_OPENAI: list[dict[str, Any]] = [
    {"messages": [ON], "chat_template_kwargs": {"messages": ASKED}},
    {"messages": [], "chat_template_kwargs": {"messages": ASKED}},
    {"chat_template_kwargs": {"messages": ASKED}},
    {"messages": [ON], "grammar": f'root ::= "{OFF_TOPIC}"'},
    {"messages": [ON], "json_schema": {"const": OFF_TOPIC}},
    {"messages": [ON], "response_format": {"type": "json_schema", "json_schema": {"schema": {"const": OFF_TOPIC}}}},
    {"messages": [ON], "reasoning_budget_message": OFF_TOPIC},
    {"messages": [ON], "lora": [{"id": 0, "scale": 1.0}]},
    {"messages": [ON], "functions": [{"name": "f", "description": OFF_TOPIC}]},
    {"messages": [], "newer": {"field": OFF_TOPIC}},
    {"messages": [ON, {"role": "assistant", "content": "", "reasoning_content": OFF_TOPIC}]},
    {"messages": [ON, {"role": "assistant", "tool_calls": [{"function": {"arguments": {"id": "eggsalad1"}}}]}]},
    {"messages": [ON | {"name": OFF_TOPIC}]},
    {"messages": [ON, {"role": "tool", "content": "Kirk", "tool_call_id": OFF_TOPIC}]},
    {"messages": [ON, {"role": "assistant", "tool_calls": [{"id": OFF_TOPIC, "function": {"name": "f"}}]}]},
    {"messages": [ON, {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"a":"\\u0065gg"}'}}]}]},
]


@pytest.mark.parametrize("body", AS_OPENAI)
async def test_a_chat_is_read_as_llama_server_reads_it_too(gateway: Gateway, body: dict[str, Any]) -> None:
    """Class H3: which of both is behind is not known."""
    answer = await gateway.post("/api/chat", {"model": "m", **body})
    assert answer.headers["x-guard-decision"] == "block"
    assert gateway.upstream.requests == []


@pytest.mark.parametrize("more", [{}, {"keep_alive": 0}, {"messages": [], "options": {"num_ctx": 9}, "think": False}])
async def test_a_model_is_loaded_without_a_verdict(gateway: Gateway, more: dict[str, Any]) -> None:
    """As long as there is no text anywhere."""
    answer = await gateway.post("/api/chat", {"model": "m", **more})
    assert (answer.headers["x-guard-decision"], len(gateway.upstream.requests)) == ("allow", 1)
    assert gateway.engine.judged == []


async def test_what_ollamas_clients_send_besides_is_not_judged(gateway: Gateway) -> None:
    """Ids, switches and names of the API's own values."""
    call = {
        "id": "call_q1w2e3r4",
        "type": "function",
        "function": {"index": 0, "name": "hail", "arguments": {"a": "Kira"}},
    }
    messages = [ON, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "Kirk"}]
    await gateway.post("/api/chat", {"model": "m", "messages": messages, "think": "low", "keep_alive": "5m"})
    assert len(gateway.upstream.requests) == 1
    assert not any(word in "\n".join(gateway.engine.judged) for word in ("call_", "function", "low", "5m"))
