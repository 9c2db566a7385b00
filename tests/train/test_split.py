"""A user's rows are split by group, or by the shape of their text."""

from __future__ import annotations

import pytest

from guard.prompt import Role, Turn
from train.generate import Side
from train.rows import Row, prompt_row
from train.split import split_rows


def test_rows_of_one_group_stay_together() -> None:
    """Whatever their texts."""
    rows = [prompt_row(f"text {group} {n}", "related", group=str(group)) for group in range(200) for n in range(3)]
    sides = split_rows(rows, 1, 0.2, 0.2)
    assert all(sides[side] for side in Side)
    groups = [{row.group for row in sides[side]} for side in Side]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 200


def test_rows_of_one_shape_are_a_group() -> None:
    """Names and numbers blanked, as in a file made from a template."""
    names = ("Spock", "Worf", "Data", "Odo", "Dax", "Quark")
    sides = split_rows([prompt_row(f"What planet is {name} from in 2371?", "related") for name in names], 1, 0.3, 0.3)
    assert sorted(map(len, sides.values())) == [0, 0, 6]


def _conversation(*texts: str) -> Row:
    roles = (Role.USER, Role.ASSISTANT)
    return Row(tuple(Turn(roles[place % 2], text) for place, text in enumerate(texts)), "related")


@pytest.mark.parametrize("number", range(12))
def test_one_conversation_at_three_lengths_is_a_group(number: int) -> None:
    """It would otherwise be judged by turns that were trained on."""
    turns = (f"who plays {'a' * number} in it?", "Frakes.", "since when", "1987.", f"{number} films, right?")
    rows = [_conversation(*turns[:length]) for length in (1, 3, 5)]
    assert sorted(map(len, split_rows(rows, 1, 0.3, 0.3).values())) == [0, 0, 3]


def test_a_conversation_without_spaces_between_words_is_a_group() -> None:
    """As in Chinese or Japanese."""
    turns = ("ウォーフの息子の名前は何ですか", "アレクサンダーです。", "もう一度")
    rows = [_conversation(*turns[:length]) for length in (1, 3)]
    assert sorted(map(len, split_rows(rows, 1, 0.3, 0.3).values())) == [0, 0, 2]


def test_a_greeting_does_not_make_one_group_of_all_conversations() -> None:
    """It says nothing of what follows."""
    rows = [_conversation("Hi there!", "Hello.", f"is {chr(97 + n)} any good") for n in range(26)]
    assert all(split_rows(rows, 1, 0.3, 0.3).values())


def test_the_split_depends_on_the_seed_alone() -> None:
    """Not on the order of the rows."""
    rows = [prompt_row(f"{'x' * n} text", "related") for n in range(1, 60)]
    forwards, backwards = split_rows(rows, 5, 0.2, 0.2), split_rows(rows[::-1], 5, 0.2, 0.2)
    assert {side: sorted(map(str, found)) for side, found in forwards.items()} == {
        side: sorted(map(str, found)) for side, found in backwards.items()
    }
