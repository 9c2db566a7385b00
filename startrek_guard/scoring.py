"""Scores from the GGUF that ships, for the train commands: what is measured is what is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from startrek_guard.guards import build, open_adapter

if TYPE_CHECKING:
    from guard.manifest import GuardManifest
    from train.scoring import Scorer


@dataclass(frozen=True)
class GgufScorer:
    """A running guard.

    Attributes:
        path: of the GGUF.
        manifest: what it says of itself.
        scorer: asks it.
    """

    path: Path
    manifest: GuardManifest
    scorer: Scorer


@contextmanager
def gguf_scorer(adapter: str, quantisation: str = "Q4_0") -> Iterator[GgufScorer]:
    """The exported guard of an adapter, running inside this process for the length of the block."""
    from guard.engines.llama_cpp import LlamaCppEngine
    from train.scoring import prompt_scorer

    path = build(open_adapter(adapter), quantisation, None)
    engine = LlamaCppEngine(path)
    try:
        manifest = engine.start_sync()
        scorer = prompt_scorer(manifest.template, engine.score_sync)
        yield GgufScorer(path, manifest, scorer)
    finally:
        engine.close()
