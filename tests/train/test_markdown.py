"""Text is shown as it is, numbers as people read them."""

from __future__ import annotations

from train.markdown import escape, number, percent, table, with_interval
from train.metrics import Proportion


def test_nothing_in_a_text_is_markup() -> None:
    """Least of all a table's bars, and what can't be seen."""
    assert escape("a|b *c* <b>\n`d` \u200b") == r"a\|b \*c\* \<b\> \`d\` \\u200b"


def test_a_long_text_is_cut() -> None:
    """With a mark that it was."""
    assert escape("word " * 100, longest=9) == "word wor…"


def test_numbers_of_nothing_are_a_dash() -> None:
    """A share of no rows is none."""
    assert (percent(None), number(None), with_interval(None)) == ("–", "–", "–")
    assert with_interval(Proportion(0, 0).as_dict()) == "–"


def test_a_share_has_its_interval_beside_it() -> None:
    """In percent."""
    assert with_interval(Proportion(1, 29).as_dict()) == "3.4 % [0.6 %, 17.2 %]"


def test_a_table_has_a_line_a_row() -> None:
    """Numbers to the right."""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
