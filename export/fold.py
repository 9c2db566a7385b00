"""Fold a two-row classification head into the language-model head, so that one greedy token is the label.

llama.cpp and Ollama serve no sequence-classification head for these models, but every engine serves the next token.
The rows of the two label tokens become the classifier's two rows; every other row becomes their mean, which keeps
its logit at or below the larger label's, less ``DEPTH_NATS`` times the direction of the mean hidden state, which
pushes it well below both. So the softmax over the whole vocabulary is the softmax over the two labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from typing_extensions import override

from export.checkpoint import (
    EMBEDDING,
    OUTPUT,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNUSED,
    Checkpoint,
    Tensor,
    Vocabulary,
    WrappedCheckpoint,
)
from export.errors import FoldError
from guard.labels import Labels
from guard.prompt import PromptTemplate

DEPTH_NATS: Final = 40.0
"""How far below the mean of the labels' logits every other token is pushed, on the mean hidden state."""

MIN_MARGIN_NATS: Final = 12.0
"""A fold whose margin on real rows is smaller is refused: all other tokens of a 262,144-token vocabulary
together must weigh less than the lower label, exp(-12) * 262144 being about 1.6 for one that sits right on it;
in practice the lower label is far below the upper one, and the margin is some 25 nats."""

_END_MARKS: Final = ("eos", "eot", "end", "pad", "bos", "fim")


@dataclass(frozen=True)
class Head:
    """The trained classifier head.

    Attributes:
        weight: shape (2, hidden), row by class id.
        mean_hidden: shape (hidden,), the final normed hidden state's mean over a sample of rendered prompts.
    """

    weight: Tensor
    mean_hidden: Tensor

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.weight.shape[0] != 2:
            raise FoldError(f"a head of shape {self.weight.shape}, wanted (2, hidden): one row per label")
        if self.mean_hidden.shape != self.weight.shape[1:]:
            raise FoldError(f"mean hidden state of shape {self.mean_hidden.shape}, wanted {self.weight.shape[1:]}")
        if not np.isfinite(self.weight).all() or not np.isfinite(self.mean_hidden).all():
            raise FoldError("the head has values that are not numbers")
        if not self.mean_hidden.any():
            raise FoldError("the mean hidden state is zero: it was not measured")

    @property
    def other_row(self) -> Tensor:
        """The row of every token that is no label, shape (hidden,)."""
        mean = self.weight.mean(axis=0)
        return np.asarray(mean - DEPTH_NATS * self.mean_hidden / (self.mean_hidden @ self.mean_hidden), np.float32)

    def margins(self, hidden: Tensor) -> Tensor:
        """How far every other token's logit is below the lower label's, in nats, for hidden states (rows, hidden)."""
        labels = hidden @ self.weight.T
        return np.asarray(labels.min(axis=1) - hidden @ self.other_row, dtype=np.float32)


class Folded(WrappedCheckpoint):
    """A model whose output rows are a classifier's, untied from the embedding.

    Args:
        base: the model with its adapter merged.
        head: the classifier head.
        labels: their names, each of which becomes one token.
        template: the prompt's marks, which must be single control tokens.

    Raises:
        FoldError: if the head does not fit the model, or a label can't be one token of its own.
    """

    def __init__(self, base: Checkpoint, head: Head, labels: Labels, template: PromptTemplate) -> None:
        super().__init__(base)
        width = base.shapes()[EMBEDDING][1]
        if head.weight.shape[1] != width:
            raise FoldError(f"a head for hidden states of {head.weight.shape[1]} values, the model's have {width}")
        self._head = head
        self._vocabulary, self.label_ids = place_labels(base.vocabulary, labels, template)

    @property
    @override
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    @property
    def base_vocabulary(self) -> Vocabulary:
        """The vocabulary before the labels got their tokens."""
        return self._base.vocabulary

    @override
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        shapes = dict(self._base.shapes())
        return {**shapes, OUTPUT: shapes[EMBEDDING]}

    @override
    def load(self, name: str) -> Tensor:
        if name != OUTPUT:
            return self._base.load(name)
        rows = np.broadcast_to(self._head.other_row, self.shapes()[OUTPUT]).copy()
        rows[list(self.label_ids)] = self._head.weight
        return rows


def place_labels(
    vocabulary: Vocabulary, labels: Labels, template: PromptTemplate
) -> tuple[Vocabulary, tuple[int, int]]:
    """Give each label one printable token, and forbid a start token that nobody asked for.

    A label whose text is a token already keeps it: a second entry of the same text would collide. Another takes
    an entry that no text reaches, renamed.

    Returns:
        The vocabulary and the label tokens' ids by class id.

    Raises:
        FoldError: if there is no free entry, or user text could reach a renamed one.
    """
    for mark in (template.prefix, template.turn, template.suffix):
        if mark not in vocabulary.tokens:
            raise FoldError(f"the prompt's mark {mark!r} is not one token of this vocabulary")
    tokens, types = list(vocabulary.tokens), list(vocabulary.types)
    scores = None if vocabulary.scores is None else list(vocabulary.scores)
    spare = iter(_spare_ids(vocabulary, template))
    ids = []
    for label in labels.ordered:
        if label in tokens and types[tokens.index(label)] == TOKEN_TYPE_NORMAL:
            ids.append(tokens.index(label))
            continue
        _refuse_reachable(label, vocabulary)
        token_id = next(spare, None)
        if token_id is None:
            raise FoldError(f"the vocabulary has no unused token that could become {label!r}")
        tokens[token_id], types[token_id] = label, TOKEN_TYPE_NORMAL
        if scores is not None:
            scores[token_id] = float(min(scores)) - 1.0
        ids.append(token_id)
    # The template writes its own start token, so that every engine reads the same ids.
    flags = {**vocabulary.flags, "add_bos_token": False, "add_eos_token": False}
    changed = replace(vocabulary, tokens=tokens, types=types, scores=scores, flags=flags)
    return changed, (ids[0], ids[1])


def _spare_ids(vocabulary: Vocabulary, template: PromptTemplate) -> list[int]:
    """Entries that neither text nor template reaches: unused ones first, then control tokens without a role."""
    taken = set(vocabulary.special_ids.values())
    marks = {template.prefix, template.turn, template.suffix}

    def free(token_id: int, kind: int) -> bool:
        text = vocabulary.tokens[token_id]
        # llama.cpp finds end-of-generation tokens by their text; those keep theirs. Unused ones may be called [PAD7].
        role = kind == TOKEN_TYPE_CONTROL and any(mark in text.lower() for mark in _END_MARKS)
        return vocabulary.types[token_id] == kind and token_id not in taken and text not in marks and not role

    return [
        i for kind in (TOKEN_TYPE_UNUSED, TOKEN_TYPE_CONTROL) for i in range(len(vocabulary.tokens)) if free(i, kind)
    ]


def _refuse_reachable(label: str, vocabulary: Vocabulary) -> None:
    """SentencePiece merges any two neighbours whose texts together are an entry: none may make the label."""
    if vocabulary.merges is not None:
        return
    entries = set(vocabulary.tokens)

    def occurs(part: str) -> bool:
        # A single character is a piece even where it is no entry, until it falls apart into bytes at the end.
        return part in entries or len(part) == 1

    for cut in range(1, len(label)):
        if occurs(label[:cut]) and occurs(label[cut:]):
            raise FoldError(
                f"the tokens {label[:cut]!r} and {label[cut:]!r} would merge into the label {label!r}, which is "
                "not one token; if it is one in the whole base, choose a keep-list with it (train vocabulary), "
                "otherwise give the label another name, such as 'on_topic' beside 'off_topic'"
            )


def margin_summary(head: Head, hidden: Tensor) -> dict[str, Any]:
    """Least and mean margin over hidden states (rows, hidden), in nats.

    Raises:
        FoldError: if the least one is below :data:`MIN_MARGIN_NATS`.
    """
    margins = head.margins(hidden)
    least = float(margins.min())
    if least < MIN_MARGIN_NATS:
        raise FoldError(
            f"on {len(margins)} rows another token comes within {least:.1f} nats of a label, "
            f"wanted at least {MIN_MARGIN_NATS}"
        )
    return {"rows": len(margins), "least_nats": least, "mean_nats": float(margins.mean())}
