"""Rows as token ids, exactly as the engines will read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guard.labels import Labels
from guard.prompt import PromptTemplate, Turn, prompt_texts
from train.errors import RunError
from train.rows import Row


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the prompt's marks.

    Attributes:
        tokenizer: a Hugging Face tokenizer.
        template: the marks; each must be one token.
    """

    tokenizer: Any
    template: PromptTemplate

    def __post_init__(self) -> None:
        for mark in (self.template.prefix, self.template.turn, self.template.suffix):
            if self.mark_id(mark) in (None, self.tokenizer.unk_token_id):
                raise RunError(f"the prompt's mark {mark!r} is not one token of this tokenizer")

    def mark_id(self, mark: str) -> int:
        """The id of a mark."""
        token_id: int = self.tokenizer.convert_tokens_to_ids(mark)
        return token_id

    def prompts(self, turns: Sequence[Turn]) -> list[list[int]]:
        """Token ids of each prompt that judges the last turn, one a window."""
        return [self.ids(texts) for texts in prompt_texts(turns)]

    def ids(self, texts: Sequence[str]) -> list[int]:
        """Token ids of the prompt for normalised ``texts``, the judged one last."""
        ids = [self.mark_id(self.template.prefix)]
        for place, text in enumerate(texts):
            if place:
                ids.append(self.mark_id(self.template.turn))
            ids += self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return [*ids, self.mark_id(self.template.suffix)]


@dataclass(frozen=True, slots=True)
class Examples:
    """Training examples.

    Attributes:
        rows: ``{"input_ids", "labels", "length"}`` each, as the Trainer takes them.
        cut: how many were longer than the limit, and lack their oldest turns, or those and their end.
        left_out: off-topic rows of several windows, or whose judged text alone is longer than the limit: which part is
            off topic is not known.
    """

    rows: list[dict[str, Any]]
    cut: int
    left_out: int


def training_examples(rows: Sequence[Row], encoder: Encoder, labels: Labels, max_length_tokens: int) -> Examples:
    """One example a row; of a long on-topic row, one a window."""
    examples: list[dict[str, Any]] = []
    cut = left_out = 0
    for row in rows:
        prompts = [_without_oldest(texts, encoder, max_length_tokens) for texts in prompt_texts(row.turns)]
        class_id = labels.class_id(row.label)
        # The off-topic part may be what would be cut off.
        if class_id == 0 and (len(prompts) > 1 or len(prompts[0][0]) > max_length_tokens):
            left_out += 1
            continue
        for ids, shortened in prompts:
            cut += shortened or len(ids) > max_length_tokens
            # The suffix carries the verdict: what is cut lies before it.
            kept = ids if len(ids) <= max_length_tokens else [*ids[: max_length_tokens - 1], ids[-1]]
            examples.append({"input_ids": kept, "labels": class_id, "length": len(kept)})
    return Examples(examples, cut, left_out)


def _without_oldest(texts: Sequence[str], encoder: Encoder, max_length_tokens: int) -> tuple[list[int], bool]:
    """Token ids of a prompt that lacks as many of the oldest turns as have to go, and whether it lacks any.

    The judged text stays whole, so that they may still be too many.
    """
    ids = encoder.ids(texts)
    kept = texts
    while len(ids) > max_length_tokens and len(kept) > 1:
        # A user's and the assistant's together: the place of a turn says who spoke.
        kept = kept[2:]
        ids = encoder.ids(kept)
    return ids, len(kept) < len(texts)
