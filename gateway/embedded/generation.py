"""One call of the model: asked for in the event loop, written in the model's thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.embedded.answer_text import AnswerText
from gateway.embedded.errors import BadCallError, EmbeddedError
from gateway.embedded.llama import PIECE_TOKENS, Llama
from gateway.embedded.options import DEFAULT_OPTIONS, SamplingOptions
from gateway.embedded.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Call:
    """What is wanted of the model.

    Attributes:
        prompt: to be continued; None only loads or unloads the model.
        options: of the sampling.
        unload_after: free the model's memory when this call is done.
    """

    prompt: Prompt | None = None
    options: SamplingOptions = DEFAULT_OPTIONS
    unload_after: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer and what it took. Times are in nanoseconds and at least 1.

    Attributes:
        reason: ``stop``, ``length``, ``load`` or ``unload``.
        prompt_tokens: of the whole prompt, those included that needed no computing.
        answer_tokens: that were sampled, the one that ends the answer included.
        total_ns: from the call to the end.
        load_ns: of it, waiting for its turn and for the model to be loaded.
        prompt_ns: of it, computing the prompt.
        answer_ns: of it, computing the answer.
        tokens: the ids of prompt and answer, with which a later prompt can go on.
    """

    reason: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    total_ns: int = 1
    load_ns: int = 1
    prompt_ns: int = 1
    answer_ns: int = 1
    tokens: tuple[int, ...] = ()


Event: TypeAlias = str | Finished


class Generation:
    """A call on its way: events come out of it in the event loop that made it.

    Args:
        call: what is wanted.
        forget: called in the event loop when the generation is cancelled, so that it leaves the queue.

    Attributes:
        call: what is wanted.
        begun_ns: when it was asked for, on the monotonic clock.
    """

    def __init__(self, call: Call, forget: Callable[[Generation], None]) -> None:
        self.call = call
        self.begun_ns = time.monotonic_ns()
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event | EmbeddedError | None] = asyncio.Queue()
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more; the model's thread asks after every token."""
        return self._cancelled.is_set()

    def cancel(self, reason: EmbeddedError | None = None) -> None:
        """Stop it, wherever it is; to be called in the event loop, and without effect once it is finished.

        Args:
            reason: raised to whoever waits for events; None: they just end.
        """
        if not self.cancelled:
            self._cancelled.set()
            self._forget(self)
            self._events.put_nowait(reason)

    def emit(self, event: Event | EmbeddedError) -> None:
        """Hand an event to the event loop; to be called in the model's thread."""
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Text as it comes, then :class:`Finished`; after a cancellation it just ends.

        Raises:
            EmbeddedError: if the call fails; if it is not possible at all, before the first text.
        """
        while (event := await self._events.get()) is not None:
            if isinstance(event, EmbeddedError):
                raise event
            yield event
            if isinstance(event, Finished):
                return


def write_answer(llama: Llama, generation: Generation, prompt: Prompt) -> Finished:
    """Compute an answer, emit its text token by token, and say how it ended; it ends early when cancelled.

    Raises:
        EmbeddedError: if the prompt does not fit, or llama.cpp breaks off.
    """
    options = generation.call.options
    loaded_ns = time.monotonic_ns()
    tokens = llama.tokenize(prompt)
    if len(tokens) >= llama.context_tokens:
        raise BadCallError(
            f"the input length exceeds the context length: {len(tokens)} tokens of prompt, "
            f"{llama.context_tokens} of context"
        )
    _compute_prompt(llama, generation, tokens)
    computed_ns = time.monotonic_ns()
    room = llama.context_tokens - len(tokens)
    limit = room if options.num_predict < 0 else min(options.num_predict, room)
    with llama.sampler(options) as sampler:
        answer, reason = _write_tokens(llama, generation, sampler, limit)
    now_ns = time.monotonic_ns()
    return Finished(
        reason=reason,
        prompt_tokens=len(tokens),
        answer_tokens=len(answer),
        total_ns=max(now_ns - generation.begun_ns, 1),
        load_ns=max(loaded_ns - generation.begun_ns, 1),
        prompt_ns=max(computed_ns - loaded_ns, 1),
        answer_ns=max(now_ns - computed_ns, 1),
        tokens=(*tokens, *(token for token in answer if not llama.is_end(token))),
    )


def _compute_prompt(llama: Llama, generation: Generation, tokens: list[int]) -> None:
    if generation.call.options.repeatable:
        # What was computed token by token differs in the last bits from the same tokens computed together,
        # so an answer that shall come again must not build on an earlier call's memory.
        llama.forget()
    for start in range(llama.keep_prefix(tokens), len(tokens), PIECE_TOKENS):
        if generation.cancelled:
            return
        llama.evaluate(tokens[start : start + PIECE_TOKENS])


def _write_tokens(llama: Llama, generation: Generation, sampler: object, limit: int) -> tuple[list[int], str]:
    """Sample until the end of the answer, ``limit`` tokens or cancellation: the tokens and the reason of the end."""
    text = AnswerText(generation.call.options.stop)
    answer: list[int] = []
    reason = "length"
    while len(answer) < limit and not generation.cancelled:
        if answer:
            llama.evaluate(answer[-1:])
        answer.append(llama.sample(sampler))
        if llama.is_end(answer[-1]):
            reason = "stop"
            break
        _emit_text(generation, text.push(llama.piece(answer[-1])))
        if text.stopped:
            break
    _emit_text(generation, text.finish())
    return answer, "stop" if text.stopped else reason


def _emit_text(generation: Generation, text: str) -> None:
    if text:
        generation.emit(text)
