"""Texts to verdicts: rendered, looked up, and asked of the guard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from anyio import to_thread

from gateway.cache import VerdictCache, cache_key
from gateway.scheduler import Scheduler
from gateway.together import together
from guard.manifest import GuardManifest
from guard.prompt import MAX_PROMPT_BYTES, WINDOW_BYTES, Role, Turn, render_prompts
from guard.verdict import Verdict, judge

_log = structlog.stdlib.get_logger(__name__)

THREAD_FROM_BYTES: Final = 16_384
"""From this length on texts and what is read before them are rendered in a thread: it takes milliseconds there."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text to judge.

    Attributes:
        context: the turns before it.
        text: as typed.
    """

    context: tuple[Turn, ...]
    text: str


class Judge:
    """One guard, its queue and what it said before.

    Args:
        manifest: of the guard.
        engine_fingerprint: tells its weights from other ones; part of what a verdict is remembered under.
        scheduler: before the guard's engine.
        cache: of its verdicts.
        log_prompts: write the judged texts to the log.
    """

    def __init__(
        self,
        manifest: GuardManifest,
        engine_fingerprint: str,
        scheduler: Scheduler,
        cache: VerdictCache,
        *,
        log_prompts: bool = False,
    ) -> None:
        self.manifest = manifest
        self._scheduler = scheduler
        self._cache = cache
        self._log_prompts = log_prompts
        self._fingerprint = _fingerprint(manifest, engine_fingerprint)

    async def verdicts(self, texts: Sequence[Text]) -> list[Verdict]:
        """The verdict on each text, in order; all are asked for at once.

        Raises:
            GatewayError: if there is none on any of them.
        """
        requester = object()
        rendered = await self._render(texts)
        pairs = zip(texts, rendered, strict=True)
        return await together([partial(self._verdict, text, prompts, requester) for text, prompts in pairs])

    async def _verdict(self, text: Text, prompts: Sequence[str], requester: object) -> Verdict:
        async def ask() -> Verdict:
            logits = await self._scheduler.score(prompts, requester)
            return judge(logits, self.manifest.calibration, self.manifest.labels)

        verdict = await self._cache.get(cache_key(self._fingerprint, prompts), ask)
        if self._log_prompts:
            _log.info("judged", text=text.text, decision=verdict.decision, score=verdict.score)
        return verdict

    async def _render(self, texts: Sequence[Text]) -> list[list[str]]:
        def work() -> list[list[str]]:
            template = self.manifest.template
            return [render_prompts([*text.context, Turn(Role.USER, text.text)], template) for text in texts]

        size = sum(len(text.text) + (MAX_PROMPT_BYTES - WINDOW_BYTES if text.context else 0) for text in texts)
        return work() if size < THREAD_FROM_BYTES else await to_thread.run_sync(work)


def _fingerprint(manifest: GuardManifest, engine_fingerprint: str) -> bytes:
    """Tells guards apart: weights, marks, labels and calibration of one are not those of another."""
    identity = json.dumps([engine_fingerprint, manifest.to_metadata()], sort_keys=True)
    return hashlib.sha256(identity.encode()).digest()
