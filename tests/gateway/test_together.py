"""Several calls at once."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest

from gateway.together import together
from tests.gateway.running import GatewayFactory

TWO_TURNS = {
    "model": "m",
    "messages": [{"role": "user", "content": "Who is Spock?"}, {"role": "assistant", "content": "A Vulcan."}] * 2,
}


async def doubled(number: int) -> int:
    """The lower, the later."""
    await asyncio.sleep(0.03 / number)
    return 2 * number


async def test_results_come_in_order() -> None:
    """Not in that of their ends."""
    assert await together([partial(doubled, number) for number in (1, 2, 3)]) == [2, 4, 6]
    assert await together([]) == []


async def test_the_first_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    """In no group, and with the task around it unharmed."""
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        raise KeyError

    with anyio.CancelScope() as around:
        with pytest.raises(KeyError):
            await together([endless, failing])
        around.cancel()
        await asyncio.sleep(1)
    assert ended.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_guard_that_fails_on_several_texts_is_answered_in_the_routes_style(start: GatewayFactory) -> None:
    """As on one."""
    async with start() as gateway:
        gateway.engine.error = RuntimeError("gone")
        got = await gateway.post("/api/chat", TWO_TURNS)
        assert (got.status_code, got.json()) == (503, {"error": "the guard failed"})
        assert got.headers["x-guard-reason"] == "guard_unavailable"


async def test_a_guard_that_hangs_on_several_texts_runs_into_its_time_limit(start: GatewayFactory) -> None:
    """As on one."""
    async with start(guard_timeout_seconds=0.1) as gateway:
        gateway.engine.hold()
        got = await gateway.post("/api/chat", TWO_TURNS)
        assert (got.status_code, got.headers["x-guard-reason"]) == (503, "guard_timeout")
        gateway.engine.gate.set()
