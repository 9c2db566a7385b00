"""Tokens are left out of some rows, the prompt's marks of none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DataCollatorWithPadding

from train.encode import Encoder
from train.thinning import MIN_TOKENS, ThinningCollator

MARK = 1


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Two hundred rows of thirty different tokens between two marks."""
    return [{"input_ids": [MARK, *range(10, 40), MARK], "labels": n % 2} for n in range(200)]


def _collate(encoder: Encoder, rows: list[dict[str, Any]], share: float = 0.2) -> Any:
    encoder.tokenizer.pad_token_id = 0
    torch.manual_seed(5)
    return ThinningCollator(DataCollatorWithPadding(encoder.tokenizer), share, {MARK})(rows)


def test_half_of_the_rows_lose_their_share(encoder: Encoder, rows: list[dict[str, Any]]) -> None:
    """The others are whole."""
    lengths = _collate(encoder, rows)["attention_mask"].sum(dim=1)
    whole = lengths == 32
    assert 70 <= int(whole.sum()) <= 130
    assert float(lengths[~whole].float().mean()) == pytest.approx(2 + 30 * 0.8, abs=0.8)


def test_what_is_kept_keeps_its_order_and_its_marks(encoder: Encoder, rows: list[dict[str, Any]]) -> None:
    """And its label."""
    batch = _collate(encoder, rows)
    for ids, mask, label, row in zip(*(batch[k] for k in ("input_ids", "attention_mask", "labels")), rows, strict=True):
        kept = ids[mask.bool()].tolist()
        assert (kept[0], kept[-1], int(label)) == (MARK, MARK, row["labels"])
        assert kept[1:-1] == sorted(set(kept[1:-1]))


def test_short_rows_stay_whole(encoder: Encoder) -> None:
    """Each of their tokens may be the one that decides."""
    short = [{"input_ids": list(range(10, 10 + MIN_TOKENS - 1)), "labels": 1} for _ in range(50)]
    assert bool(_collate(encoder, short, share=0.4)["attention_mask"].all())


def test_rows_themselves_are_not_changed(encoder: Encoder, rows: list[dict[str, Any]]) -> None:
    """The next pass leaves out others."""
    _collate(encoder, rows)
    assert all(len(row["input_ids"]) == 32 for row in rows)
