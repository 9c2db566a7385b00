"""The queue before the guard: quick when idle, packed when busy, fair, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from gateway.errors import GatewayError, GuardTimeoutError, GuardUnavailableError, QueueFullError
from gateway.scheduler import Scheduler
from guard.calibration import LabelLogits
from guard.engines.base import SHORT_PROMPT_BYTES, EngineTimeoutError, EngineUnavailableError
from tests.fakes import ScriptedEngine, eventually

LONG = "window " * (SHORT_PROMPT_BYTES // 7 + 1)


@asynccontextmanager
async def working(engine: ScriptedEngine, prompts: int = 100, size: int = 10_000) -> AsyncIterator[Scheduler]:
    """A scheduler with its worker."""
    scheduler = Scheduler(engine, prompts, size)
    async with asyncio.TaskGroup() as group:
        worker = group.create_task(scheduler.run())
        yield scheduler
        worker.cancel()


async def asked(scheduler: Scheduler, *prompts: str) -> asyncio.Task[list[LabelLogits]]:
    """A request that waits, already in the queue."""
    task: asyncio.Task[list[LabelLogits]] = asyncio.ensure_future(scheduler.score(prompts, object()))
    await asyncio.sleep(0)
    return task


async def test_an_idle_engine_is_asked_at_once() -> None:
    """No waiting for company."""
    engine = ScriptedEngine()
    async with working(engine) as scheduler:
        [logits] = await asyncio.wait_for(scheduler.score(["<s>Kirk</s>"], 1), 10)
    assert logits.on_topic > logits.off_topic


async def test_what_comes_while_it_computes_is_the_next_batch() -> None:
    """And answers go to those who asked."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine) as scheduler:
        tasks = [await asked(scheduler, "a")]
        await engine.started.wait()
        tasks += [await asked(scheduler, name) for name in ("egg", "c", "d")]
        engine.gate.set()
        answers = await asyncio.gather(*tasks)
    assert engine.batches == [["a"], ["egg", "c", "d"]]
    assert [answer[0].on_topic > 0 for answer in answers] == [True, False, True, True]


async def test_a_batch_keeps_the_engines_bounds() -> None:
    """In prompts and in bytes; a prompt over the bytes goes alone."""
    engine = ScriptedEngine(max_batch_prompts=3, max_batch_bytes=10)
    engine.hold()
    async with working(engine) as scheduler:
        tasks = [await asked(scheduler, "first")]
        await engine.started.wait()
        tasks += [await asked(scheduler, text) for text in ("x" * 20, "bbbb", "cccc", "dddd", "e", "f")]
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert engine.batches == [["first"], ["x" * 20], ["bbbb", "cccc", "e"], ["dddd", "f"]]


async def test_a_text_of_many_windows_does_not_hold_up_short_ones() -> None:
    """Requests take turns."""
    engine = ScriptedEngine(max_batch_prompts=2)
    engine.hold()
    async with working(engine) as scheduler:
        long = await asked(scheduler, *(f"window {index}" for index in range(50)))
        await engine.started.wait()
        short = await asked(scheduler, "short")
        engine.gate.set()
        await asyncio.gather(short, long)
    assert "short" in engine.batches[1]
    assert sum(len(batch) for batch in engine.batches) == 51


async def test_short_prompts_do_not_wait_for_long_ones() -> None:
    """The engine is asked for them while it computes those."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine) as scheduler:
        long = await asked(scheduler, LONG)
        await engine.started.wait()
        short = await asked(scheduler, "short")
        await eventually(lambda: engine.batches == [[LONG], ["short"]])
        engine.gate.set()
        await asyncio.gather(short, long)


async def test_a_request_of_long_and_short_prompts_gets_them_in_order() -> None:
    """Whichever is answered first."""
    async with working(ScriptedEngine()) as scheduler:
        answers = await scheduler.score([f"egg {LONG}", "ship", "egg", f"ship {LONG}"], 1)
    assert [answer.on_topic > 0 for answer in answers] == [False, True, False, True]


async def test_long_prompts_that_wait_keep_no_short_one_out() -> None:
    """A flood of them fills their own lane only."""
    engine = ScriptedEngine(max_batch_prompts=1)
    engine.hold()
    async with working(engine, prompts=2) as scheduler:
        long = [await asked(scheduler, f"{LONG} {number}") for number in range(3)]
        with pytest.raises(QueueFullError):
            await scheduler.score([LONG], "more")
        short = await asked(scheduler, "short")
        await eventually(lambda: ["short"] in engine.batches)
        engine.gate.set()
        await asyncio.gather(short, *long)


async def test_an_engine_works_for_nobody_no_longer() -> None:
    """Its call is cancelled once the last of those who wait for it has gone."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine) as scheduler:
        gone = await asked(scheduler, "gone")
        await engine.started.wait()
        gone.cancel()
        # The gate is still closed: had the lane waited for that call, nobody would be answered any more.
        kept = await asked(scheduler, "kept")
        await eventually(lambda: engine.batches == [["gone"], ["kept"]])
        engine.gate.set()
        assert len(await kept) == 1


class _GivingUp(ScriptedEngine):
    """Cancels its own work, as an executor that is shut down does."""

    @override
    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        raise asyncio.CancelledError


async def test_an_engine_that_gives_up_leaves_nobody_waiting() -> None:
    """And the lane goes on: only its own end ends it."""
    async with working(_GivingUp()) as scheduler:
        for _ in range(2):
            with pytest.raises(GuardUnavailableError, match="gave up"):
                await asyncio.wait_for(scheduler.score(["<s>Kirk</s>"], 1), 10)


class _HeldSecondTry(ScriptedEngine):
    """Takes no end over the third call."""

    @override
    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        if len(self.batches) == 2:
            self.hold()
        return await super().score(prompts)


async def test_those_who_wait_for_a_second_try_are_told_of_the_end() -> None:
    """Prompts that are asked again one by one are in no queue meanwhile."""
    engine = _HeldSecondTry()
    engine.unanswerable = "bad"
    engine.hold()
    async with working(engine) as scheduler:
        first, bad, kept = [await asked(scheduler, text) for text in ("first", "bad", "kept")]
        engine.gate.set()
        await eventually(lambda: engine.batches == [["first"], ["bad", "kept"], ["bad"]])
    assert len(await first) == 1
    for ask in (bad, kept):
        with pytest.raises(GuardUnavailableError, match="stopped"):
            await asyncio.wait_for(ask, 10)


async def test_no_prompt_has_no_logits() -> None:
    """At once."""
    async with working(ScriptedEngine()) as scheduler:
        assert await scheduler.score([], 1) == []


async def test_a_caller_that_has_gone_is_skipped() -> None:
    """Nothing is computed for nobody."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine) as scheduler:
        first = await asked(scheduler, "a")
        await engine.started.wait()
        gone, kept = await asked(scheduler, "gone"), await asked(scheduler, "kept")
        gone.cancel()
        engine.gate.set()
        await asyncio.gather(first, kept)
        assert scheduler.waiting == 0
    assert engine.batches == [["a"], ["kept"]]


async def test_a_full_queue_refuses_and_forgets_the_gone_first() -> None:
    """Bounded in prompts and in bytes."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine, prompts=2, size=100) as scheduler:
        tasks = [await asked(scheduler, "a")]
        await engine.started.wait()
        tasks += [await asked(scheduler, "b"), await asked(scheduler, "c")]
        with pytest.raises(QueueFullError):
            await scheduler.score(["d"], 1)
        tasks.pop().cancel()
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await scheduler.score(["x" * 100], 1)
        tasks.append(await asked(scheduler, "d"))
        engine.gate.set()
        await asyncio.gather(*tasks)
    assert engine.batches == [["a"], ["b", "d"]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineTimeoutError("secret"), GuardTimeoutError),
        (EngineUnavailableError("secret"), GuardUnavailableError),
        (RuntimeError("secret"), GuardUnavailableError),
    ],
)
async def test_a_failure_of_the_engine_reaches_all_who_waited(error: Exception, expected: type[GatewayError]) -> None:
    """In the gateway's words; and the worker lives on."""
    engine = ScriptedEngine()
    engine.error = error
    async with working(engine) as scheduler:
        with pytest.raises(expected) as caught:
            await scheduler.score(["a"], 1)
        assert "secret" not in str(caught.value)
        engine.error = None
        assert len(await scheduler.score(["a", "b"], 1)) == 2


async def test_one_prompt_without_an_answer_does_not_fail_its_neighbours() -> None:
    """They are asked again, one by one."""
    engine = ScriptedEngine()
    engine.unanswerable = "poison"
    engine.hold()
    async with working(engine) as scheduler:
        tasks = [await asked(scheduler, "a")]
        await engine.started.wait()
        tasks += [await asked(scheduler, "poison"), await asked(scheduler, "b")]
        engine.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, GuardUnavailableError) for result in results] == [False, True, False]


async def test_who_waits_when_it_stops_gets_an_error() -> None:
    """And so does who comes later."""
    engine = ScriptedEngine()
    engine.hold()
    async with working(engine) as scheduler:
        tasks = [await asked(scheduler, "a")]
        await engine.started.wait()
        tasks.append(await asked(scheduler, "b"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, GuardUnavailableError) for result in results)
    assert not scheduler.running
    with pytest.raises(GuardUnavailableError):
        await scheduler.score(["c"], 1)
