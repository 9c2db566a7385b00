"""Brings the prompts of all requests to the one engine, in small batches, nobody starving.

Short and long prompts wait in lanes of their own, each with one worker that asks the engine; an engine answers short
ones while it computes long ones. An idle lane is served at once; what comes while it is served is the next batch.
Within a lane requests take turns, one prompt each, so that a text of many windows does not hold up others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.errors import GuardTimeoutError, GuardUnavailableError, QueueFullError
from guard.calibration import LabelLogits
from guard.engines.base import SHORT_PROMPT_BYTES, Engine, EngineAnswerError, EngineError, EngineTimeoutError

_log = structlog.stdlib.get_logger(__name__)


class _Note(Protocol):
    def __call__(self, *, failed: bool) -> None: ...


@dataclass(slots=True, eq=False)
class _Ask:
    """Prompts that are answered together.

    Attributes:
        prompts: rendered, in order.
        logits: by prompt, None until answered.
        done: the result, or the failure of any of them; cancelled with the asker.
    """

    prompts: Sequence[str]
    done: asyncio.Future[None]
    logits: list[LabelLogits | None] = field(default_factory=list)

    def take(self, index: int, logits: LabelLogits) -> None:
        """Note one answer, and wake the asker with the last."""
        self.logits[index] = logits
        if not self.done.done() and None not in self.logits:
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Wake the asker with a failure."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Prompt:
    """One prompt in the queue.

    Attributes:
        ask: what it belongs to.
        index: its place there.
        size: in UTF-8 bytes.
    """

    ask: _Ask
    index: int
    size: int

    @property
    def text(self) -> str:
        return self.ask.prompts[self.index]


class Scheduler:
    """The queue before an engine; :meth:`run` is its worker and must be running for :meth:`score` to return.

    Args:
        engine: started.
        max_prompts: how many prompts may wait; short ones are counted by themselves, long ones with them.
        max_bytes: and how many UTF-8 bytes of them.
    """

    def __init__(self, engine: Engine, max_prompts: int, max_bytes: int) -> None:
        self._short, self._long = _Lane(engine, self._note), _Lane(engine, self._note)
        self._max_prompts = max_prompts
        self._max_bytes = max_bytes
        self._closed = False
        self._failing = False

    @property
    def failing(self) -> bool:
        """Whether the engine failed when it was last asked."""
        return self._failing

    @property
    def running(self) -> bool:
        """Whether there is a worker to answer."""
        return not self._closed

    @property
    def waiting(self) -> int:
        """How many prompts wait."""
        return self._short.waiting + self._long.waiting

    async def score(self, prompts: Sequence[str], requester: Hashable) -> list[LabelLogits]:
        """Logits for ``prompts``, in their order. Cancelling takes what has not been computed out of the queue.

        Args:
            prompts: rendered.
            requester: requests take turns by this.

        Raises:
            QueueFullError: if too much waits already.
            GuardTimeoutError: if the engine did not answer in time.
            GuardUnavailableError: if the engine is gone or gave no usable answer.
        """
        if self._closed:
            raise GuardUnavailableError("the guard has stopped")
        if not prompts:
            return []
        ask = _Ask(prompts, asyncio.get_running_loop().create_future(), [None] * len(prompts))
        self._enqueue(ask, requester)
        await ask.done
        return [logits for logits in ask.logits if logits is not None]

    async def run(self) -> None:
        """Serve until cancelled; those who wait then get an error."""
        try:
            async with asyncio.TaskGroup() as lanes:
                for lane in (self._short, self._long):
                    lanes.create_task(lane.run())
        finally:
            self._closed = True
            for lane in (self._short, self._long):
                lane.fail_all(GuardUnavailableError("the guard has stopped"))

    def _note(self, *, failed: bool) -> None:
        self._failing = failed

    def _enqueue(self, ask: _Ask, requester: Hashable) -> None:
        queued = [_Prompt(ask, index, len(prompt.encode())) for index, prompt in enumerate(ask.prompts)]
        if self._overfull(queued):
            self._short.forget_cancelled()
            self._long.forget_cancelled()
        # A request larger than the whole queue is let in when nothing else waits: its size is bounded elsewhere.
        if self._overfull(queued) and self.waiting:
            raise QueueFullError("too many texts wait for the guard, please try again")
        for prompt in queued:
            self._lane_of(prompt).add(prompt, requester)

    def _lane_of(self, prompt: _Prompt) -> _Lane:
        return self._short if prompt.size <= SHORT_PROMPT_BYTES else self._long

    def _overfull(self, more: Sequence[_Prompt]) -> bool:
        """Whether ``more`` are too many; short prompts are let in whatever waits in the long ones' lane."""
        lanes = {self._lane_of(prompt) for prompt in more}
        counted = (self._short,) if lanes == {self._short} else (self._short, self._long)
        too_many = sum(lane.waiting for lane in counted) + len(more) > self._max_prompts
        waiting_bytes = sum(lane.waiting_bytes for lane in counted)
        return too_many or waiting_bytes + sum(prompt.size for prompt in more) > self._max_bytes


class _Lane:
    """Prompts of about one length, and the worker that takes them to the engine.

    Args:
        engine: started.
        note: is told of every answer and every failure of it.

    Attributes:
        waiting: how many prompts wait.
        waiting_bytes: and how many UTF-8 bytes of them.
    """

    def __init__(self, engine: Engine, note: _Note) -> None:
        self._engine = engine
        self._note = note
        self._queues: OrderedDict[Hashable, deque[_Prompt]] = OrderedDict()
        self.waiting = 0
        self.waiting_bytes = 0
        self._arrived = asyncio.Event()

    def add(self, prompt: _Prompt, requester: Hashable) -> None:
        """Queue a prompt behind the requester's others."""
        self._queues.setdefault(requester, deque()).append(prompt)
        self.waiting += 1
        self.waiting_bytes += prompt.size
        self._arrived.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if batch:
                await self._served(batch)
            else:
                self._arrived.clear()

    def fail_all(self, error: Exception) -> None:
        """Wake everybody who waits."""
        for queue in self._queues.values():
            for prompt in queue:
                prompt.ask.fail(error)

    def forget_cancelled(self) -> None:
        """Make room: leave out what nobody waits for any more."""
        for requester, queue in list(self._queues.items()):
            kept = deque(prompt for prompt in queue if not prompt.ask.done.done())
            for prompt in queue:
                if prompt.ask.done.done():
                    self._left(prompt)
            if kept:
                self._queues[requester] = kept
            else:
                del self._queues[requester]

    def _next_batch(self) -> list[_Prompt]:
        """One prompt of each requester in turn, until the engine's bounds; what does not fit keeps its place."""
        batch: list[_Prompt] = []
        room_bytes = self._engine.max_batch_bytes
        passed: set[Hashable] = set()
        while len(batch) < self._engine.max_batch_prompts:
            requester = next((name for name in self._queues if name not in passed), None)
            if requester is None:
                break
            prompt = self._head(requester)
            if prompt is None:
                continue
            if batch and prompt.size > room_bytes:
                passed.add(requester)
                continue
            self._pop(requester)
            room_bytes -= prompt.size
            batch.append(prompt)
        return batch

    def _head(self, requester: Hashable) -> _Prompt | None:
        """The requester's next prompt that somebody still waits for."""
        queue = self._queues[requester]
        while queue and queue[0].ask.done.done():
            self._left(queue.popleft())
        if not queue:
            del self._queues[requester]
            return None
        return queue[0]

    def _pop(self, requester: Hashable) -> None:
        queue = self._queues[requester]
        self._left(queue.popleft())
        if queue:
            self._queues.move_to_end(requester)
        else:
            del self._queues[requester]

    def _left(self, prompt: _Prompt) -> None:
        self.waiting -= 1
        self.waiting_bytes -= prompt.size

    async def _served(self, batch: list[_Prompt]) -> None:
        """Answer a batch or fail it; the worker outlives any failure, so that there is one to answer the next."""
        try:
            await self._compute(batch)
        except asyncio.CancelledError:
            self._fail(batch, GuardUnavailableError("the guard has stopped"))
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, those who wait must not wait for ever
            self._fail(batch, error)

    async def _compute(self, batch: list[_Prompt]) -> None:
        try:
            await self._ask_engine(batch)
        except EngineAnswerError:
            if len(batch) == 1:
                raise
        else:
            return
        # One prompt that the engine can't answer must not fail its neighbours.
        for prompt in batch:
            if not prompt.ask.done.done():
                await self._served([prompt])

    async def _ask_engine(self, batch: list[_Prompt]) -> None:
        scoring = asyncio.ensure_future(self._engine.score([prompt.text for prompt in batch]))

        def look(_: object) -> None:
            if all(prompt.ask.done.done() for prompt in batch):
                scoring.cancel()

        for prompt in batch:
            prompt.ask.done.add_done_callback(look)
        try:
            answers = await scoring
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            if any(not prompt.ask.done.done() for prompt in batch):
                raise GuardUnavailableError("the guard gave up") from None
            # Nobody waits any more, and the engine was told so.
            return
        if len(answers) != len(batch):
            raise EngineAnswerError(f"{len(answers)} answers to {len(batch)} prompts")
        self._note(failed=False)
        for prompt, logits in zip(batch, answers, strict=True):
            prompt.ask.take(prompt.index, logits)

    def _fail(self, batch: list[_Prompt], error: Exception) -> None:
        for prompt in batch:
            prompt.ask.fail(_translated(error))
        if isinstance(error, GuardUnavailableError):
            return
        self._note(failed=True)
        # By name only: what a server or a library says of a failure may quote the prompt. And last, should it fail.
        names = [type(each).__name__ for each in (error, error.__cause__) if each is not None]
        with suppress(OSError):
            _log.warning("guard failed", error=names[0], cause=names[-1], prompts=len(batch))


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _translated(error: Exception) -> Exception:
    """A failure of the engine as one of the gateway; the engine's own words stay out of the answer."""
    translated: Exception
    if isinstance(error, GuardUnavailableError):
        return error
    if isinstance(error, EngineTimeoutError):
        translated = GuardTimeoutError("the guard did not answer in time")
    elif isinstance(error, EngineError):
        translated = GuardUnavailableError("the guard gave no usable answer")
    else:
        translated = GuardUnavailableError("the guard failed")
    translated.__cause__ = error
    return translated
