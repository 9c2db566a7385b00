"""Rows keep what they say through a file, and a bad line is named with file and number."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.labels import DEFAULT_LABELS, Labels
from guard.prompt import Role, Turn
from train.errors import DataError
from train.rows import Row, find_labels, prompt_row, read_rows, sha256_of, spread, to_json, to_predecessor_json

GOOD = '{"input": "What planet is Spock from?", "label": "related"}'


def _file(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path


_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)


@given(texts=st.lists(_TEXTS, min_size=1, max_size=3), label=st.sampled_from(DEFAULT_LABELS.ordered), slice_=_TEXTS)
def test_a_row_survives_its_json(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], label: str, slice_: str
) -> None:
    """Any text, with or without earlier turns, comes back as it was."""
    turns = [Turn(Role.USER if place % 2 == 0 else Role.ASSISTANT, text) for place, text in enumerate(texts)]
    row = Row((*turns, Turn(Role.USER, texts[-1])), label, slice_, "group", "source")
    path = _file(tmp_path_factory.mktemp("rows"), to_json(row))
    assert read_rows(path, DEFAULT_LABELS) == [row]


def test_the_predecessors_format_goes_in_and_out(tmp_path: Path) -> None:
    """A line of the predecessor is read, and written as it was."""
    (row,) = read_rows(_file(tmp_path, GOOD), DEFAULT_LABELS)
    assert row == prompt_row("What planet is Spock from?", "related")
    assert to_predecessor_json(row) == GOOD


def test_the_predecessors_format_keeps_the_judged_text(tmp_path: Path) -> None:
    """It has no place for a conversation, so the last turn alone is written."""
    row = Row((Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "hello"), Turn(Role.USER, "and Spock?")), "related")
    assert json.loads(to_predecessor_json(row)) == {"input": "and Spock?", "label": "related"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"input": "a", ', "is not JSON"),
        ("[1]", "is list, wanted an object"),
        ('{"input": "a", "label": "maybe"}', "has the label 'maybe', wanted 'not_related' or 'related'"),
        ('{"input": "a", "label": 1}', "has the label 1"),
        ('{"input": "a"}', "has the label None"),
        ('{"input": " \\n", "label": "related"}', "has an empty text"),
        ('{"input": 3, "label": "related"}', "'input' is int, wanted a text"),
        ('{"messages": [], "label": "related"}', "has an empty list of 'messages'"),
        ('{"input": "\\ud800", "label": "related"}', "has text that is not Unicode"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """The error says file, line (blank ones count) and what is wrong."""
    path = _file(tmp_path, GOOD, "", line)
    with pytest.raises(DataError) as error:
        read_rows(path, DEFAULT_LABELS)
    assert (error.value.path, error.value.line) == (path, 3)
    assert problem in str(error.value)
    assert str(error.value).startswith(f"{path}, line 3: ")


def test_a_group_that_is_null_is_none(tmp_path: Path) -> None:
    """Tables are exported so; the rows would all be one group."""
    (row,) = read_rows(_file(tmp_path, '{"input": "a", "label": "related", "group": null}'))
    assert row.group == ""


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """As editors of Windows write it."""
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"input": "a", "label": "x"}\r\n')
    assert [row.text for row in read_rows(tmp_path / "rows.jsonl")] == ["a"]


def test_a_label_of_two_words_is_an_error_of_the_file(tmp_path: Path) -> None:
    """It can't become one token."""
    path = _file(tmp_path, '{"input": "a", "label": "off topic"}', '{"input": "b", "label": "yes"}')
    with pytest.raises(DataError, match="off topic"):
        find_labels([path], "yes")


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    """A file saved in another encoding is an error of the data, with its line."""
    path = tmp_path / "latin1.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"input": "caf\xe9", "label": "related"}\n')
    with pytest.raises(DataError, match=r"latin1.jsonl, line 2: is not UTF-8"):
        read_rows(path)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    """Nothing can be learnt from it."""
    path = tmp_path / "empty.jsonl"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match="has no rows"):
        read_rows(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error is the data's, not Python's."""
    with pytest.raises(DataError, match=r"gone.jsonl: can't be read"):
        read_rows(tmp_path / "gone.jsonl")


@pytest.mark.parametrize(
    ("names", "on_topic", "wanted"),
    [
        (("related", "not_related"), None, Labels("not_related", "related")),
        (("bees", "non-bees"), None, Labels("non-bees", "bees")),
        (("yes", "no"), "yes", Labels("no", "yes")),
    ],
)
def test_labels_are_found_whatever_they_are_called(
    tmp_path: Path, names: tuple[str, str], on_topic: str | None, wanted: Labels
) -> None:
    """By negation, or by the name that is given."""
    path = _file(tmp_path, *(to_json(prompt_row("a", name)) for name in names))
    assert find_labels([path], on_topic) == wanted


@pytest.mark.parametrize(
    ("names", "problem"), [("a", "wanted exactly two"), ("abc", "wanted exactly two"), ("ab", "which of")]
)
def test_labels_that_are_open_are_refused(tmp_path: Path, names: str, problem: str) -> None:
    """One label, three, or two of which neither negates the other."""
    path = _file(tmp_path, *(to_json(prompt_row("text", name)) for name in names))
    with pytest.raises(DataError, match=problem):
        find_labels([path])


def test_a_label_with_a_typo_is_found(tmp_path: Path) -> None:
    """The rarest one, at its first line."""
    path = _file(tmp_path, *(to_json(prompt_row("a", name)) for name in ("chess", "chess", "ches", "not", "not")))
    with pytest.raises(DataError, match=r"line 3: has the label 'ches', one of 3: 'chess' \(2 rows\), 'not'"):
        find_labels([path])


def test_an_on_topic_label_that_no_row_has_is_quoted(tmp_path: Path) -> None:
    """It was named, but otherwise."""
    path = _file(tmp_path, *(to_json(prompt_row("a", name)) for name in ("chess", "other")))
    with pytest.raises(DataError, match=r"has no label 'Chess' \(on_topic\), wanted 'chess' or 'other'"):
        find_labels([path], "Chess")


@pytest.mark.parametrize("count", [5, 513, 1000, 1023, 5000])
def test_rows_are_taken_from_all_over(count: int) -> None:
    """A file that is sorted by label has one of them at its end."""
    rows = [prompt_row(str(number), "related") for number in range(count)]
    numbers = [int(row.text) for row in spread(rows, 512)]
    assert (len(numbers), numbers[0], numbers[-1]) == (min(count, 512), 0, count - 1)
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    assert max(steps) - min(steps) <= 1


def test_the_hash_covers_all_files_in_order(tmp_path: Path) -> None:
    """Swapped files are other data."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_text("a")
    second.write_text("b")
    assert sha256_of([first, second]) != sha256_of([second, first])
