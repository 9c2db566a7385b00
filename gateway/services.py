"""Everything that answers requests, made by the lifespan and handed to each of them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from gateway.answer_memory import AnswerMemory
from gateway.cache import VerdictCache
from gateway.conversation import Stamp
from gateway.metrics import Metrics
from gateway.moderation import Moderator
from gateway.routes import RouteTable
from gateway.scheduler import Scheduler
from gateway.settings import Settings
from gateway.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Services:
    """What a running gateway consists of."""

    settings: Settings
    table: RouteTable
    moderator: Moderator
    scheduler: Scheduler
    cache: VerdictCache
    answers: AnswerMemory
    upstream: Upstream
    metrics: Metrics


def new_nonce() -> str:
    """32 random hexadecimal digits."""
    return secrets.token_hex(16)


def stamp_since(started_ns: int) -> Stamp:
    """A stamp for an answer made now to a request that came at ``started_ns`` of the monotonic clock."""
    return Stamp(time.time_ns(), max(1, time.monotonic_ns() - started_ns), new_nonce())
