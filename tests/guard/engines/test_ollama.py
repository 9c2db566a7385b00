"""What only the engine that asks Ollama promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from guard.calibration import LabelLogits
from guard.engines.base import (
    EngineAnswerError,
    EngineError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from guard.engines.json_client import ServerLimits
from guard.engines.ollama import OllamaEngine
from tests import tiny
from tests.fakes import serving
from tests.replay import ReplayedOllama, always, likeliest, ollama_generated

LOGITS = LabelLogits(off_topic=-0.1, on_topic=-2.35)
PROMPTS = tiny.prompts("Who is Spock?", "How do I bake a cake?")


async def score(_prompt: str) -> LabelLogits:
    """The same to everything."""
    return LOGITS


def server() -> ReplayedOllama:
    """An Ollama with the guard."""
    return ReplayedOllama(manifest=tiny.MANIFEST, score=score)


@asynccontextmanager
async def connected(app: ReplayedOllama, **options: Any) -> AsyncIterator[OllamaEngine]:
    """An engine that is not started."""
    async with serving(app) as url:
        engine = OllamaEngine(url, "startrek-guard", **options)
        try:
            yield engine
        finally:
            await engine.aclose()


async def start_error(app: ReplayedOllama, **options: Any) -> EngineError:
    """Why a start fails."""
    async with connected(app, **options) as engine:
        with pytest.raises(EngineError) as caught:
            await engine.start()
    return caught.value


async def score_error(app: ReplayedOllama, answer: Any) -> EngineError:
    """Why a prompt has no logits, if the server answers so after the start."""
    async with connected(app) as engine:
        await engine.start()
        app.answers["POST /api/generate"] = always(answer)
        with pytest.raises(EngineError) as caught:
            await engine.score(PROMPTS)
    return caught.value


async def test_the_request_is_raw_and_constant() -> None:
    """Any other template or option would change the answer or load the model anew."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        await engine.score(PROMPTS[:1])
    assert app.sent("POST /api/generate")[-1] == {
        "model": "startrek-guard",
        "prompt": "<s>Who is Spock?<end_of_turn>",
        "raw": True,
        "stream": False,
        "options": {"num_predict": 1, "temperature": 0, "seed": 0, "num_ctx": 4096},
        "logprobs": True,
        "top_logprobs": 20,
        "keep_alive": -1,
        "truncate": False,
        "shift": False,
    }


async def test_a_server_without_logprobs_is_too_old() -> None:
    """The sentence says which version it is and which is wanted."""
    app = server()
    app.version = "0.12.10"
    error = await start_error(app)
    assert isinstance(error, EngineAnswerError)
    assert "Ollama 0.12.10" in str(error)
    assert "no logprobs, wanted 0.12.11 or newer" in str(error)


async def test_a_model_that_is_not_there_is_unavailable() -> None:
    """With the server's own words."""
    app = server()
    app.model = "other-guard:latest"
    error = await start_error(app)
    assert isinstance(error, EngineUnavailableError)
    assert "model 'startrek-guard' not found" in str(error)


async def test_a_model_that_is_not_listed_is_unavailable() -> None:
    """Its digest could not be pinned."""
    app = server()
    app.answers["GET /api/tags"] = always({"models": []})
    assert isinstance(await start_error(app), EngineUnavailableError)


async def test_another_model_is_no_guard() -> None:
    """Its metadata does not say that it is one."""
    app = server()
    app.manifest = None
    error = await start_error(app)
    assert isinstance(error, EngineAnswerError)
    assert "not a guard" in str(error)


async def test_a_given_manifest_is_not_asked_for() -> None:
    """Where the server does not show metadata."""
    app = server()
    app.answers["POST /api/show"] = always({})
    async with connected(app, manifest=tiny.MANIFEST) as engine:
        assert await engine.start() == tiny.MANIFEST


async def test_a_guard_for_another_prompt_is_refused() -> None:
    """It would answer, but not well."""
    app = server()
    app.manifest = replace(tiny.MANIFEST, prompt_version=99)
    assert "made for prompt version 99" in str(await start_error(app))


async def test_a_model_that_answers_something_else_is_refused() -> None:
    """Whatever its metadata says."""
    app = server()
    listed = [("<think>", -0.01), *likeliest(LOGITS)[:19]]
    app.answers["POST /api/generate"] = always(ollama_generated("startrek-guard", listed))
    assert "it answers something else" in str(await start_error(app))


async def test_a_model_that_was_replaced_is_refused() -> None:
    """The name is the same, the digest another."""
    app = server()
    async with connected(app, digest_check_s=0.0) as engine:
        await engine.start()
        await engine.score(PROMPTS)
        app.digest = "bad" + "0" * 61
        for _ in range(2):
            with pytest.raises(EngineUnavailableError, match="is bad000000000 now, wanted c0ffee000000"):
                await engine.score(PROMPTS)


async def test_the_digest_is_looked_up_now_and_then() -> None:
    """Not for every prompt."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        for _ in range(3):
            await engine.score(PROMPTS)
    assert len(app.sent("GET /api/tags")) == 1


async def test_an_unlisted_label_is_taken_at_its_bound() -> None:
    """Which blocks, if it errs."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        listed = [("related", -0.001), *((f"t{number}", -9.0 - number) for number in range(19))]
        app.answers["POST /api/generate"] = always(ollama_generated("startrek-guard", listed))
        assert await engine.score(PROMPTS[:1]) == [LabelLogits(off_topic=-27.0, on_topic=-0.001)]


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"<html>", media_type="text/html"),
        Response(b"\xff\xfe"),
        Response(b'{"done": tru'),
        Response(b"[" * 100_000),
        [],
        {},
        {"error": "unexpected"},
        {"logprobs": None},
        {"logprobs": []},
        {"logprobs": ["related"]},
        {"logprobs": [{"token": "related", "logprob": -0.1}]},
        {"logprobs": [{"top_logprobs": [{"token": "related"}]}]},
        {"logprobs": [{"top_logprobs": [{"token": "hello", "logprob": -0.1}]}]},
    ],
)
async def test_malformed_answers_are_errors(answer: Any) -> None:
    """Never half and half, never an allow."""
    assert isinstance(await score_error(server(), answer), EngineAnswerError)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refusal_of_one_prompt_is_a_bad_answer(status: int) -> None:
    """So its neighbours in a batch are asked again, one by one."""
    error = await score_error(server(), JSONResponse({"error": "the prompt exceeds the context"}, status))
    assert type(error) is EngineAnswerError
    assert f"status {status}" in str(error)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503, 302])
async def test_refusals_are_unavailability(status: int) -> None:
    """With the server's own words."""
    error = await score_error(server(), JSONResponse({"error": "out of memory"}, status))
    assert isinstance(error, EngineUnavailableError)
    assert f"status {status}" in str(error)
    assert "out of memory" in str(error)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """With the reason as its cause."""
    engine = OllamaEngine("http://127.0.0.1:9", "startrek-guard")
    with pytest.raises(EngineUnavailableError, match=r"GET http://127\.0\.0\.1:9/api/version") as caught:
        await engine.start()
    assert caught.value.__cause__ is not None
    await engine.aclose()


async def test_an_address_that_is_none_is_unavailable() -> None:
    """Not a crash."""
    engine = OllamaEngine("http://[", "startrek-guard")
    with pytest.raises(EngineUnavailableError):
        await engine.start()
    await engine.aclose()


async def test_a_slow_server_is_a_timeout() -> None:
    """Within the time given, however the answer comes."""
    app = server()
    async with connected(app, limits=ServerLimits(timeout_s=0.1)) as engine:
        await engine.start()
        app.delay_s = 3.0
        with pytest.raises(EngineTimeoutError, match=r"no answer within 0\.1 s"):
            await asyncio.wait_for(engine.score(PROMPTS), 2.5)


async def test_no_more_prompts_are_sent_than_allowed() -> None:
    """The rest would only queue in the server."""
    app = server()
    # Long against the time that a call takes on a busy machine, so that as many overlap as may.
    app.delay_s = 0.2
    async with connected(app, limits=ServerLimits(concurrency=3)) as engine:
        await engine.start()
        await asyncio.gather(*(engine.score(PROMPTS) for _ in range(3)))
    assert app.most == 3


async def test_a_cancelled_call_leaves_the_server() -> None:
    """Nothing goes on for nobody."""
    app = server()
    async with connected(app) as engine:
        await engine.start()
        app.delay_s = 0.2
        call = asyncio.ensure_future(engine.score(PROMPTS * 8))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.4)
        assert len(app.sent("POST /api/generate")) <= 2 + 4
        assert app.running == 0
