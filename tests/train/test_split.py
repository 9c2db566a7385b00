"""A user's rows are split by group, or by the shape of their text."""

from __future__ import annotations

from train.generate import Side
from train.rows import prompt_row
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


def test_the_split_depends_on_the_seed_alone() -> None:
    """Not on the order of the rows."""
    rows = [prompt_row(f"{'x' * n} text", "related") for n in range(1, 60)]
    forwards, backwards = split_rows(rows, 5, 0.2, 0.2), split_rows(rows[::-1], 5, 0.2, 0.2)
    assert {side: sorted(map(str, found)) for side, found in forwards.items()} == {
        side: sorted(map(str, found)) for side, found in backwards.items()
    }
