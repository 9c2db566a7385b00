"""The routes that the gateway answers itself, by the names that the table gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from gateway import metrics, moderate
from gateway.chat_page import chat_page
from gateway.errors import GatewayError
from gateway.framing import compact_json
from gateway.intake import RawBody
from gateway.moderations import moderations
from gateway.services import Services
from gateway.styles import JSON_UTF8, Answer
from guard.prompt import Role, Turn, render_prompts

Handler: TypeAlias = Callable[[Services, RawBody], Awaitable[Answer]]


async def _moderate(services: Services, body: RawBody) -> Answer:
    return await moderate.moderate(services.moderator, body)


async def _health(services: Services, _: RawBody) -> Answer:
    return moderate.health(services.moderator)


async def _readiness(services: Services, _: RawBody) -> Answer:
    ready = services.scheduler.running and (not services.scheduler.failing or await _answers(services))
    state = {"status": "ready" if ready else "stopped", "guard": services.moderator.manifest.name}
    return Answer(200 if ready else 503, JSON_UTF8, compact_json(state))


async def _answers(services: Services) -> bool:
    """Whether the guard, which failed when it was last asked, has come back; nobody else may be left to find out."""
    prompts = render_prompts([Turn(Role.USER, "Who is there?")], services.moderator.manifest.template)
    try:
        async with asyncio.timeout(services.settings.guard_timeout_seconds):
            await services.scheduler.score(prompts, object())
    except (GatewayError, TimeoutError):
        return False
    return True


async def _metrics(services: Services, _: RawBody) -> Answer:
    numbers = services.metrics
    numbers.cache_hits.set(services.cache.hits)
    numbers.cache_misses.set(services.cache.misses)
    numbers.recognised.set(services.answers.recognised)
    numbers.waiting.set(services.scheduler.waiting)
    return Answer(200, metrics.CONTENT_TYPE, numbers.exposition())


async def _chat(_: Services, __: RawBody) -> Answer:
    return chat_page()


OWN_HANDLERS: Final[Mapping[str, Handler]] = {
    "moderate": _moderate,
    "moderations": moderations,
    "health": _health,
    "readiness": _readiness,
    "metrics": _metrics,
    "chat": _chat,
}
