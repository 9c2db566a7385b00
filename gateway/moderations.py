"""The guard itself in the shape of OpenAI's ``POST /v1/moderations``, with one category of its own.

https://platform.openai.com/docs/api-reference/moderations
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gateway.content import string
from gateway.errors import BadRequestError, TooLongError
from gateway.framing import compact_json
from gateway.intake import JsonObject, KeyRules, RawBody, decoded, read_object
from gateway.services import Services, new_nonce
from gateway.settings import Settings
from gateway.styles import JSON, Answer
from guard.calibration import Decision
from guard.prompt import Role, Turn
from guard.verdict import Verdict

CATEGORY: Final = "off_topic"
"""OpenAI's categories are about harm, of which the guard knows nothing."""

_KEYS: Final = KeyRules(known=frozenset({"input", "model", "type", "text"}), free=frozenset())


async def moderations(services: Services, body: RawBody) -> Answer:
    """A result for each text of ``{"input": ...}``.

    Raises:
        GatewayError: if the body is another, is too long, or there is no verdict.
    """
    texts = _texts(read_object(decoded(body, zstd=False), _KEYS).get("input"))
    _check_bounds(texts, services.settings)
    verdicts = await services.moderator.verdicts([[Turn(Role.USER, text)] for text in texts])
    answer = {
        "id": f"modr-{new_nonce()}",
        "model": services.moderator.manifest.name,
        "results": [_result(verdict) for verdict in verdicts],
    }
    return Answer(200, JSON, compact_json(answer) + b"\n")


def _texts(value: object) -> list[str]:
    """One text, one of each string of an array, or one of all text parts of an array.

    Raises:
        BadRequestError: if there is something else, or nothing.
    """
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, dict) for item in items):
        items = ["\n".join(_part(item) for item in items if isinstance(item, dict))]
    texts = [item for item in items if isinstance(item, str) and item.strip()]
    if not texts or len(texts) != len(items):
        raise BadRequestError("input is empty or has the wrong type, wanted a string, an array of them or text parts")
    return texts


def _part(part: JsonObject) -> str:
    if part.get("type") != "text":
        raise BadRequestError("input has a part that is no text, which this guard can't judge")
    return string(part, "text", "input[].text")


def _check_bounds(texts: Sequence[str], settings: Settings) -> None:
    """Of all texts together: one request must not take the guard's whole queue."""
    size = sum(len(text.encode()) for text in texts)
    if size > settings.max_judged_bytes or len(texts) > settings.max_judged_texts:
        raise TooLongError(
            f"{len(texts)} texts of {size} bytes to judge, this gateway judges {settings.max_judged_texts} texts of "
            f"{settings.max_judged_bytes} bytes at the most"
        )


def _result(verdict: Verdict) -> JsonObject:
    # A score that is no number is no JSON either: off topic for sure.
    off_topic = 1.0 if math.isnan(verdict.score) else 1.0 - verdict.score
    flagged = verdict.decision is Decision.BLOCK
    return {
        "flagged": flagged,
        "categories": {CATEGORY: flagged},
        "category_scores": {CATEGORY: off_topic},
        "category_applied_input_types": {CATEGORY: ["text"]},
    }
