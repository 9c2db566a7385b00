"""Cutting layers and vocabulary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.checkpoint import (
    EMBEDDING,
    TOKEN_TYPE_BYTE,
    FirstLayers,
    KeptVocabulary,
    Vocabulary,
    cut_vocabulary,
)
from export.errors import CheckpointError
from tests.export.samples import gemma_checkpoint, piece_vocabulary

PIECES = ["th", "the", "er", "▁th", "▁the"]


def kept(vocabulary: Vocabulary, *texts: str) -> list[int]:
    """The ids that must stay, and those of ``texts``."""
    ids = {i for i, kind in enumerate(vocabulary.types) if kind == TOKEN_TYPE_BYTE}
    return sorted(ids | set(vocabulary.special_ids.values()) | {vocabulary.id_of(text) for text in texts})


def test_the_first_layers_are_those_of_the_model() -> None:
    """Tensors of later layers are gone, the others the same, and the hyperparameters say so."""
    base = gemma_checkpoint(PIECES, num_hidden_layers=3)

    cut = FirstLayers(base, 2)

    assert cut.hyperparameters["block_count"] == 2
    assert {name.split(".")[1] for name in cut.shapes() if name.startswith("blk.")} == {"0", "1"}
    assert {name for name in base.shapes() if not name.startswith("blk.2.")} == set(cut.shapes())
    np.testing.assert_array_equal(cut.load("blk.1.ffn_up.weight"), base.load("blk.1.ffn_up.weight"))


@pytest.mark.parametrize("layers", [0, 4, -1])
def test_layers_that_are_not_there_are_refused(layers: int) -> None:
    """The error tells how many there are."""
    with pytest.raises(CheckpointError, match="of a model with 3"):
        FirstLayers(gemma_checkpoint(PIECES, num_hidden_layers=3), layers)


def test_rows_texts_types_and_scores_are_cut_together() -> None:
    """New token ``i`` is old token ``keep[i]`` in every table, and in the embedding."""
    base = gemma_checkpoint(PIECES)
    keep = kept(base.vocabulary, "t", "h", "e", "th", "the")

    cut = KeptVocabulary(base, keep)

    assert cut.hyperparameters["vocab_size"] == len(keep)
    assert list(cut.vocabulary.tokens) == [base.vocabulary.tokens[i] for i in keep]
    assert list(cut.vocabulary.types) == [base.vocabulary.types[i] for i in keep]
    assert base.vocabulary.scores is not None
    assert cut.vocabulary.scores is not None
    assert list(cut.vocabulary.scores) == [base.vocabulary.scores[i] for i in keep]
    assert cut.vocabulary.special_ids == {role: keep.index(old) for role, old in base.vocabulary.special_ids.items()}
    assert cut.shapes()[EMBEDDING] == (len(keep), 32)
    np.testing.assert_array_equal(cut.load(EMBEDDING), base.load(EMBEDDING)[keep])
    np.testing.assert_array_equal(cut.load("output_norm.weight"), base.load("output_norm.weight"))


def test_a_merge_stays_if_its_parts_and_result_stay() -> None:
    """A merge whose result is gone would make a token that is not there."""
    vocabulary = Vocabulary("gpt2", "qwen2", ["a", "b", "c", "ab", "abc"], [1] * 5, merges=["a b", "ab c"])

    assert cut_vocabulary(vocabulary, [0, 1, 3, 4]).merges == ["a b"]
    assert cut_vocabulary(vocabulary, [0, 1, 2, 4]).merges == []


@pytest.mark.parametrize(
    ("keep", "complaint"),
    [([1, 0], "must ascend"), ([0, 0], "must ascend"), ([0, 9999], "below the vocabulary's size"), ([-1, 0], "below")],
)
def test_ids_must_ascend_within_the_vocabulary(keep: list[int], complaint: str) -> None:
    """A keep-list of another vocabulary is refused."""
    with pytest.raises(CheckpointError, match=complaint):
        cut_vocabulary(piece_vocabulary(PIECES), keep)


def test_bytes_and_special_tokens_cannot_be_left_out() -> None:
    """Without a byte some text could not be read at all."""
    vocabulary = piece_vocabulary(PIECES)
    keep = kept(vocabulary)

    with pytest.raises(CheckpointError, match=r"can't be left out: \[8\]"):
        cut_vocabulary(vocabulary, [token_id for token_id in keep if token_id != 8])


def test_tables_of_other_lengths_are_refused() -> None:
    """A vocabulary whose types or scores are not by token is none."""
    with pytest.raises(CheckpointError, match="1 token types for 2 tokens"):
        Vocabulary("gpt2", "default", ["a", "b"], [1])
    with pytest.raises(CheckpointError, match="3 token scores for 2 tokens"):
        replace(Vocabulary("llama", "default", ["a", "b"], [1, 1]), scores=[0.0, 1.0, 2.0])
