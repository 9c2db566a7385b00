"""Rows become the token ids that the engines will read, marks in their places."""

from __future__ import annotations

import pytest

from guard.labels import DEFAULT_LABELS
from guard.prompt import PromptTemplate, Role, Turn, render_prompts
from train.encode import Encoder, training_examples
from train.errors import RunError
from train.rows import Row, prompt_row

LONG = "word and more of it. " * 150
"""Two windows."""


def test_a_prompt_begins_and_ends_with_its_marks(encoder: Encoder) -> None:
    """And each mark is one token."""
    (ids,) = encoder.prompts([Turn(Role.USER, "bees")])
    template = encoder.template
    assert (ids[0], ids[-1]) == (encoder.mark_id(template.prefix), encoder.mark_id(template.suffix))
    assert encoder.tokenizer.decode(ids[1:-1]) == "bees"


def test_ids_are_those_of_the_rendered_prompt(encoder: Encoder) -> None:
    """The engines tokenise the rendered text with the marks read as control tokens."""
    turns = [Turn(Role.USER, "what is wax?"), Turn(Role.ASSISTANT, "Comb."), Turn(Role.USER, "why")]
    (rendered,) = render_prompts(turns, encoder.template)
    assert encoder.prompts(turns) == [encoder.tokenizer(rendered, add_special_tokens=False)["input_ids"]]


def test_typed_marks_are_text(encoder: Encoder) -> None:
    """Nothing a user types becomes a control token."""
    template = encoder.template
    (ids,) = encoder.prompts([Turn(Role.USER, f"a{template.suffix}b{template.prefix}c")])
    marks = {encoder.mark_id(mark) for mark in (template.prefix, template.turn, template.suffix)}
    assert not marks & set(ids[1:-1])


def test_a_long_text_has_several_prompts(encoder: Encoder) -> None:
    """One a window."""
    assert len(encoder.prompts([Turn(Role.USER, LONG)])) == 2


def test_a_mark_that_is_no_token_is_refused(encoder: Encoder) -> None:
    """It would be read as text."""
    with pytest.raises(RunError, match="'<none>' is not one token"):
        Encoder(encoder.tokenizer, PromptTemplate(prefix="<none>", turn="<none>", suffix="<none>"))


def test_every_window_of_a_long_row_on_topic_is_an_example(encoder: Encoder) -> None:
    """Of an off-topic one it is not known which window is off topic: it is left out, and counted."""
    rows = [prompt_row(LONG, "related"), prompt_row(LONG, "not_related"), prompt_row("wax", "not_related")]
    examples = training_examples(rows, encoder, DEFAULT_LABELS, 10_000)
    assert [example["labels"] for example in examples.rows] == [1, 1, 0]
    assert (examples.left_out, examples.cut) == (1, 0)


TALK = (
    Turn(Role.USER, "oldest"),
    Turn(Role.ASSISTANT, "old"),
    Turn(Role.USER, "newer"),
    Turn(Role.ASSISTANT, "new"),
    Turn(Role.USER, "how far does a forager fly"),
)


@pytest.mark.parametrize("label", ["related", "not_related"])
def test_the_oldest_turns_go_first(encoder: Encoder, label: str) -> None:
    """In pairs, so that the places of the others still say who spoke; the judged text stays whole."""
    (whole,), (without,) = encoder.prompts(TALK), encoder.prompts(TALK[2:])
    examples = training_examples([Row(TALK, label)], encoder, DEFAULT_LABELS, len(whole) - 1)
    assert [example["input_ids"] for example in examples.rows] == [without]
    assert (examples.cut, examples.left_out) == (1, 0)


def test_an_off_topic_row_is_never_cut(encoder: Encoder) -> None:
    """What is off topic may stand at its end: it is left out, and counted."""
    (ask,) = encoder.prompts(TALK[-1:])
    rows = [Row(TALK, "not_related"), Row(TALK[-1:], "not_related")]
    examples = training_examples(rows, encoder, DEFAULT_LABELS, len(ask) - 1)
    assert examples.rows == []
    assert (examples.cut, examples.left_out) == (0, 2)


def test_an_on_topic_row_is_cut_when_its_turns_are_gone(encoder: Encoder) -> None:
    """And counts once."""
    (ask,) = encoder.prompts(TALK[-1:])
    examples = training_examples([Row(TALK, "related")], encoder, DEFAULT_LABELS, len(ask) - 1)
    assert [example["input_ids"] for example in examples.rows] == [[*ask[:-2], ask[-1]]]
    assert (examples.cut, examples.left_out) == (1, 0)


def test_a_cut_example_keeps_its_suffix(encoder: Encoder) -> None:
    """The suffix carries the verdict."""
    row = Row((Turn(Role.USER, "how far does a forager fly for lime blossom in a dry summer"),), "related")
    (example,) = (examples := training_examples([row], encoder, DEFAULT_LABELS, 8)).rows
    assert (len(example["input_ids"]), example["length"], examples.cut) == (8, 8, 1)
    assert example["input_ids"][-1] == encoder.mark_id(encoder.template.suffix)
