"""Ollama's own client and plain HTTP on the routes below ``/api``, answered by the real model."""

from __future__ import annotations

from typing import Any

import httpx
import ollama
import pytest

pytestmark = pytest.mark.slow

MODEL = "smollm2:135m"
TURN = [{"role": "user", "content": "Who is Captain Kirk?"}]
SHORT = {"num_predict": 8, "seed": 7}


def test_a_chat_is_answered(ollama_client: ollama.Client) -> None:
    """By the model asked for, with text of its own."""
    answer = ollama_client.chat(MODEL, TURN, options=SHORT)

    assert (answer.model, answer.message.role, answer.done, answer.done_reason) == (MODEL, "assistant", True, "length")
    assert answer.message.content


def test_a_streamed_chat_gives_the_same_text_in_pieces(ollama_client: ollama.Client) -> None:
    """Several pieces, the last one empty and with the numbers."""
    whole = ollama_client.chat(MODEL, TURN, options=SHORT)
    *pieces, last = ollama_client.chat(MODEL, TURN, options=SHORT, stream=True)

    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert len(pieces) > 3
    assert (last.message.content, last.done, last.eval_count) == ("", True, whole.eval_count)


def test_chat_streams_ndjson_unless_told_otherwise(http: httpx.Client) -> None:
    """Ollama's default, absent or null."""
    streamed = http.post("/api/chat", json={"model": MODEL, "messages": TURN, "stream": None, "options": SHORT})
    whole = http.post("/api/chat", json={"model": MODEL, "messages": TURN, "stream": False, "options": SHORT})

    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert whole.headers["content-type"] == "application/json; charset=utf-8"


def test_a_seed_repeats_an_answer_whatever_came_between(ollama_client: ollama.Client) -> None:
    """Another seed gives another answer."""
    first = ollama_client.chat(MODEL, TURN, options=SHORT)
    other = ollama_client.chat(MODEL, TURN, options={**SHORT, "seed": 8})
    again = ollama_client.chat(MODEL, TURN, options=SHORT)

    assert first.message.content == again.message.content
    assert first.message.content != other.message.content


def test_counts_and_durations_are_real(ollama_client: ollama.Client) -> None:
    """The parts are positive nanoseconds and make up less than the whole."""
    answer = ollama_client.chat(MODEL, TURN, options=SHORT)
    parts = [answer.load_duration or 0, answer.prompt_eval_duration or 0, answer.eval_duration or 0]

    assert (answer.eval_count, answer.prompt_eval_count) == (8, 35)
    assert min(parts) > 0
    assert sum(parts) <= (answer.total_duration or 0) < 60e9


def test_generate_takes_a_system_message_and_returns_a_context(ollama_client: ollama.Client) -> None:
    """The context is accepted by the next call, whose prompt it lengthens."""
    first = ollama_client.generate(MODEL, "Name a ship.", system="Answer briefly.", options=SHORT)
    second = ollama_client.generate(MODEL, "Another!", context=first.context, options=SHORT)

    assert first.response
    assert (second.prompt_eval_count or 0) > len(first.context or ())


def test_raw_generate_uses_no_template(ollama_client: ollama.Client) -> None:
    """So there is no context to go on with."""
    answer = ollama_client.generate(MODEL, "Space, the final", raw=True, options=SHORT)

    assert (answer.prompt_eval_count, answer.context) == (4, None)


def test_a_stop_text_ends_the_answer_and_is_not_in_it(ollama_client: ollama.Client) -> None:
    """The reason is stop, not length."""
    free = ollama_client.chat(MODEL, TURN, options=SHORT).message.content or ""
    word = free.split()[2]
    answer = ollama_client.chat(MODEL, TURN, options={**SHORT, "stop": [word]})

    assert (answer.message.content, answer.done_reason) == (free[: free.index(word)], "stop")


@pytest.mark.parametrize(("path", "key"), [("/api/chat", "messages"), ("/api/generate", "prompt")])
@pytest.mark.parametrize(("more", "reason"), [({}, "load"), ({"keep_alive": "0s"}, "unload")])
def test_an_empty_call_loads_or_unloads(
    http: httpx.Client, path: str, key: str, more: dict[str, Any], reason: str
) -> None:
    """One object even though streaming is the default; what is loaded shows in ``/api/ps``."""
    answer = http.post(path, json={"model": MODEL, key: [] if key == "messages" else "", **more}).json()
    running = http.get("/api/ps").json()["models"]

    assert (answer["done"], answer["done_reason"]) == (True, reason)
    assert len(running) == (reason == "load")


@pytest.mark.parametrize("name", ["SmolLM2", "smollm2:latest", "registry.ollama.ai/library/smollm2:135M"])
def test_the_model_answers_to_all_of_its_names(ollama_client: ollama.Client, name: str) -> None:
    """And says the name it was called by."""
    assert name == ollama_client.chat(name, TURN, options={"num_predict": 1}).model


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/show"])
def test_another_model_is_not_found(http: httpx.Client, path: str) -> None:
    """In Ollama's words, by which its CLI sees that it should pull."""
    answer = http.post(path, json={"model": "nope", "messages": TURN, "prompt": "hi"})

    assert (answer.status_code, answer.json()) == (404, {"error": "model 'nope' not found"})


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/show"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b"{}", b'{"model": "smollm2", "x": \xff}'])
def test_a_broken_body_is_a_bad_request(http: httpx.Client, path: str, body: bytes) -> None:
    """In Ollama's shape, whose error is always a string."""
    answer = http.post(path, content=body)

    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "hi"},
        {"messages": ["hi"]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [{"role": "user", "content": "hi", "images": ["aGk="]}]},
        {"stream": "false"},
        {"options": []},
        {"options": {"temperature": "hot"}},
        {"keep_alive": "soon"},
        {"tools": [{"type": "function"}]},
        {"format": "json"},
        {"think": True},
    ],
)
def test_a_wrong_type_or_a_missing_feature_is_a_bad_request(http: httpx.Client, wrong: dict[str, Any]) -> None:
    """What the model can't do is said, not left out."""
    answer = http.post("/api/chat", json={"model": MODEL, "messages": TURN, **wrong})

    assert answer.status_code == 400, answer.text


def test_a_prompt_beyond_the_context_is_a_bad_request(ollama_client: ollama.Client) -> None:
    """Streamed too: the status waits for the model."""
    with pytest.raises(ollama.ResponseError, match=r"exceeds the context length: .* 4096") as caught:
        list(ollama_client.generate(MODEL, "warp " * 5000, stream=True))

    assert caught.value.status_code == 400


def test_raw_with_a_system_message_is_refused_in_ollamas_words(ollama_client: ollama.Client) -> None:
    """A raw prompt has no place for one."""
    with pytest.raises(ollama.ResponseError, match="raw mode does not support template, system, or context"):
        ollama_client.generate(MODEL, "hi", system="no", raw=True)


def test_the_model_is_listed_and_shown(ollama_client: ollama.Client) -> None:
    """With what its file says of itself."""
    (listed,) = ollama_client.list().models
    shown = ollama_client.show("smollm2")

    assert (listed.model, listed.size) == (MODEL, 98_362_432)
    assert (shown.modelinfo or {})["llama.context_length"] == 8192
    assert shown.details is not None
    assert shown.details.quantization_level == "Q4_1"


def test_a_loaded_model_is_running(ollama_client: ollama.Client) -> None:
    """With the context it was loaded with."""
    ollama_client.generate(MODEL)

    assert [model.context_length for model in ollama_client.ps().models] == [4096]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_says_that_ollama_is_running(http: httpx.Client, method: str) -> None:
    """HEAD has the headers and no body."""
    answer = http.request(method, "/")

    assert (answer.status_code, answer.headers["content-length"]) == (200, "17")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == ("Ollama is running" if method == "GET" else "")


@pytest.mark.parametrize("path", ["/api/version", "/api/tags"])
def test_head_is_answered_where_ollama_answers_it(http: httpx.Client, path: str) -> None:
    """User interfaces ask so whether the server lives."""
    answer = http.head(path)

    assert (answer.status_code, answer.content) == (200, b"")


def test_the_router_speaks_as_ollamas(http: httpx.Client) -> None:
    """Plain text, and the allowed method with a wrong one."""
    missing, wrong = http.get("/api/nope"), http.get("/api/chat")

    assert (missing.status_code, missing.text) == (404, "404 page not found")
    assert (wrong.status_code, wrong.text, wrong.headers["allow"]) == (405, "405 method not allowed", "POST")
