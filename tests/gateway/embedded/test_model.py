"""The model's thread: its queue, its memory, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.embedded.errors import GenerationFailedError, ServerBusyError, ShuttingDownError
from gateway.embedded.generation import Call, Finished, Generation
from gateway.embedded.model import ChatModel
from gateway.embedded.options import SamplingOptions
from gateway.embedded.prompt import Message, chat_prompt
from gateway.embedded.weights import find_weights

pytestmark = pytest.mark.slow

PROMPT = chat_prompt([Message("user", "Data, a poem!")])
HOT = SamplingOptions(temperature=100, top_k=0, top_p=1, repeat_penalty=1, seed=1)
ENDLESS = Call(PROMPT, HOT)


@asynccontextmanager
async def started(*, max_waiting: int = 8, context_tokens: int = 4096) -> AsyncIterator[ChatModel]:
    """A loaded model, closed at the end."""
    model = ChatModel(find_weights(), max_waiting=max_waiting, context_tokens=context_tokens)
    try:
        await model.start()
        yield model
    finally:
        await model.aclose()


async def finished(generation: Generation) -> Finished:
    """Wait for the end of an answer."""
    events = [event async for event in generation.events()]
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_a_cancelled_generation_makes_way_at_once() -> None:
    """The next one is finished within seconds even on a busy machine; the cancelled one would take a minute."""
    async with started() as model:
        generation = model.submit(ENDLESS)
        await anext(generation.events())
        generation.cancel()

        async with asyncio.timeout(15):
            await finished(model.submit(replace(ENDLESS, options=replace(HOT, num_predict=1))))


async def test_a_full_queue_refuses_in_ollamas_words() -> None:
    """A cancelled call gives its place to another."""
    async with started(max_waiting=1) as model:
        await anext(model.submit(ENDLESS).events())
        waiting = model.submit(ENDLESS)
        with pytest.raises(ServerBusyError, match=r"^server busy, please try again\.  maximum pending"):
            model.submit(ENDLESS)
        waiting.cancel()

        model.submit(ENDLESS)


async def test_closing_breaks_off_every_call_and_joins_the_thread() -> None:
    """Whoever waits is told why; nobody may come after."""
    async with started() as model:
        running, waiting = model.submit(ENDLESS), model.submit(ENDLESS)
        await anext(running.events())
        await model.aclose()

        for generation in (running, waiting):
            with pytest.raises(ShuttingDownError):
                await finished(generation)
        with pytest.raises(ShuttingDownError):
            model.submit(ENDLESS)
        assert not model._thread.is_alive()


async def test_an_answer_ends_where_the_context_is_full() -> None:
    """The reason is length, and prompt and answer fill it."""
    long = chat_prompt([Message("user", "warp " * 200)])
    async with started(context_tokens=256) as model:
        end = await finished(model.submit(Call(long, HOT)))

        assert (end.reason, end.prompt_tokens + end.answer_tokens) == ("length", model.context_tokens)


async def test_a_prompt_that_goes_on_is_not_computed_again() -> None:
    """Without a seed the memory of the last call is used; the count is of the whole prompt all the same."""
    options = SamplingOptions(num_predict=1)
    long = chat_prompt([Message("user", "Tell me of Vulcan. " * 15)])
    async with started() as model:
        first = await finished(model.submit(Call(long, options)))
        second = await finished(model.submit(Call(long, options)))

        assert first.prompt_tokens == second.prompt_tokens
        assert second.prompt_ns * 3 < first.prompt_ns


async def test_an_unforeseen_error_neither_ends_the_thread_nor_quotes_a_prompt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller learns that it failed, the next one is answered."""

    def fail(*_arguments: object) -> Finished:
        raise ValueError("Data, a poem!")

    call = Call(PROMPT, replace(HOT, num_predict=1))
    async with started() as model:
        with monkeypatch.context() as patch:
            patch.setattr("gateway.embedded.model.write_answer", fail)
            with pytest.raises(GenerationFailedError, match=r"^the embedded model failed$"):
                await finished(model.submit(call))

        assert (await finished(model.submit(call))).answer_tokens == 1
    assert ("ValueError" in caplog.text, "poem" in caplog.text) == (True, False)


async def test_a_model_that_was_unloaded_is_loaded_again() -> None:
    """The call after it is answered as if nothing had been."""
    call = Call(PROMPT, replace(HOT, num_predict=2))
    async with started() as model:
        await finished(model.submit(replace(call, unload_after=True)))
        unloaded = not model.loaded

        assert (unloaded, (await finished(model.submit(call))).answer_tokens) == (True, 2)
