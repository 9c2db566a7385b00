"""Every window of every row is asked about, and the least on-topic one decides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from guard.calibration import LabelLogits
from guard.labels import DEFAULT_LABELS
from guard.prompt import PromptTemplate
from train.encode import Encoder
from train.errors import RunError
from train.model import Base, pad_token_id
from train.rows import prompt_row
from train.scoring import classifier_scorer, least_difference, prompt_scorer

TEMPLATE = PromptTemplate(prefix="<s>", turn="<t>", suffix="</s>")
ROWS = [prompt_row("bees", "related"), prompt_row("a word. " * 300, "related"), prompt_row("tax", "not_related")]


def test_prompts_are_rendered_and_their_answers_sorted_back() -> None:
    """A long row has several."""
    asked: list[str] = []

    def ask(prompts: Sequence[str]) -> list[LabelLogits]:
        asked.extend(prompts)
        return [LabelLogits(0.0, float(number)) for number, _ in enumerate(prompts)]

    windows = prompt_scorer(TEMPLATE, ask)(ROWS)
    assert [[logits.on_topic for logits in row] for row in windows] == [[0.0], [1.0, 2.0], [3.0]]
    assert (asked[0], asked[-1]) == ("<s>bees</s>", "<s>tax</s>")


def test_an_answer_too_few_is_an_error() -> None:
    """Rows must not get each other's."""
    with pytest.raises(RunError, match="1 answers to 4 prompts"):
        prompt_scorer(TEMPLATE, lambda _prompts: [LabelLogits(0.0, 1.0)])(ROWS)


def test_a_classifier_answers_each_window_alike_alone_or_in_a_batch(base: Base, encoder: Encoder) -> None:
    """Padding and sorting by length change nothing."""
    padding = pad_token_id(encoder.tokenizer, {encoder.mark_id(encoder.template.suffix)})
    model = base.load_classifier(DEFAULT_LABELS, padding, torch.float32).eval()
    scorer = classifier_scorer(model, encoder)
    together = scorer(ROWS)
    assert [len(windows) for windows in together] == [1, 2, 1]
    for row, windows in zip(ROWS, together, strict=True):
        (alone,) = scorer([row])
        assert [w.on_topic for w in alone] == pytest.approx([w.on_topic for w in windows], abs=1e-4)


def test_the_least_on_topic_window_decides() -> None:
    """And one without a number makes the whole row one without."""
    windows = [LabelLogits(0.0, 3.0), LabelLogits(2.0, 1.0)]
    assert least_difference(windows) == -1.0
    assert math.isnan(least_difference([*windows, LabelLogits(math.inf, math.inf)]))
