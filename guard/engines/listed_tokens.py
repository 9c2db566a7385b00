"""The most likely tokens, as a model server lists them, and what they say of the two labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from guard.calibration import LabelLogits
from guard.engines.base import EngineAnswerError
from guard.engines.probes import MIN_PROBE_MARGIN_NATS
from guard.labels import Labels

LISTED: Final = 20
"""Tokens asked for: the most that Ollama gives."""

UNLISTED_ON_TOPIC_NATS: Final = 50.0
"""How far below the last listed token an unlisted on-topic label is put."""


def read_list(entries: Any, text_key: str, value_key: str) -> dict[str, float]:  # noqa: ANN401 - JSON from outside
    """Value by token text, the larger one where two tokens have the same text.

    Raises:
        EngineAnswerError: if it is no list of objects with a text and a finite number, or empty.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise EngineAnswerError("the answer lists no tokens")
    listed: dict[str, float] = {}
    for entry in entries:
        text = entry.get(text_key) if isinstance(entry, Mapping) else None
        value = entry.get(value_key) if isinstance(entry, Mapping) else None
        if not isinstance(text, str) or not isinstance(value, int | float) or not math.isfinite(value):
            raise EngineAnswerError(f"a listed token has no {text_key!r} with a number as {value_key!r}")
        listed[text] = max(listed.get(text, -math.inf), float(value))
    return listed


def label_logits(listed: Mapping[str, float], labels: Labels) -> LabelLogits:
    """The labels' log-probabilities from a list of the most likely tokens.

    A label that is not listed is no likelier than the last that is. For ``off_topic`` that bound is taken as its
    value, and for ``on_topic`` a value far below it: either way the error, if it is one, is to block. With a guard
    whose labels were folded well both are always listed, in front.

    Raises:
        EngineAnswerError: if neither is listed: the model answers something else.
    """
    off_topic, on_topic = (listed.get(name) for name in labels.ordered)
    if off_topic is None and on_topic is None:
        raise EngineAnswerError(f"neither label is among the {len(listed)} likeliest tokens: the model is not a guard")
    bound = min(listed.values())
    return LabelLogits(
        off_topic=bound if off_topic is None else off_topic,
        on_topic=bound - UNLISTED_ON_TOPIC_NATS if on_topic is None else on_topic,
    )


def check_probe(listed: Mapping[str, float], labels: Labels, asked: str) -> None:
    """Refuse a model that does not answer a probe with its labels well in front.

    Raises:
        EngineAnswerError: if a label is not listed, or another token comes near it.
    """
    found = [listed[name] for name in labels.ordered if name in listed]
    others = {text: value for text, value in listed.items() if text not in labels.ordered}
    nearest = max(others, key=others.__getitem__, default=None)
    if len(found) == 2 and (nearest is None or min(found) - others[nearest] >= MIN_PROBE_MARGIN_NATS):
        return
    likeliest = ", ".join(repr(text) for text in sorted(listed, key=listed.__getitem__, reverse=True)[:3])
    raise EngineAnswerError(
        f"asked {asked!r}, the model's likeliest tokens are {likeliest}, wanted {' and '.join(labels.ordered)} "
        f"at least {MIN_PROBE_MARGIN_NATS:g} nats ahead of all others: it answers something else"
    )
