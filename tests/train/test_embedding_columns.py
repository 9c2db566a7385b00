"""An adapted embedding follows a keep-list that was chosen anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from train.embedding_columns import follow_keep_list
from train.errors import RunError

FILE = "adapter_model.safetensors"
COLUMNS = "base_model.model.model.embed_tokens.lora_embedding_A"
OTHER = "base_model.model.model.embed_tokens.lora_embedding_B"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Columns that have the ids of their tokens in them."""
    columns = torch.tensor([[3.0, 5.0, 9.0], [30.0, 50.0, 90.0]], dtype=torch.float16)
    save_file({COLUMNS: columns, OTHER: torch.ones(4, 2)}, tmp_path / FILE)
    return tmp_path


def test_a_column_goes_with_its_token(adapter: Path) -> None:
    """A new token's is zero, which changes nothing of the base; one that is gone takes its column along."""
    follow_keep_list(adapter, [3, 5, 9], [0, 3, 4, 9])
    weights = load_file(adapter / FILE)
    assert weights[COLUMNS].tolist() == [[0.0, 3.0, 0.0, 9.0], [0.0, 30.0, 0.0, 90.0]]
    assert weights[COLUMNS].dtype == torch.float16
    assert torch.equal(weights[OTHER], torch.ones(4, 2))


def test_lists_may_have_nothing_in_common(adapter: Path) -> None:
    """All tokens then begin as the base has them."""
    follow_keep_list(adapter, [3, 5, 9], [1, 2])
    assert load_file(adapter / FILE)[COLUMNS].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_an_adapter_of_another_list_stays_as_it_is(adapter: Path) -> None:
    """Which of its columns is which token's is not known."""
    stored = (adapter / FILE).read_bytes()
    with pytest.raises(RunError, match=r"lora_embedding_A has 3 columns, wanted 2, one a kept token"):
        follow_keep_list(adapter, [3, 5], [3, 5, 9])
    assert (adapter / FILE).read_bytes() == stored


def test_an_adapter_of_the_layers_alone_stays_as_it_is(tmp_path: Path) -> None:
    """It has no column a token."""
    save_file({"layers.0.lora_A": torch.ones(2, 3)}, tmp_path / FILE)
    stored = (tmp_path / FILE).read_bytes()
    follow_keep_list(tmp_path, [3, 5, 9], [1])
    assert (tmp_path / FILE).read_bytes() == stored


def test_a_missing_adapter_is_named(tmp_path: Path) -> None:
    """By its file."""
    with pytest.raises(RunError, match=rf"can't read the adapter .*{FILE}"):
        follow_keep_list(tmp_path, [1], [2])
