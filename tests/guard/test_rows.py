"""One reading of a row's ``input`` and ``messages``, whoever asks."""

from __future__ import annotations

from typing import Any

import pytest

from guard.prompt import Role, Turn
from guard.rows import RowError, read_turns

HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("empty", [None, "", " \n"])
def test_an_empty_input_beside_messages_is_none(empty: str | None) -> None:
    """As in a table of both that was exported."""
    assert read_turns({"input": empty, "messages": HI}) == (Turn(Role.USER, "hi"),)


@pytest.mark.parametrize("empty", [None, []])
def test_empty_messages_beside_an_input_are_none(empty: list[Any] | None) -> None:
    """The other rows of that table."""
    assert read_turns({"input": "hi", "messages": empty}) == (Turn(Role.USER, "hi"),)


def test_an_empty_text_by_itself_is_one() -> None:
    """It is judged like any other; training refuses it."""
    assert read_turns({"input": ""}) == (Turn(Role.USER, ""),)


def test_system_messages_are_passed_over() -> None:
    """They are the operator's, before the user's words and after them."""
    system = {"role": "system", "content": "Answer in verse."}
    assert read_turns({"messages": [system, *HI, system]}) == (Turn(Role.USER, "hi"),)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": []}, "has an empty list of 'messages', wanted the user's as the last"),
        ({}, "has neither an 'input' text nor a list of 'messages'"),
        ({"input": None}, "has neither"),
        ({"input": "secret", "messages": HI}, "has both 'input' and 'messages', wanted one of them"),
        ({"input": ["secret"]}, "'input' is list, wanted a text"),
        ({"messages": "secret"}, "'messages' is str, wanted a list"),
        ({"messages": ["secret"]}, "message 1 is str, wanted an object"),
        ({"messages": [*HI, {"role": "tool", "content": "secret"}]}, "message 2 has the role 'tool', wanted"),
        ({"messages": [{"content": "secret"}]}, "message 1 has the role None"),
        ({"messages": [{"role": "user", "content": ["secret"]}]}, "message 1 has list as its 'content', wanted a text"),
        ({"messages": [{"role": "system", "content": "secret"}]}, "of the system only"),
        ({"messages": [{"role": "assistant", "content": "secret"}]}, "ends with an assistant's message"),
    ],
)
def test_a_bad_row_is_described_without_its_text(row: dict[str, Any], problem: str) -> None:
    """What was given and what was wanted."""
    with pytest.raises(RowError, match=problem) as error:
        read_turns(row)
    assert "secret" not in str(error.value)
