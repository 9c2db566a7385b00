"""An adapted embedding in the order of a keep-list that was chosen anew."""

from __future__ import annotations

import pytest
import torch

from train.embedding_columns import ColumnOrder
from train.errors import RunError

COLUMNS = "base_model.model.model.embed_tokens.lora_embedding_A"
OTHER = "base_model.model.model.embed_tokens.lora_embedding_B"
WEIGHTS = {
    COLUMNS: torch.tensor([[3.0, 5.0, 9.0], [30.0, 50.0, 90.0]], dtype=torch.float16),
    OTHER: torch.ones(4, 2),
}
"""Columns that have the ids of their tokens in them."""


def test_a_column_goes_with_its_token() -> None:
    """A new token's is zero, which changes nothing of the base; one that is gone takes its column along."""
    ordered = ColumnOrder([3, 5, 9], [0, 3, 4, 9]).apply(WEIGHTS)
    assert ordered[COLUMNS].tolist() == [[0.0, 3.0, 0.0, 9.0], [0.0, 30.0, 0.0, 90.0]]
    assert ordered[COLUMNS].dtype == torch.float16
    assert ordered[OTHER] is WEIGHTS[OTHER]


def test_lists_may_have_nothing_in_common() -> None:
    """All tokens then begin as the base has them."""
    assert ColumnOrder([3, 5, 9], [1, 2]).apply(WEIGHTS)[COLUMNS].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_an_adapter_of_another_list_is_refused() -> None:
    """Which of its columns is which token's is not known."""
    with pytest.raises(RunError, match=r"lora_embedding_A has 3 columns, wanted 2, one per token of its keep-list"):
        ColumnOrder([3, 5], [3, 5, 9]).apply(WEIGHTS)
