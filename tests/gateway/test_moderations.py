"""The guard in OpenAI's moderation shape, by the official client."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest

from guard.calibration import LabelLogits
from tests.gateway.running import Gateway, GatewayFactory


async def moderated(gateway: Gateway, given: Any) -> openai.types.ModerationCreateResponse:
    """What the official client gets."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        return await client.moderations.create(input=given)


def flags(answer: openai.types.ModerationCreateResponse) -> list[bool]:
    """Of each result; the category and the flag say the same."""
    assert [result.categories.to_dict()["off_topic"] for result in answer.results] == [
        result.flagged for result in answer.results
    ]
    return [result.flagged for result in answer.results]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Who is Spock?", [False]),
        ("How do I boil an egg?", [True]),
        (["Who is Spock?", "How do I boil an egg?", "Who is Worf?"], [False, True, False]),
        ([{"type": "text", "text": "Who is Spock?"}, {"type": "text", "text": "And an egg?"}], [True]),
    ],
)
async def test_there_is_a_result_for_each_text(gateway: Gateway, given: Any, expected: list[bool]) -> None:
    """But one for all parts together; nothing goes to the upstream."""
    answer = await moderated(gateway, given)
    assert (flags(answer), answer.model) == (expected, "scripted-guard")
    assert answer.id.startswith("modr-")
    assert gateway.upstream.requests == []


async def test_the_score_is_the_probability_of_off_topic(gateway: Gateway) -> None:
    """The complement of the guard's."""
    answer = await moderated(gateway, ["Who is Spock?", "An egg?"])
    scores = [result.category_scores.to_dict()["off_topic"] for result in answer.results]
    assert scores == pytest.approx([1 / (1 + math.exp(8)), 1 / (1 + math.exp(-8))])
    assert answer.results[0].category_applied_input_types.to_dict() == {"off_topic": ["text"]}


async def test_a_guard_out_of_its_mind_flags(gateway: Gateway) -> None:
    """No number is JSON for that."""
    gateway.engine.answer = LabelLogits(off_topic=math.nan, on_topic=math.nan)
    answer = await moderated(gateway, "Who is Spock?")
    assert flags(answer) == [True]
    assert answer.results[0].category_scores.to_dict() == {"off_topic": 1.0}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": ""},
        {"input": []},
        {"input": ["Kirk", " "]},
        {"input": 1},
        {"input": ["Kirk", {"type": "text", "text": "Spock"}]},
        {"input": [{"type": "image_url", "image_url": {"url": "http://x/"}}]},
        {"input": [{"type": "text", "text": 1}]},
        {"Input": "Kirk"},
    ],
)
async def test_what_cant_be_judged_is_an_error_of_openais_style(gateway: Gateway, body: dict[str, Any]) -> None:
    """Never a result."""
    got = await gateway.post("/v1/moderations", body)
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
    assert gateway.engine.judged == []


@pytest.mark.parametrize("given", [["Kirk"] * 4, "Kirk " * 100, ["Kirk " * 30] * 3])
async def test_a_request_is_bounded_as_a_whole(start: GatewayFactory, given: Any) -> None:
    """However it is cut."""
    async with start(max_judged_texts=3, max_judged_bytes=400) as gateway:
        assert (await gateway.post("/v1/moderations", {"input": given})).status_code == 413
        assert gateway.engine.judged == []


async def test_no_verdict_is_no_result(gateway: Gateway) -> None:
    """The client may try again."""
    gateway.engine.error = RuntimeError("gone")
    got = await gateway.post("/v1/moderations", {"input": ["Who is Spock?", "Who is Worf?"]})
    assert (got.status_code, got.headers["retry-after"]) == (503, "5")
