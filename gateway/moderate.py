"""The guard itself over HTTP: ``POST /api/moderate`` and ``GET /health``, as the published predecessor has them."""

from __future__ import annotations

import math
from typing import Final

from gateway.content import string
from gateway.errors import BadRequestError
from gateway.framing import compact_json
from gateway.intake import KeyRules, RawBody, decoded, read_object
from gateway.moderation import Moderator
from gateway.styles import JSON_UTF8, Answer
from guard.calibration import Decision
from guard.prompt import Role, Turn
from guard.verdict import Verdict

_KEYS: Final = KeyRules(known=frozenset({"message"}), free=frozenset())


async def moderate(moderator: Moderator, body: RawBody) -> Answer:
    """The verdict on ``{"message": "..."}``.

    Raises:
        GatewayError: if the body is another, or there is no verdict.
    """
    message = string(read_object(decoded(body, zstd=False), _KEYS), "message")
    if not message.strip():
        raise BadRequestError("message is missing or empty, wanted the text to judge")
    [verdict] = await moderator.verdicts([[Turn(Role.USER, message)]])
    return Answer(200, JSON_UTF8, compact_json(_body(verdict, moderator)))


def health(moderator: Moderator) -> Answer:
    """Whether the guard is loaded: it always is once the gateway listens."""
    state = {"status": "healthy", "model_loaded": True, "model_name": moderator.manifest.name}
    return Answer(200, JSON_UTF8, compact_json(state))


def _body(verdict: Verdict, moderator: Moderator) -> dict[str, object]:
    labels, topic = moderator.manifest.labels, moderator.manifest.topic
    safe = verdict.decision is not Decision.BLOCK
    # A score that is no number is no JSON either: unsafe, with no confidence.
    on_topic = 0.0 if math.isnan(verdict.score) else verdict.score
    confidence = max(on_topic, 1.0 - on_topic) if not math.isnan(verdict.score) else 0.0
    return {
        "risk_level": "Safe" if safe else "Unsafe",
        "category": "None" if safe else "Off-topic",
        "message": f"This is about {topic}." if safe else f"This is not about {topic}.",
        "confidence": confidence,
        "predicted_label": verdict.label,
        "predicted_class_id": labels.class_id(verdict.label),
        "probabilities": {labels.off_topic: 1.0 - on_topic, labels.on_topic: on_topic},
    }
