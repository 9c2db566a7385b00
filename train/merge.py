"""Merge an adapter into its base, and prove that the answers stay."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from train.encode import Encoder
from train.errors import RunError
from train.hidden import compute
from train.rows import Row

MAX_LOGIT_DIFFERENCE: Final = 1e-2
"""In float32 the merged weights differ from the sum by rounding alone; anything more is a mistake."""


def merge(model: Any, encoder: Encoder, rows: Sequence[Row]) -> tuple[Any, float]:  # noqa: ANN401
    """Merge a PEFT model's adapter with PEFT's own safe merge, which refuses NaN weights.

    Returns:
        The merged model, and the largest difference of a logit before and after on ``rows``.

    Raises:
        RunError: if the weights have NaN, or a logit differs by more than :data:`MAX_LOGIT_DIFFERENCE`.
    """
    before = compute(model, encoder, rows).logits
    try:
        with warnings.catch_warnings():
            # A classifier has no output rows that an adapted embedding could be tied to.
            warnings.filterwarnings("ignore", "Model with `tie_word_embeddings=True`", UserWarning)
            merged = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise RunError(f"the adapter can't be merged: {error}") from error
    difference = float(np.abs(compute(merged, encoder, rows).logits - before).max())
    if difference > MAX_LOGIT_DIFFERENCE:
        raise RunError(f"merging changed a logit by {difference:.4f}, wanted at most {MAX_LOGIT_DIFFERENCE}")
    return merged, difference


def save_merged(merged: Any, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401 - transformers is untyped
    """Save a merged classifier as a Hugging Face folder."""
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
