"""Which tokens of a vocabulary a guard needs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from export.checkpoint import KeptVocabulary, Vocabulary, cut_vocabulary
from export.errors import CheckpointError
from export.fold import Folded
from export.keep_list import read_keep_list, write_keep_list
from export.token_proof import prove_same_tokens
from export.vocabulary import choose_tokens
from guard.labels import DEFAULT_LABELS
from guard.normalise import normalise
from tests.export.samples import TEMPLATE, gemma_checkpoint, piece_vocabulary
from tests.export.test_fold import random_head

PIECES = ["th", "the", "▁the", "▁th", "er", "ther", "in", "ing", "▁s", "▁st", "ar", "star", "▁star", "sh", "ip", "ship"]


def random_words(count: int, seed: int) -> list[str]:
    """Texts of the letters that the pieces are made of, and a few of others."""
    generator = random.Random(seed)
    return [normalise("".join(generator.choices("therinsap  é世", k=generator.randint(1, 40)))) for _ in range(count)]


def test_everything_kept_is_read_as_before() -> None:
    """The cut vocabulary gives the same tokens for every text it was chosen for."""
    vocabulary = piece_vocabulary(PIECES)
    texts = random_words(300, 0)

    keep = choose_tokens(vocabulary, texts, TEMPLATE, frequent=0, spare=["<unused0>", "<unused1>"])

    assert len(keep) < len(vocabulary.tokens)
    prove_same_tokens(vocabulary, cut_vocabulary(vocabulary, keep), keep, texts, "gemma3")


def test_labels_change_no_text() -> None:
    """Folding after the cut renames entries that no text reaches, theirs included."""
    base = gemma_checkpoint(PIECES)
    texts = [*random_words(300, 1), "related", "not related", "not_related", "is that related to not_related things?"]
    keep = choose_tokens(base.vocabulary, texts, TEMPLATE, frequent=0, spare=["<unused0>", "<unused1>"])

    folded = Folded(KeptVocabulary(base, keep), random_head(), DEFAULT_LABELS, TEMPLATE)

    prove_same_tokens(base.vocabulary, folded.vocabulary, keep, texts, "gemma3")


def test_other_text_is_still_read() -> None:
    """What the corpus never had is read in smaller pieces or as bytes, never as the unknown token."""
    vocabulary = piece_vocabulary(PIECES)
    keep = choose_tokens(vocabulary, ["the"], TEMPLATE, frequent=0, spare=[])

    cut = cut_vocabulary(vocabulary, keep)

    assert "star" not in cut.tokens
    assert "the" in cut.tokens


def test_the_most_frequent_are_kept_with_their_parts() -> None:
    """The best-scored tokens stay whatever the corpus says."""
    vocabulary = piece_vocabulary(PIECES)

    keep = choose_tokens(vocabulary, [], TEMPLATE, frequent=2, spare=[])

    texts = {vocabulary.tokens[token_id] for token_id in keep}
    assert {"t", "h", "e", "th", "the"} <= texts
    assert "ship" not in texts


def test_what_occurs_too_seldom_goes() -> None:
    """But nothing on the way to what stays."""
    vocabulary = piece_vocabulary(PIECES)

    keep = choose_tokens(vocabulary, ["the ship", "the star", "a ship"], TEMPLATE, frequent=0, spare=[], least=2)

    texts = {vocabulary.tokens[token_id] for token_id in keep}
    assert "▁star" not in texts
    assert "the" in texts
    prove_same_tokens(vocabulary, cut_vocabulary(vocabulary, keep), keep, ["the ship", "the", "a ship"], "gemma3")


@pytest.mark.parametrize(("label", "kept"), [("ship", True), ("shipar", False)])
def test_a_label_that_is_a_token_is_kept(label: str, kept: bool) -> None:
    """Of one that is none, the pieces would only make it reachable."""
    vocabulary = piece_vocabulary(PIECES)

    keep = choose_tokens(vocabulary, [], TEMPLATE, frequent=0, spare=[], labels=[label])

    assert ("ship" in {vocabulary.tokens[token_id] for token_id in keep}) is kept


def test_a_cut_that_loses_a_piece_is_found() -> None:
    """The proof quotes the text, and both ways to read it."""
    vocabulary = piece_vocabulary(PIECES)
    keep = [i for i, text in enumerate(vocabulary.tokens) if text != "▁star"]

    with pytest.raises(CheckpointError, match=r"'a starship' is \[.*\], wanted \["):
        prove_same_tokens(vocabulary, cut_vocabulary(vocabulary, keep), keep, ["ship", "a starship"], "gemma3")


def test_a_keep_list_survives_its_file(tmp_path: Path) -> None:
    """The vocabulary that is cut by the file is the one that was cut by the choice."""
    vocabulary = piece_vocabulary(PIECES)
    keep = choose_tokens(vocabulary, ["the ship"], TEMPLATE, frequent=0, spare=["<unused1>"])

    write_keep_list(tmp_path / "keep.txt", keep)

    assert cut_vocabulary(vocabulary, read_keep_list(tmp_path / "keep.txt")) == cut_vocabulary(vocabulary, keep)


def test_byte_level_vocabularies_are_refused() -> None:
    """Which merges a text needs is known for SentencePiece only."""
    with pytest.raises(CheckpointError, match="of model 'gpt2', wanted 'llama'"):
        choose_tokens(Vocabulary("gpt2", "qwen2", ["a"], [1], merges=[]), [], TEMPLATE, 0, [])
