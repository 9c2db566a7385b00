"""Ask a model about rows, whatever holds the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from guard.calibration import LabelLogits
from guard.prompt import PromptTemplate, render_prompts
from train.encode import Encoder
from train.errors import RunError
from train.hidden import compute
from train.rows import Row


class Scorer(Protocol):
    """Asks a model about rows."""

    def __call__(self, rows: Sequence[Row]) -> list[list[LabelLogits]]:
        """The logits of each window of each row, in their order; at least one window a row."""


def classifier_scorer(model: Any, encoder: Encoder) -> Scorer:  # noqa: ANN401 - transformers is untyped
    """Scores from a sequence classifier, PEFT or merged, as it stands in this process."""

    def score(rows: Sequence[Row]) -> list[list[LabelLogits]]:
        outputs = compute(model, encoder, rows)
        windows: list[list[LabelLogits]] = [[] for _ in rows]
        for place, (off, on) in zip(outputs.row_of_prompt, outputs.logits, strict=True):
            windows[place].append(LabelLogits(float(off), float(on)))
        return windows

    return score


def prompt_scorer(template: PromptTemplate, ask: Callable[[Sequence[str]], Sequence[LabelLogits]]) -> Scorer:
    """Scores from whatever answers rendered prompts, such as an engine with the exported GGUF.

    Args:
        template: the prompt's marks of that model.
        ask: the logits of each prompt, in their order.
    """

    def score(rows: Sequence[Row]) -> list[list[LabelLogits]]:
        rendered = [render_prompts(row.turns, template) for row in rows]
        answers = list(ask([prompt for prompts in rendered for prompt in prompts]))
        if len(answers) != sum(map(len, rendered)):
            raise RunError(f"{len(answers)} answers to {sum(map(len, rendered))} prompts, wanted one each")
        each = iter(answers)
        return [[next(each) for _ in prompts] for prompts in rendered]

    return score


def least_difference(windows: Sequence[LabelLogits]) -> float:
    """On-topic less off-topic logit, in nats, of the window that decides: the least on-topic one.

    NaN where a window has no finite logits, as :func:`guard.verdict.judge` has it; it holds for every temperature,
    since dividing by one does not change which is the least.

    Raises:
        ValueError: if there is no window.
    """
    differences = [window.on_topic - window.off_topic for window in windows]
    return min(differences) if all(map(math.isfinite, differences)) else math.nan
