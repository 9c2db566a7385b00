"""An engine that is already running, for whoever starts it again."""

from __future__ import annotations

from collections.abc import Sequence

from guard.calibration import LabelLogits
from guard.engines.base import Engine
from guard.manifest import GuardManifest


class StartedEngine:
    """An engine that the command line has started, so that a bad guard stops it with a sentence before it serves.

    Args:
        engine: started.
        manifest: what its start returned.
    """

    def __init__(self, engine: Engine, manifest: GuardManifest) -> None:
        self._engine, self._manifest = engine, manifest
        self.name = engine.name
        self.max_batch_prompts = engine.max_batch_prompts
        self.max_batch_bytes = engine.max_batch_bytes

    @property
    def fingerprint(self) -> str:
        """See :class:`guard.engines.base.Engine`."""
        return self._engine.fingerprint

    async def start(self) -> GuardManifest:
        """The manifest of the running engine."""
        return self._manifest

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """See :class:`guard.engines.base.Engine`."""
        return await self._engine.score(prompts)

    async def aclose(self) -> None:
        """See :class:`guard.engines.base.Engine`."""
        await self._engine.aclose()
