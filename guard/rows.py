"""A row of JSON Lines as a conversation: the one reading of ``input`` and ``messages``, to classify and to train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from guard.prompt import Role, Turn

_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": None}
"""System messages are the operator's, not the user's: they are no part of what is judged."""


class RowError(ValueError):
    """A row that is not as described; says what was given and what was wanted, without quoting its text."""


def read_turns(row: Mapping[str, Any]) -> tuple[Turn, ...]:
    """The turns of a row's ``input`` or ``messages``; the last is the user's.

    A table that was exported has both columns, one of them null or empty, which is none.

    Raises:
        RowError: if the row has neither or both of them, or they are not as described.
    """
    text, messages = row.get("input"), row.get("messages")
    if text is not None and not isinstance(text, str):
        raise RowError(f"'input' is {type(text).__name__}, wanted a text")
    if messages:
        if text and text.strip():
            raise RowError("has both 'input' and 'messages', wanted one of them")
        return _conversation(messages)
    if text is None and messages == []:
        raise RowError("has an empty list of 'messages', wanted the user's as the last")
    if text is None:
        raise RowError("has neither an 'input' text nor a list of 'messages'")
    return (Turn(Role.USER, text),)


def _conversation(messages: object) -> tuple[Turn, ...]:
    if not isinstance(messages, list):
        raise RowError(f"'messages' is {type(messages).__name__}, wanted a list")
    read = (_turn(number, message) for number, message in enumerate(messages, start=1))
    turns = tuple(turn for turn in read if turn is not None)
    if not turns:
        raise RowError("has 'messages' of the system only, wanted the user's as the last")
    if turns[-1].role is not Role.USER:
        raise RowError("ends with an assistant's message, wanted the user's")
    return turns


def _turn(number: int, message: object) -> Turn | None:
    if not isinstance(message, dict):
        raise RowError(f"message {number} is {type(message).__name__}, wanted an object with 'role' and 'content'")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise RowError(f"message {number} has the role {role!r:.40}, wanted one of {', '.join(_ROLES)}")
    if not isinstance(content, str):
        raise RowError(f"message {number} has {type(content).__name__} as its 'content', wanted a text")
    speaker = _ROLES[role]
    return None if speaker is None else Turn(speaker, content)
