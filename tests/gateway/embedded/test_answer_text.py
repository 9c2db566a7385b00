"""Bytes of tokens become text up to a stop text."""

from __future__ import annotations

import pytest

from gateway.embedded.answer_text import AnswerText


def said(pieces: list[bytes], *stops: str) -> list[str]:
    """What is sent after each piece and at the end."""
    text = AnswerText(stops)
    return [*(text.push(piece) for piece in pieces), text.finish()]


def test_a_character_cut_by_a_token_waits_for_its_rest() -> None:
    """Tokens end inside characters; only whole ones are sent."""
    assert said(["é".encode()[:1], "é".encode()[1:]]) == ["", "é", ""]


def test_half_a_character_at_the_end_is_replaced() -> None:
    """An answer may be cut by its length inside a character."""
    assert said(["é".encode()[:1]]) == ["", "\ufffd"]


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_stop_text_is_found_however_it_is_cut(cut: int) -> None:
    """The text before it is sent, the stop text and what follows are not."""
    whole = b"Yes. STOP no"

    assert "".join(said([whole[:cut], whole[cut:], b" more"], "STOP")) == "Yes. "


def test_what_only_began_like_a_stop_text_is_sent() -> None:
    """Held back text comes as soon as it can't become a stop text."""
    assert said([b"S", b"T", b"ay"], "STOP") == ["", "", "STay", ""]


def test_held_back_text_comes_at_the_end() -> None:
    """An answer that ends with the beginning of a stop text keeps it."""
    assert said([b"go ST"], "STOP") == ["go ", "ST"]


def test_the_first_of_several_stop_texts_ends_the_answer() -> None:
    """Whatever their order in the options."""
    assert "".join(said([b"a b c d"], "d", "b")) == "a "
