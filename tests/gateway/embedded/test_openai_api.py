"""OpenAI's own client and plain HTTP on the routes below ``/v1``, answered by the real model."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

pytestmark = pytest.mark.slow

MODEL = "smollm2:135m"
TURN: Any = [{"role": "user", "content": "Who is Captain Kirk?"}]


def test_a_completion_is_answered(openai_client: openai.OpenAI) -> None:
    """With text and real token counts."""
    answer = openai_client.chat.completions.create(model=MODEL, messages=TURN, max_tokens=8, seed=7)

    assert (answer.choices[0].finish_reason, answer.model) == ("length", MODEL)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (35, 8, 43)


def test_a_stream_gives_the_same_text_and_ends_with_the_usage(openai_client: openai.OpenAI) -> None:
    """The first event says who speaks, one the reason of the end, the last one the counts."""
    ask: Any = {"model": MODEL, "messages": TURN, "max_tokens": 8, "seed": 7}
    whole = openai_client.chat.completions.create(**ask)
    *chunks, end, usage = openai_client.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    )

    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]
    assert end.choices[0].finish_reason == "length"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 8)


def test_content_parts_are_read_as_one_text(openai_client: openai.OpenAI) -> None:
    """Clients send parts even where there is only text."""
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "Who is Captain Kirk?"}]}]
    answer = openai_client.chat.completions.create(model=MODEL, messages=parts, max_completion_tokens=1)

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 35


def test_stop_may_be_one_string(openai_client: openai.OpenAI) -> None:
    """OpenAI's API takes a string or a list."""
    answer = openai_client.chat.completions.create(model=MODEL, messages=TURN, max_tokens=40, seed=7, stop=" ")

    assert answer.choices[0].finish_reason == "stop"
    assert " " not in (answer.choices[0].message.content or "")


def test_the_model_is_listed_and_found_by_each_name(openai_client: openai.OpenAI) -> None:
    """Case aside."""
    assert [model.id for model in openai_client.models.list()] == [MODEL]
    assert openai_client.models.retrieve("SmolLM2").id == "SmolLM2"


def test_another_model_is_not_found(openai_client: openai.OpenAI) -> None:
    """On both routes, in OpenAI's shape."""
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("nope")
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.chat.completions.create(model="nope", messages=TURN)

    error = {"message": "model 'nope' not found", "type": "not_found_error", "param": None, "code": None}
    assert caught.value.body == error


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"max_tokens": "8"},
        {"stream_options": 1},
        {"stop": [1]},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_a_wrong_type_or_a_missing_feature_is_a_bad_request(http: httpx.Client, wrong: dict[str, Any]) -> None:
    """In OpenAI's shape."""
    answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": TURN, **wrong})

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_prompt_beyond_the_context_is_a_bad_request(openai_client: openai.OpenAI) -> None:
    """Streamed too: the status waits for the model."""
    long: Any = [{"role": "user", "content": "warp " * 5000}]
    with pytest.raises(openai.BadRequestError, match="exceeds the context length"):
        openai_client.chat.completions.create(model=MODEL, messages=long, stream=True)
