"""The head folded into the language-model head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.checkpoint import (
    EMBEDDING,
    OUTPUT,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNUSED,
    Tensor,
    Vocabulary,
)
from export.errors import FoldError
from export.fold import MIN_MARGIN_NATS, Folded, Head, margin_summary, place_labels
from guard.labels import DEFAULT_LABELS, Labels
from tests.export.samples import TEMPLATE, gemma_checkpoint, piece_vocabulary


def random_head(width: int = 32, seed: int = 0) -> Head:
    """A head, and the mean of hidden states that :func:`random_hidden` scatters around."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(2, width)).astype(np.float32)
    return Head(weight, generator.normal(size=width).astype(np.float32) * 2.0)


def random_hidden(head: Head, spread: float, rows: int = 500) -> Tensor:
    """Hidden states around the head's mean."""
    noise = np.random.default_rng(1).normal(size=(rows, len(head.mean_hidden)))
    return np.asarray(head.mean_hidden + spread * noise, dtype=np.float32)


def test_the_softmax_over_all_tokens_is_that_over_the_labels() -> None:
    """With the folded rows, all tokens but the labels together weigh nothing."""
    head = random_head()
    folded = Folded(gemma_checkpoint(["re"]), head, DEFAULT_LABELS, TEMPLATE)
    hidden = random_hidden(head, 0.2)

    logits = (hidden @ folded.load(OUTPUT).T).astype(np.float64)
    everything = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = (hidden @ head.weight.T).astype(np.float64)
    two = np.exp(labels - labels.max(axis=1, keepdims=True))

    np.testing.assert_allclose(
        everything[:, list(folded.label_ids)] / everything.sum(axis=1, keepdims=True),
        two / two.sum(axis=1, keepdims=True),
        atol=1e-4,
    )


def test_only_the_output_rows_are_new() -> None:
    """The embedding stays as it is, and the output rows are no longer tied to it."""
    base = gemma_checkpoint(["re"])

    folded = Folded(base, random_head(), DEFAULT_LABELS, TEMPLATE)

    assert set(folded.shapes()) - set(base.shapes()) == {OUTPUT}
    assert folded.shapes()[OUTPUT] == folded.shapes()[EMBEDDING]
    np.testing.assert_array_equal(folded.load(EMBEDDING), base.load(EMBEDDING))


def test_the_margin_is_the_least_distance_to_the_lower_label() -> None:
    """Measured over rows, and equal to what the folded rows give."""
    head = random_head()
    folded = Folded(gemma_checkpoint(["re"]), head, DEFAULT_LABELS, TEMPLATE)
    hidden = random_hidden(head, 0.1)

    logits = hidden @ folded.load(OUTPUT).T
    others = np.delete(logits, list(folded.label_ids), axis=1).max(axis=1)
    lower = logits[:, list(folded.label_ids)].min(axis=1)

    assert margin_summary(head, hidden) == {
        "rows": 500,
        "least_nats": pytest.approx(float((lower - others).min()), abs=1e-3),
        "mean_nats": pytest.approx(float((lower - others).mean()), abs=1e-3),
    }


def test_a_fold_that_fails_on_real_rows_is_refused() -> None:
    """Hidden states that are nothing like the mean leave no margin."""
    head = random_head()

    with pytest.raises(FoldError, match=f"wanted at least {MIN_MARGIN_NATS}"):
        margin_summary(head, random_hidden(head, 3.0))


@pytest.mark.parametrize(
    ("weight", "mean", "complaint"),
    [
        (np.ones((3, 4)), np.ones(4), r"shape \(3, 4\), wanted \(2, hidden\)"),
        (np.ones(4), np.ones(4), "wanted"),
        (np.ones((2, 4)), np.ones(5), r"mean hidden state of shape \(5,\), wanted \(4,\)"),
        (np.full((2, 4), np.nan), np.ones(4), "not numbers"),
        (np.ones((2, 4)), np.full(4, np.inf), "not numbers"),
        (np.ones((2, 4)), np.zeros(4), "was not measured"),
    ],
)
def test_a_head_that_is_none_is_refused(weight: Tensor, mean: Tensor, complaint: str) -> None:
    """Shapes and values are checked before anything is written."""
    with pytest.raises(FoldError, match=complaint):
        Head(weight.astype(np.float32), mean.astype(np.float32))


def test_a_head_of_another_model_is_refused() -> None:
    """The head's width is the model's."""
    with pytest.raises(FoldError, match="of 16 values, the model's have 32"):
        Folded(gemma_checkpoint(["re"]), random_head(16), DEFAULT_LABELS, TEMPLATE)


def test_labels_take_unused_entries() -> None:
    """A label that is no token is written over an unused one, as a normal token that merges last."""
    vocabulary = piece_vocabulary([])
    changed, ids = place_labels(vocabulary, DEFAULT_LABELS, TEMPLATE)

    assert [vocabulary.tokens[i] for i in ids] == ["<unused0>", "<unused1>"]
    assert [changed.tokens[i] for i in ids] == ["not_related", "related"]
    assert [changed.types[i] for i in ids] == [TOKEN_TYPE_NORMAL] * 2
    assert changed.scores is not None
    assert vocabulary.scores is not None
    assert max(changed.scores[i] for i in ids) < min(vocabulary.scores)
    assert changed.flags["add_bos_token"] is False


def test_a_label_that_is_a_token_keeps_it() -> None:
    """A second entry of the same text would collide in llama.cpp."""
    vocabulary = piece_vocabulary(["relat", "ed", "related"])

    changed, ids = place_labels(vocabulary, DEFAULT_LABELS, TEMPLATE)

    assert ids[1] == vocabulary.id_of("related")
    assert list(changed.tokens).count("related") == 1


def test_a_label_that_text_could_reach_is_refused() -> None:
    """SentencePiece merges any two neighbours whose texts together are an entry."""
    with pytest.raises(FoldError, match="'not_' and 'related' would merge into the label 'not_related'"):
        place_labels(piece_vocabulary(["no", "t_", "not_", "related"]), DEFAULT_LABELS, TEMPLATE)


def test_a_single_character_counts_as_a_piece() -> None:
    """A character that is no entry is still merged with what follows it."""
    vocabulary = piece_vocabulary(["éb"])

    with pytest.raises(FoldError, match="'à' and 'éb' would merge"):
        place_labels(vocabulary, Labels("àéb", "on"), TEMPLATE)


def test_a_mark_that_is_no_token_is_refused() -> None:
    """The template is of another family's vocabulary."""
    template = replace(TEMPLATE, suffix="<|im_end|>")

    with pytest.raises(FoldError, match=r"'<\|im_end\|>' is not one token"):
        place_labels(piece_vocabulary([]), DEFAULT_LABELS, template)


def test_no_free_entry_is_refused() -> None:
    """Neither unused entries nor control tokens without a role: the label has no place."""
    vocabulary = piece_vocabulary([chr(0x4E00 + i) for i in range(100)], unused=1)

    with pytest.raises(FoldError, match="no unused token that could become 'related'"):
        place_labels(vocabulary, DEFAULT_LABELS, TEMPLATE)


def test_padding_entries_are_free_and_end_marks_are_not() -> None:
    """``[PAD7]`` is unused whatever it is called; a control token that ends a turn keeps its name."""
    tokens = ["<bos>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>", "<|fim_pad|>", "<|object|>", "[PAD6]"]
    types = [TOKEN_TYPE_CONTROL] * 6 + [TOKEN_TYPE_UNUSED]
    vocabulary = Vocabulary("gpt2", "default", tokens, types, merges=[], special_ids={"bos": 0})

    changed, ids = place_labels(vocabulary, DEFAULT_LABELS, TEMPLATE)

    assert ids == (6, 5)
    assert list(changed.tokens[:5]) == tokens[:5]
