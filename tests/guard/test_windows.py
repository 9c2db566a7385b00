"""Long texts in overlapping windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.windows import clip_utf8, split_windows

WINDOW, OVERLAP = 40, 12
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400)


@given(TEXTS)
def test_the_union_of_the_windows_is_the_text(text: str) -> None:
    """Each begins at or before the end of the one before; nothing is skipped."""
    data, end = text.encode(), 0
    for window in split_windows(text, WINDOW, OVERLAP):
        part = window.encode()
        start = data.find(part, max(0, end - 2 * OVERLAP))
        assert 0 <= start <= end
        end = start + len(part)
    assert end == len(data)


@given(TEXTS)
def test_no_window_is_longer_than_asked(text: str) -> None:
    """In bytes, which bound tokens."""
    assert all(len(window.encode()) <= WINDOW for window in split_windows(text, WINDOW, OVERLAP))


@given(st.integers(min_value=0, max_value=150))
def test_any_short_phrase_lies_whole_in_a_window(position: int) -> None:
    """Cutting does not hide a phrase shorter than half the overlap."""
    text = "x" * position + "SECRET" + "y" * (150 - position)
    assert any("SECRET" in window for window in split_windows(text, WINDOW, OVERLAP))


def test_windows_begin_and_end_between_words() -> None:
    """Where there are words."""
    text = " ".join(["word"] * 40)
    assert all(set(window.split()) == {"word"} for window in split_windows(text, WINDOW, OVERLAP))


@given(st.integers(min_value=1, max_value=2000))
def test_the_number_of_windows_grows_linearly(length: int) -> None:
    """No text makes a window a byte."""
    count = len(split_windows("ä" * length, WINDOW, OVERLAP))
    assert count <= 2 * length / (WINDOW - 2 * OVERLAP) + 1


def test_a_short_text_is_one_window() -> None:
    """Even an empty one, which is judged too."""
    assert split_windows("", WINDOW, OVERLAP) == [""]
    assert split_windows("x" * WINDOW, WINDOW, OVERLAP) == ["x" * WINDOW]


def test_an_overlap_of_half_a_window_is_refused() -> None:
    """Windows would not move on."""
    with pytest.raises(ValueError, match="less than half the window"):
        split_windows("x", 10, 5)


@given(TEXTS, st.integers(min_value=0, max_value=50))
def test_clipping_gives_the_longest_prefix_that_fits(text: str, limit: int) -> None:
    """One more character would be too many bytes."""
    clipped = clip_utf8(text, limit)
    assert text.startswith(clipped)
    assert len(clipped.encode()) <= limit
    assert len(text[: len(clipped) + 1].encode()) > limit or clipped == text
