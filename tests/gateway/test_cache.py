"""Remembered verdicts."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cache import ENTRY_BYTES, VerdictCache, cache_key
from guard.calibration import Decision
from guard.verdict import Reason, Verdict

ALLOW = Verdict(Decision.ALLOW, "related", 0.9, Reason.ON_TOPIC)
UNKNOWN = Verdict(Decision.BLOCK, "not_related", float("nan"), Reason.NO_SCORE)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Asker:
    """Counts how often it is asked."""

    def __init__(self, verdict: Verdict = ALLOW, error: Exception | None = None) -> None:
        self.count = 0
        self.verdict = verdict
        self.error = error
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Verdict:
        """Answer."""
        self.count += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.verdict


async def test_a_verdict_is_remembered_until_it_is_old() -> None:
    """By the clock it was given."""
    clock, ask = Clock(), Asker()
    cache = VerdictCache(1 << 20, 60, clock)
    for clock.now in (0, 59, 60, 61):
        assert await cache.get(b"k", ask) is ALLOW
    assert (ask.count, cache.hits, cache.misses) == (2, 2, 2)


async def test_the_least_recently_used_goes_first() -> None:
    """When the bytes are used up."""
    cache, ask = VerdictCache(2 * ENTRY_BYTES, 60, Clock()), Asker()
    for key in (b"a", b"b", b"a", b"c", b"a", b"b"):
        await cache.get(key, ask)
    assert ask.count == 4
    assert len(cache) == 2


async def test_no_bytes_remember_nothing() -> None:
    """But ask all the same."""
    cache, ask = VerdictCache(0, 60, Clock()), Asker()
    await cache.get(b"a", ask)
    await cache.get(b"a", ask)
    assert (ask.count, len(cache)) == (2, 0)


async def test_several_at_once_ask_once() -> None:
    """Single flight."""
    cache, ask = VerdictCache(1 << 20, 60, Clock()), Asker()
    ask.gate.clear()
    tasks = [asyncio.ensure_future(cache.get(b"a", ask)) for _ in range(5)]
    await asyncio.sleep(0)
    ask.gate.set()
    assert await asyncio.gather(*tasks) == [ALLOW] * 5
    assert ask.count == 1


async def test_who_waits_takes_over_from_an_asker_that_has_gone() -> None:
    """A client that vanishes must not fail another's request."""
    cache, ask = VerdictCache(1 << 20, 60, Clock()), Asker()
    ask.gate.clear()
    first, second = (asyncio.ensure_future(cache.get(b"a", ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0.01)
    ask.gate.set()
    assert await second is ALLOW
    assert ask.count == 2


async def test_failures_and_verdicts_without_a_number_are_not_remembered() -> None:
    """The next may do better; those who waited share the failure."""
    cache, ask = VerdictCache(1 << 20, 60, Clock()), Asker(error=RuntimeError("down"))
    ask.gate.clear()
    tasks = [asyncio.ensure_future(cache.get(b"a", ask)) for _ in range(2)]
    await asyncio.sleep(0)
    ask.gate.set()
    assert [type(e) for e in await asyncio.gather(*tasks, return_exceptions=True)] == [RuntimeError] * 2
    with pytest.raises(RuntimeError):
        await cache.get(b"a", ask)
    await cache.get(b"b", Asker(UNKNOWN))
    assert (ask.count, len(cache)) == (2, 0)


def test_a_key_tells_guards_and_prompts_apart() -> None:
    """Class M10: and hides the prompts."""
    keys = {
        cache_key(b"one", ["ab", "c"]),
        cache_key(b"one", ["a", "bc"]),
        cache_key(b"one", ["abc"]),
        cache_key(b"two", ["abc"]),
    }
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)
