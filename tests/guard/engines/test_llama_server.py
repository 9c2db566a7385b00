"""What only the engine that asks llama-server promises."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import JSONResponse

from guard.calibration import LabelLogits
from guard.engines.base import EngineAnswerError, EngineError, EngineTimeoutError, EngineUnavailableError
from guard.engines.json_client import ServerLimits
from guard.engines.llama_server import LlamaServerEngine
from tests import tiny
from tests.fakes import serving
from tests.replay import ReplayedServer, always, likeliest

LISTED = likeliest(LabelLogits(off_topic=-0.1, on_topic=-2.35))
PROMPTS = tiny.prompts("Who is Spock?", "How do I bake a cake?")

LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


def completion(listed: list[tuple[str, float]]) -> dict[str, Any]:
    """The answer of ``/completion`` since the end of 2024, less the keys that nobody here reads."""
    entries = [{"id": 1, "token": text, "bytes": list(text.encode()), "logprob": value} for text, value in listed]
    return {
        "index": 0,
        "content": listed[0][0],
        "tokens": [],
        "stop": True,
        "stop_type": "limit",
        "completion_probabilities": [{**entries[0], "top_logprobs": entries}],
    }


def old_completion(listed: list[tuple[str, float]]) -> dict[str, Any]:
    """The answer of ``/completion`` before that."""
    entries = [{"tok_str": text, "prob": math.exp(value)} for text, value in listed]
    return {
        "content": listed[0][0],
        "stop": True,
        "stopped_limit": True,
        "completion_probabilities": [{"content": listed[0][0], "probs": entries}],
    }


def server(answer: Any = None) -> ReplayedServer:
    """A llama-server that answers everything alike."""
    return ReplayedServer(
        {
            "GET /health": always({"status": "ok"}),
            "GET /v1/models": always({"object": "list", "data": [{"id": "guard.gguf", "meta": {"n_params": 1}}]}),
            "POST /completion": always(completion(LISTED) if answer is None else answer),
        }
    )


@asynccontextmanager
async def connected(app: ReplayedServer, **options: Any) -> AsyncIterator[LlamaServerEngine]:
    """An engine that is not started."""
    async with serving(app) as url:
        engine = LlamaServerEngine(url, tiny.MANIFEST, **options)
        try:
            yield engine
        finally:
            await engine.aclose()


async def start_error(app: ReplayedServer, **options: Any) -> EngineError:
    """Why a start fails."""
    async with connected(app, **options) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.start()
    return caught.value


async def test_the_request_is_greedy_and_constant() -> None:
    """One token, its alternatives, no cache."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        await engine.score(PROMPTS[:1])
    assert app.sent("POST /completion")[-1] == {
        "prompt": "<s>Who is Spock?<end_of_turn>",
        "n_predict": 1,
        "n_probs": 20,
        "temperature": -1,
        "cache_prompt": False,
        "stream": False,
    }


@pytest.mark.parametrize("shape", [completion, old_completion])
async def test_old_and_new_answers_are_read(shape: Any) -> None:
    """Probabilities or their logarithms."""
    async with connected(server(shape(LISTED))) as engine:
        await engine.start()
        (logits,) = await engine.score(PROMPTS[:1])
    assert logits.off_topic - logits.on_topic == pytest.approx(2.25)


async def test_a_probability_of_nothing_has_a_logarithm() -> None:
    """Old servers round to zero."""
    app = server(old_completion([("not_related", 0.0), ("related", -math.inf), ("a", -math.inf)]))
    app.answers["POST /completion"], last = always(old_completion(LISTED)), app.answers["POST /completion"]
    async with connected(app) as engine:
        await engine.start()
        app.answers["POST /completion"] = last
        (logits,) = await engine.score(PROMPTS[:1])
    assert -100 < logits.on_topic < -50


async def test_the_key_is_sent() -> None:
    """As a bearer token."""
    app = server()
    async with connected(app, api_key="secret") as engine:
        await engine.start()
    assert all(headers["authorization"] == "Bearer secret" for _where, headers, _body in app.requests)


async def test_no_key_is_sent_without_one() -> None:
    """Not even an empty one."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
    assert all("authorization" not in headers for _where, headers, _body in app.requests)


async def test_a_wrong_key_is_unavailability() -> None:
    """With the server's own words, without the key."""
    refused = JSONResponse({"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, 401)
    error = await start_error(server(refused), api_key="secret")
    assert isinstance(error, EngineUnavailableError)
    assert "Invalid API Key" in str(error)
    assert "secret" not in str(error)


async def test_a_server_that_loads_its_model_is_waited_for() -> None:
    """It may start beside the gateway."""
    app = server()
    answers = iter([JSONResponse(LOADING, 503), JSONResponse(LOADING, 503), {"status": "ok"}])

    async def health(_body: Any) -> Any:
        return next(answers)

    app.answers["GET /health"] = health
    async with connected(app) as engine:
        assert await engine.start() == tiny.MANIFEST


async def test_a_server_that_never_is_ready_is_a_timeout() -> None:
    """Within the time given."""
    app = server()
    app.answers["GET /health"] = always(JSONResponse(LOADING, 503))
    error = await start_error(app, limits=ServerLimits(start_timeout_s=0.3))
    assert isinstance(error, EngineTimeoutError)


async def test_another_model_is_refused() -> None:
    """It answers something else."""
    error = await start_error(server(completion([("Hello", -0.1), *LISTED[2:]])))
    assert isinstance(error, EngineAnswerError)
    assert "likeliest tokens are 'Hello'" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"completion_probabilities": None},
        {"completion_probabilities": []},
        {"completion_probabilities": ["related"]},
        {"completion_probabilities": [{}]},
        {"completion_probabilities": [{"top_logprobs": None}]},
        {"completion_probabilities": [{"probs": [{"tok_str": "related", "prob": None}]}]},
        {"completion_probabilities": [{"top_logprobs": [{"token": "hello", "logprob": 0}]}]},
    ],
)
async def test_malformed_answers_are_errors(answer: Any) -> None:
    """Never half and half, never an allow."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        app.answers["POST /completion"] = always(answer)
        with pytest.raises(EngineAnswerError):
            await engine.score(PROMPTS)


async def test_a_slow_server_is_a_timeout() -> None:
    """Within the time given."""
    app = server()
    async with connected(app, limits=ServerLimits(timeout_s=0.1)) as engine:
        await engine.start()
        app.delay_s = 3.0
        with pytest.raises(EngineTimeoutError):
            await asyncio.wait_for(engine.score(PROMPTS), 2.5)


async def test_another_model_has_another_fingerprint() -> None:
    """As far as the server tells."""
    prints = set()
    for parameters in (1, 2):
        app = server()
        app.answers["GET /v1/models"] = always({"data": [{"id": "guard.gguf", "meta": {"n_params": parameters}}]})
        async with connected(app) as engine:
            await engine.start()
            prints.add(engine.fingerprint)
    assert len(prints) == 2


async def test_a_prompt_that_was_read_in_part_is_an_error() -> None:
    """The part that was left out could be the one that is off topic."""
    async with connected(server({**completion(LISTED), "truncated": True})) as engine:
        with pytest.raises(EngineAnswerError, match="in part only"):
            await engine.start()
