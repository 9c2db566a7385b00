"""The one thing every engine does: prompts in, the two labels' logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from guard.calibration import LabelLogits
from guard.manifest import GuardManifest

SHORT_PROMPT_BYTES: Final = 1024
"""Rendered prompts up to this many UTF-8 bytes need not wait for longer ones; some 250 tokens.

With 512, a paragraph was computed in slices while shorter prompts overtook it again and again: the p99 of 4 clients was
4.1 to 4.6 times their p50, and is 3.0 to 3.6 times with 1,024, their p50 the same within its noise
(``python -m benchmarks load``, five and eight runs on 2 cores).
"""


class EngineError(Exception):
    """The engine gave no logits; never to be read as "allow"."""


class EngineUnavailableError(EngineError):
    """The engine can't be reached, is gone, or refused to work."""


class EngineTimeoutError(EngineError):
    """The engine did not answer in time."""


class EngineAnswerError(EngineError):
    """The engine answered, but not with the two labels' logits."""


class GuardFileError(EngineError):
    """The guard's GGUF is missing, damaged, or not a guard."""


class Engine(Protocol):
    """Asks a guard model. An engine is started once, asked often, closed once.

    Attributes:
        name: as shown to people and in metrics.
        max_batch_prompts: how many prompts one call of :meth:`score` computes together at the most.
        max_batch_bytes: and how many UTF-8 bytes; a single prompt may always be sent, whatever its size.
    """

    name: str
    max_batch_prompts: int
    max_batch_bytes: int

    @property
    def fingerprint(self) -> str:
        """Tells this guard's weights from any other's; known once the engine was started.

        Raises:
            EngineUnavailableError: if it was not.
        """

    async def start(self) -> GuardManifest:
        """Load or reach the model, check that it is a guard, warm it up.

        Raises:
            EngineError: if there is no such model, or it is no guard of this prompt version.
        """

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """Logits for rendered prompts, in their order.

        May be called again before it has answered: once with short prompts while longer ones are computed.

        Raises:
            EngineError: if any prompt got no usable answer.
        """

    async def aclose(self) -> None:
        """Release the model or the connections; twice does no harm."""
