"""Puts the gateway together; there is no module-level application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware

from gateway.answer_memory import AnswerMemory
from gateway.cache import VerdictCache
from gateway.judging import Judge
from gateway.metrics import Metrics
from gateway.middleware.access_log import AccessLogMiddleware
from gateway.middleware.cors import CorsMiddleware
from gateway.middleware.hosts import HostCheckMiddleware
from gateway.middleware.request_id import RequestIdMiddleware
from gateway.moderation import Moderator
from gateway.proxy import proxy
from gateway.routes import table_for
from gateway.scheduler import Scheduler
from gateway.services import Services
from gateway.settings import Settings
from gateway.upstream import Upstream
from guard.engines.base import Engine


class State(TypedDict):
    """What the lifespan hands to each request."""

    services: Services


def create_app(settings: Settings, engine: Engine) -> Starlette:
    """The gateway before ``settings.upstream``, asking ``engine``, which its lifespan starts and closes.

    Args:
        settings: checked by its own class.
        engine: not started.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with _running(settings, engine, metrics) as services:
            yield {"services": services}

    middleware = [
        Middleware(RequestIdMiddleware),
        Middleware(AccessLogMiddleware, metrics),
        Middleware(HostCheckMiddleware, settings.host, settings.allowed_hosts),
        Middleware(CorsMiddleware, settings.allowed_origins),
    ]
    app = Starlette(middleware=middleware, lifespan=lifespan)
    # The router's own matching works on decoded paths; ours is on the bytes as sent, so it gets everything.
    app.router.default = proxy
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _running(settings: Settings, engine: Engine, metrics: Metrics) -> AsyncIterator[Services]:
    try:
        manifest = await engine.start()
        scheduler = Scheduler(engine, settings.queue_prompts, settings.queue_bytes)
        cache = VerdictCache(settings.cache_max_bytes, settings.cache_ttl_seconds, time.monotonic)
        judge = Judge(manifest, engine.fingerprint, scheduler, cache, log_prompts=settings.log_prompts)
        answers = AnswerMemory(settings.answers_max_bytes, settings.answers_ttl_seconds, time.monotonic)
        moderator = Moderator(settings, judge, answers, metrics, time.monotonic)
        async with (
            Upstream(settings.upstream, settings.connect_timeout_seconds, metrics) as upstream,
            asyncio.TaskGroup() as tasks,
        ):
            worker = tasks.create_task(scheduler.run(), name="guard-worker")
            table = table_for(settings.api)
            yield Services(settings, table, moderator, scheduler, cache, answers, upstream, metrics)
            worker.cancel()
    finally:
        await engine.aclose()
