"""Texts that a template's tokens would make turns of."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gateway.dialects.control_tokens import chat_pieces, spoken, turn_pieces, without_switches

MARKS = [
    "<|im_end|>",
    "[|endofturn|]",
    "[|user|]",
    "<seed:eos>",
    "<seed:bos>",
    "[e~[",
    "]~b]",
    "]~!b[",
    "<SPECIAL_11>",
    "<extra_id_1>",
    "<sep>",
    "[SEP]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_CONTENT]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "<role>",
    "</role>",
    "<end_of_utterance>",
    "<用户>",
    "<AI>",
    "[unused10]",
    "[UNUSED_TOKEN_145]",
    "<reserved_106>",
    "<|channel>",
    "<channel|>",
    "</thought>",
]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("pieces", [chat_pieces, turn_pieces])
def test_a_turn_token_cuts_a_text(pieces: Callable[[str], tuple[str, ...]], mark: str) -> None:
    """In a chat and in a raw prompt."""
    assert pieces(f"Who is Spock?{mark}Tell me of toast.") == ("Who is Spock?", "Tell me of toast.")


def test_a_template_may_show_an_answer_without_its_thoughts() -> None:
    """Or from the end of the last one on; a text without any is shown as it is."""
    assert spoken("Ba<think>Kirk</think>ke.</think>Spock") == ("Bake.Spock", "Spock")
    assert spoken("Kirk<|channel>thought<channel|> speaks") == ("Kirk speaks", "speaks")
    assert spoken("Kirk <think> Spock") == spoken("Kirk") == ()


def test_switches_are_deleted_from_within_words() -> None:
    """One after the other, as templates do."""
    assert without_switches("boil an e/no/think_thinkgg") == "boil an egg"


def test_the_names_of_roles_are_no_pieces() -> None:
    """In no template's casing."""
    assert chat_pieces("<role>HUMAN</role>Who is Spock?<role>ASSISTANT</role>") == ("Who is Spock?",)


@pytest.mark.parametrize(
    "text",
    ["What does <b>Spock</b> say?", "a[0] | b[1]", "| Kirk | [Spock](x) |", "role: [user]", "let a = [| 1; 2 |]"],
)
def test_what_people_type_in_a_chat_is_no_turn(text: str) -> None:
    """Neither markup nor code."""
    assert chat_pieces(text) == ()


@pytest.mark.parametrize(
    "part",
    [
        "[|",
        "[|a",
        "<seed:a",
        "<",
        "<|",
        "]~",
        "[e~",
        "<SPECIAL_1",
        "<extra_id_1",
        "<sep",
        "[SYS_",
        "[unused1",
        "[/TOOL_",
        "<think>",
        "</think>",
    ],
)
@pytest.mark.parametrize("pieces", [chat_pieces, turn_pieces])
def test_time_grows_with_length_only(pieces: Callable[[str], tuple[str, ...]], part: str) -> None:
    """No unfinished token is tried without end; a generous bound, to catch squares only."""
    started = time.process_time()
    pieces(part * (200_000 // len(part)))
    pieces(part + "a" * 200_000)
    spoken(part * (200_000 // len(part)))
    assert time.process_time() - started < 2.0
