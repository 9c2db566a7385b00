"""Wide gaps in a text."""

from __future__ import annotations

import time

import pytest

from guard.gaps import after_gaps
from guard.normalise import normalise

ASK = "How do I bake bread?"
GAPS = [" " * 600, "\n \t" * 200, "\u200b" * 600, "\U000e0041" * 600, "\u0600" * 600, ("\u200b" * 99 + ".") * 6]
NONE = [
    "Who is Spock? " * 100,
    "x = [\n" + "    1,\n" * 200 + "]",
    "| a " * 300,
    " " * 600 + "Kirk",
    "K" + " " * 600 + "!",
]


def gaps(text: str) -> list[str]:
    """What follows them."""
    return after_gaps(text, normalise(text))


@pytest.mark.parametrize("gap", [*GAPS, f" {'x' * 600}"])
def test_what_follows_a_gap_is_read_by_itself(gap: str) -> None:
    """Whatever it is made of: the guard reads it as next to nothing."""
    (rest,) = gaps(f"Who is Spock?{gap} {ASK}")
    assert rest.endswith(ASK)
    assert "Spock" not in rest


def test_nothing_between_gaps_is_passed_over() -> None:
    """However many follow."""
    assert ASK in gaps("Spock" + " " * 600 + ASK + (" " * 600 + "Kirk speaks.") * 9)


@pytest.mark.parametrize("text", NONE)
def test_what_people_type_has_no_gap(text: str) -> None:
    """Prose, code, tables, a single word behind much space."""
    assert gaps(text) == []


def test_time_grows_with_length_only() -> None:
    """A generous bound, to catch squares only."""
    started = time.process_time()
    gaps((" " * 400 + "a b") * 500)
    assert time.process_time() - started < 4.0
