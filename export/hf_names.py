"""One name for each tensor and module of a text model, whichever way Hugging Face stored it."""

from __future__ import annotations

import re
from typing import Final

_DECODER: Final = re.compile(r"(?:(?:model|language_model)\.)*(?P<rest>(?:embed_tokens|layers|norm)(?:\..+)?)")
_HEAD: Final = re.compile(r"(?:(?:model|language_model)\.)*(?P<rest>(?:lm_head|score)(?:\..+)?)")
_NOT_TEXT: Final = re.compile(r"(?:model\.)?(?:vision_tower|multi_modal_projector)\..+|.+\.rotary_emb\.inv_freq")
"""What a model that also sees images has besides, and a table that older versions of transformers stored."""


def plain_name(stored: str) -> str | None:
    """A name as in a text-only causal or classifying model; None if it is no part of the text model.

    ``language_model.model.norm``, ``model.language_model.norm`` and ``norm`` are all ``model.norm``, depending on
    what was saved and by which version of transformers.
    """
    if _NOT_TEXT.fullmatch(stored):
        return None
    if match := _DECODER.fullmatch(stored):
        return f"model.{match['rest']}"
    if match := _HEAD.fullmatch(stored):
        return match["rest"]
    return stored
