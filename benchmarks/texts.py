"""Texts of the test side to ask about."""

from __future__ import annotations

from benchmarks.context import Context
from train.generate import Side
from train.rows import Row


def single_turns(context: Context) -> list[Row]:
    """Test rows of one turn, as many as wanted.

    What the gateway judges of such a row is one text, which an engine alone can be asked too.
    """
    return [row for row in context.sides[Side.TEST] if len(row.turns) == 1][: context.rows]


def distinct_texts(context: Context, count: int) -> list[str]:
    """As many texts, in their natural mix; repeated ones, if there are fewer, get a number."""
    texts = list(dict.fromkeys(row.text for row in single_turns(context)))
    return [_numbered(texts[index % len(texts)], index // len(texts)) for index in range(count)]


def _numbered(text: str, number: int) -> str:
    return f"{text} ({number})" if number else text
