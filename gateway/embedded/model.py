"""The chat model: one thread owns it and answers one call after another, first come, first served."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from pathlib import Path
from typing import Final

from gateway.embedded.errors import EmbeddedError, GenerationFailedError, ServerBusyError, ShuttingDownError
from gateway.embedded.generation import Call, Finished, Generation, write_answer
from gateway.embedded.llama import Llama
from gateway.embedded.weights import check_weights
from guard.engines.cores import usable_cores

CONTEXT_TOKENS: Final = 4096
"""Ollama's default; 94 MB of memory for this model, which was trained on 8192."""

MAX_WAITING: Final = 512
"""Calls in the queue, Ollama's OLLAMA_MAX_QUEUE."""

_MAX_THREADS: Final = 8
"""So small a model gains nothing from more."""


def default_threads() -> int:
    """Half of the cores this process may use, eight at the most.

    The guard computes in the same process and comes first. llama.cpp's threads wait for each other by spinning: with
    two threads on two cores that something else used too, a token took 800 ms in place of 10; with one thread 17.
    """
    return min(max(usable_cores() // 2, 1), _MAX_THREADS)


_logger = logging.getLogger(__name__)


class ChatModel:
    """A language model in a thread of its own. Its methods are for one event loop.

    Args:
        weights: path of the GGUF, checked when it is loaded.
        context_tokens: size of the context.
        threads: that compute; None: :func:`default_threads`.
        max_waiting: calls that may wait, the one being answered not counted.

    Attributes:
        weights: path of the GGUF.
        context_tokens: size of the context.
        metadata: the scalars in the GGUF as text; empty before the first load.
        parameters: how many weights it has; 0 before the first load.
        loaded: whether it is in memory.
    """

    def __init__(
        self,
        weights: Path,
        *,
        context_tokens: int = CONTEXT_TOKENS,
        threads: int | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.weights = weights
        self.context_tokens = context_tokens
        self.metadata: dict[str, str] = {}
        self.parameters = 0
        self._threads = threads or default_threads()
        self._max_waiting = max_waiting
        self._llama: Llama | None = None
        self._waiting: deque[Generation] = deque()
        self._current: Generation | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="embedded-model", daemon=True)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._llama is not None

    async def start(self) -> None:
        """Start the thread and load the model, so that what is wrong with it is known before anybody asks.

        Raises:
            WeightsError: if it is missing, damaged, or can't be loaded.
        """
        self._thread.start()
        async for _event in self.submit(Call()).events():
            pass

    def submit(self, call: Call) -> Generation:
        """Put a call into the queue; whoever does so must cancel it when nobody waits for it any more.

        Raises:
            ServerBusyError: if the queue is full.
            ShuttingDownError: if the model is being closed.
        """
        generation = Generation(call, self._forget)
        with self._changed:
            if self._closing:
                raise ShuttingDownError
            if len(self._waiting) >= self._max_waiting:
                raise ServerBusyError
            self._waiting.append(generation)
            self._changed.notify()
        return generation

    async def aclose(self) -> None:
        """Break off every call, free the memory and join the thread; twice does no harm."""
        with self._changed:
            self._closing = True
            open_calls = [*self._waiting, *([self._current] if self._current else [])]
            self._changed.notify()
        for generation in open_calls:
            generation.cancel(ShuttingDownError())
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _forget(self, generation: Generation) -> None:
        with self._changed:
            if generation in self._waiting:
                self._waiting.remove(generation)

    def _work(self) -> None:
        while (generation := self._next()) is not None:
            self._answer(generation)
        self._unload()

    def _next(self) -> Generation | None:
        """The call whose turn it is, None when the model is being closed."""
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if self._closing:
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _answer(self, generation: Generation) -> None:
        try:
            self._compute(generation)
        except EmbeddedError as error:
            generation.emit(error)
        except Exception as error:  # noqa: BLE001 -- the thread must live: without it every later call waits forever
            # The type only: a message could quote a prompt.
            _logger.error("the embedded model failed: %s", type(error).__name__)  # noqa: TRY400
            self._unload()
            generation.emit(GenerationFailedError("the embedded model failed"))

    def _compute(self, generation: Generation) -> None:
        call = generation.call
        if call.prompt is not None:
            finished = write_answer(self._load(), generation, call.prompt)
        elif call.unload_after:
            finished = Finished("unload")
        else:
            self._load()
            finished = Finished("load")
        if call.unload_after:
            self._unload()
        # Last, so that whoever hears of the end finds the model as it shall be.
        generation.emit(finished)

    def _load(self) -> Llama:
        if self._llama is None:
            check_weights(self.weights)
            self._llama = Llama(self.weights, self.context_tokens, self._threads)
            self.context_tokens = self._llama.context_tokens
            self.metadata, self.parameters = self._llama.metadata, self._llama.parameters
        return self._llama

    def _unload(self) -> None:
        if self._llama is not None:
            self._llama.close()
            self._llama = None
