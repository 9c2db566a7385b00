"""What stands on two sides of a split, or with two labels, is removed and told."""

from __future__ import annotations

import pytest

from train.dataset import NEAR_DUPLICATE_JACCARD, Copy, Shingles, clean, find_copies
from train.generate import Side
from train.rows import Row, prompt_row

QUESTION = "how many frames of brood should there be before the winter comes"


def _rows(*texts: str, label: str = "related") -> list[Row]:
    return [prompt_row(text, label, group=text) for text in texts]


def test_duplicates_go_case_and_punctuation_aside() -> None:
    """Held-out rows win over training rows; the first of one side wins."""
    kept, report = clean(
        {Side.TRAIN: _rows("a bee?", "A BEE", "wax"), Side.TEST: _rows("Wax!", "comb"), Side.VALIDATION: _rows("comb.")}
    )
    assert {side: [row.text for row in rows] for side, rows in kept.items()} == {
        Side.TEST: ["Wax!", "comb"],
        Side.VALIDATION: [],
        Side.TRAIN: ["a bee?"],
    }
    assert report.exact_duplicates == 3
    assert report.rows == {"test": 2, "validation": 0, "train": 1}


def test_a_text_with_two_labels_goes_altogether() -> None:
    """Nobody knows which is right."""
    kept, report = clean({Side.TRAIN: [*_rows("a bee", "wax"), *_rows("A bee!", label="not_related")]})
    assert [row.text for row in kept[Side.TRAIN]] == ["wax"]
    assert (report.contradictions, report.exact_duplicates) == (1, 0)


def test_near_duplicates_leave_the_training_side() -> None:
    """A held-out question with a word more would be known by heart."""
    kept, report = clean({Side.TRAIN: _rows(f"{QUESTION} again", "wax"), Side.TEST: _rows(QUESTION)})
    assert [row.text for row in kept[Side.TRAIN]] == ["wax"]
    assert [row.text for row in kept[Side.TEST]] == [QUESTION]
    assert report.near_duplicates == 1
    assert report.largest_overlap <= NEAR_DUPLICATE_JACCARD


def test_a_near_duplicate_at_the_end_of_a_conversation_leaves_the_training_side() -> None:
    """A question is known by heart from wherever it was asked."""
    talk = Row((*prompt_row("wax?", "x").turns, *prompt_row(QUESTION, "x").turns), "related")
    kept, report = clean({Side.TRAIN: [talk], Side.TEST: _rows(f"{QUESTION} again")})
    assert (kept[Side.TRAIN], report.near_duplicates) == ([], 1)


def test_conversations_that_end_alike_are_not_near_duplicates() -> None:
    """What is asked is decided by what was said before."""
    first, second = (
        Row((*prompt_row(c, "x").turns, *prompt_row(QUESTION, "x").turns), "related") for c in ("wax", "tax")
    )
    kept, report = clean({Side.TRAIN: [first], Side.TEST: [second]})
    assert (kept[Side.TRAIN], report.near_duplicates) == ([first], 0)


def test_near_duplicates_are_found_where_no_spaces_stand_between_words() -> None:
    """Chinese: trigrams of characters."""
    texts = ("企业号的舰长到底是谁，他后来为什么离开了舰队呢？", "企业号的舰长到底是谁，他后来为什么离开了舰队？")
    assert find_copies(_rows(texts[0]), _rows(texts[1]))


def test_a_group_on_two_sides_is_told() -> None:
    """It must not happen; if it does, the report says so."""
    rows = {side: [prompt_row(f"{side} bees", "related", group="g")] for side in (Side.TRAIN, Side.TEST)}
    assert clean(rows)[1].shared_groups == 1


def test_the_same_last_turn_in_another_conversation_is_another_row() -> None:
    """Its context decides its label."""
    first, second = (Row((*prompt_row(c, "x").turns, *prompt_row("why", "x").turns), "related") for c in ("wax", "tax"))
    assert len(clean({Side.TRAIN: [first, second]})[0][Side.TRAIN]) == 2


def test_texts_of_symbols_are_told_apart() -> None:
    """They have no words to compare."""
    assert len(clean({Side.TRAIN: _rows("?", "!")})[0][Side.TRAIN]) == 2


@pytest.mark.parametrize(
    ("one", "other"), [("What is C++?", "What is C#?"), ("Qxf7+ then", "Qxf7# then"), ("दिन", "दीन")]
)
def test_signs_and_marks_within_a_word_are_its_own(one: str, other: str) -> None:
    """Two texts that differ in them may have two labels."""
    rows = [prompt_row(one, "related"), prompt_row(other, "not_related")]
    assert len(clean({Side.TRAIN: rows})[0][Side.TRAIN]) == 2


def test_the_tiny_topic_leaks_nothing(sides: dict[Side, list[Row]]) -> None:
    """Cleaned rows come through cleaning as they are."""
    kept, report = clean(sides)
    assert kept == sides
    assert (report.shared_groups, report.near_duplicates, report.exact_duplicates) == (0, 0, 0)


def test_copies_of_training_rows_are_found() -> None:
    """Word for word, or nearly so; short texts only word for word."""
    training = _rows("Wax moth?", QUESTION)
    found = find_copies(_rows("wax moth", "wax moths", f"{QUESTION} now", "where do drones go"), training)
    assert [copy.row for copy in found] == [1, 3]
    assert found[0] == Copy(1, 1.0)


def test_overlap_is_of_word_trigrams() -> None:
    """Jaccard: what both have, of what either has."""
    shingles = Shingles(_rows("one two three four five"))
    (row,) = _rows("zero one two three four")
    assert shingles.largest_overlap(row) == 2 / 4
