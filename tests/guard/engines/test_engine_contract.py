"""One contract for every engine: the same rows have the same labels, and nothing odd does harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guard.calibration import UNCALIBRATED, LabelLogits
from guard.engines.base import Engine, EngineUnavailableError
from guard.engines.llama_cpp import LlamaCppEngine
from guard.engines.llama_server import LlamaServerEngine
from guard.engines.ollama import OllamaEngine
from guard.prompt import MAX_PROMPT_BYTES
from tests import tiny
from tests.fakes import serving
from tests.replay import ReplayedOllama

TOLERANCE = 0.02
"""Of probabilities: batches of another shape are summed in another order, in half precision."""

PROMPTS = tiny.prompts(*tiny.ROWS)

AnyEngine = LlamaCppEngine | OllamaEngine | LlamaServerEngine


@pytest.fixture(params=["llama.cpp", "ollama", pytest.param("llama-server", marks=pytest.mark.slow)])
async def engine(
    request: pytest.FixtureRequest, guard_file: Path, reference: LlamaCppEngine
) -> AsyncIterator[AnyEngine]:
    """Each engine with the tiny guard, not started."""
    async with _engine(request, guard_file, reference) as made:
        yield made
        await made.aclose()


@asynccontextmanager
async def _engine(
    request: pytest.FixtureRequest, guard_file: Path, reference: LlamaCppEngine
) -> AsyncIterator[AnyEngine]:
    if request.param == "llama.cpp":
        yield LlamaCppEngine(guard_file, threads=1)
    elif request.param == "llama-server":
        yield LlamaServerEngine(request.getfixturevalue("llama_server_url"), tiny.MANIFEST)
    else:

        async def score(prompt: str) -> LabelLogits:
            return (await reference.score([prompt]))[0]

        async with serving(ReplayedOllama(manifest=tiny.MANIFEST, score=score)) as url:
            yield OllamaEngine(url, "startrek-guard")


def probabilities(logits: list[LabelLogits]) -> list[float]:
    """Of on topic."""
    return [UNCALIBRATED.score(pair) for pair in logits]


async def test_start_gives_the_manifest(engine: AnyEngine) -> None:
    """Wherever it is read from."""
    assert await engine.start() == tiny.MANIFEST


async def test_every_engine_gives_the_same_probabilities(engine: AnyEngine, reference: LlamaCppEngine) -> None:
    """And so the same labels."""
    await engine.start()
    found, wanted = probabilities(await engine.score(PROMPTS)), probabilities(reference.score_sync(PROMPTS))
    assert found == pytest.approx(wanted, abs=TOLERANCE)
    assert [value >= 0.5 for value in found] == [value >= 0.5 for value in wanted]


async def test_a_batch_answers_as_single_prompts_do(engine: AnyEngine) -> None:
    """Prompts do not see each other."""
    await engine.start()
    single = [(await engine.score([prompt]))[0] for prompt in PROMPTS]
    assert probabilities(await engine.score(PROMPTS)) == pytest.approx(probabilities(single), abs=TOLERANCE)


async def test_answers_come_in_the_order_of_the_prompts(engine: AnyEngine) -> None:
    """More prompts than a batch holds, too."""
    await engine.start()
    forwards = probabilities(await engine.score(PROMPTS * 4))
    backwards = probabilities(await engine.score(PROMPTS[::-1] * 4))
    assert forwards == pytest.approx(backwards[::-1], abs=TOLERANCE)


async def test_the_longest_prompt_is_answered(engine: AnyEngine) -> None:
    """A token a byte, and several of them together."""
    await engine.start()
    text = "é" * ((MAX_PROMPT_BYTES - 64) // 2)
    first, second = probabilities(await engine.score(tiny.prompts(text, text)))
    assert first == pytest.approx(second, abs=TOLERANCE)


async def test_calls_at_the_same_time_get_their_own_answers(engine: AnyEngine) -> None:
    """Callers do not wait for one another."""
    await engine.start()
    wanted = probabilities(await engine.score(PROMPTS))
    answers = await asyncio.gather(*(engine.score([prompt]) for prompt in PROMPTS))
    assert [probabilities(answer)[0] for answer in answers] == pytest.approx(wanted, abs=TOLERANCE)


async def test_no_prompts_have_no_answers(engine: AnyEngine) -> None:
    """Nothing is asked."""
    await engine.start()
    assert await engine.score([]) == []


async def test_cancelled_calls_do_no_harm(engine: AnyEngine, reference: LlamaCppEngine) -> None:
    """Cancelled while queued or while computed, those after it are answered."""
    await engine.start()
    calls = [asyncio.ensure_future(engine.score(PROMPTS)) for _ in range(6)]
    await asyncio.sleep(0.005)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    wanted = pytest.approx(probabilities(reference.score_sync(PROMPTS)), abs=TOLERANCE)
    assert all(probabilities(answer) == wanted for answer in answers[1::2] if isinstance(answer, list))
    assert probabilities(await engine.score(PROMPTS)) == wanted


async def test_an_engine_that_was_not_started_is_unavailable(engine: AnyEngine) -> None:
    """Not an allow."""
    with pytest.raises(EngineUnavailableError):
        await engine.score(PROMPTS)
    with pytest.raises(EngineUnavailableError):
        assert engine.fingerprint


async def test_a_closed_engine_is_unavailable(engine: AnyEngine) -> None:
    """Closing twice does no harm."""
    await engine.start()
    await engine.aclose()
    await engine.aclose()
    with pytest.raises(EngineUnavailableError):
        await engine.score(PROMPTS)


async def test_the_fingerprint_names_the_model(engine: AnyEngine) -> None:
    """The same one twice."""
    await engine.start()
    first = engine.fingerprint
    await engine.start()
    assert len(first) >= 64
    assert engine.fingerprint == first


def test_the_engines_fit_the_protocol(guard_file: Path) -> None:
    """As the type checker sees them, too."""
    engines: list[Engine] = [
        LlamaCppEngine(guard_file),
        OllamaEngine("http://127.0.0.1:9", "guard"),
        LlamaServerEngine("http://127.0.0.1:9", tiny.MANIFEST),
    ]
    assert [engine.name for engine in engines] == ["llama.cpp", "ollama", "llama-server"]
    assert all(engine.max_batch_bytes >= MAX_PROMPT_BYTES for engine in engines)
