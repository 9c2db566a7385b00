"""An authored corpus is read as its README describes, and a bad line is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guard.labels import DEFAULT_LABELS
from guard.prompt import Role
from train.corpus import Corpus, read_corpus
from train.errors import DataError


@pytest.fixture
def copy(topic: Path, tmp_path: Path) -> Path:
    """A copy of the tiny topic that a test may spoil."""
    return Path(shutil.copytree(topic, tmp_path / "topic"))


def test_prompts_know_label_slice_and_line(corpus: Corpus) -> None:
    """The folder is the label, the file the slice; comments don't count as prompts, but as lines."""
    first = corpus.prompts[0]
    assert (first.text, first.kind, first.on_topic, first.line) == (
        "how do I stop my hive from swarming in May", "keeping", True, 2
    )  # fmt: skip


def test_an_escaped_line_break_is_one(corpus: Corpus) -> None:
    """Long prompts have paragraphs."""
    assert any("June.\nThen" in piece.text for piece in corpus.prompts)


def test_a_byte_order_mark_is_passed_over(copy: Path, corpus: Corpus) -> None:
    """As editors of Windows write it; the first line would begin with a sign that no mark has."""
    for path in copy.rglob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_corpus(copy, DEFAULT_LABELS) == corpus


def test_a_block_of_twins_shares_its_origin(corpus: Corpus) -> None:
    """So they are never split."""
    first, second = corpus.twins[:2]
    assert first.origin == second.origin
    assert (first.on_topic, second.on_topic) == (True, False)


def test_dialogues_have_a_label_for_each_user_turn(corpus: Corpus) -> None:
    """And none for the assistant's."""
    dialogue = corpus.dialogues[0]
    assert [turn.role for turn in dialogue.turns] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert dialogue.on_topic == (True, None, True)


def test_brackets_are_no_part_of_a_name(corpus: Corpus) -> None:
    """They tell two of one name apart in the list."""
    assert {(name.text, name.on_topic) for name in corpus.names if name.text == "Queen"} == {
        ("Queen", True),
        ("Queen", False),
    }


def test_a_frame_may_be_of_one_label(corpus: Corpus) -> None:
    """Its mark is no part of it."""
    assert {(frame.text, frame.on_topic) for frame in corpus.frames if frame.on_topic is not None} == {
        ("{name} in the bee yard", True),
        ("{name} price", False),
    }


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        ("twins/bad.txt", "* neither", "begins with '*', wanted '+ ' or '- '"),
        ("twins/bad.txt", "+", "begins with '+', wanted '+ ' or '- ' and a prompt"),
        ("dialogues/bad.txt", "B: who is this", "begins with 'B:', wanted 'U+ ', 'U- ' or 'A: '"),
        ("knowledge/bad.tsv", "a name alone", "has 1 fields, wanted name, kind and series or sense"),
    ],
)
def test_a_bad_line_is_named(copy: Path, file: str, line: str, problem: str) -> None:
    """With its file and number, comments counted."""
    (copy / file).write_text(f"# comment\n{line}\n", "utf-8")
    with pytest.raises(DataError) as error:
        read_corpus(copy, DEFAULT_LABELS)
    assert str(error.value).startswith(f"{copy / file}, line 2: {problem}")


def test_a_folder_without_prompts_is_refused(tmp_path: Path) -> None:
    """A mistyped topic would otherwise train on nothing."""
    with pytest.raises(DataError, match="has no prompts/related and prompts/not_related"):
        read_corpus(tmp_path, DEFAULT_LABELS)
