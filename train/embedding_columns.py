"""The columns of an adapted embedding, a token each, in the order of another keep-list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from train.errors import RunError

_COLUMNS: Final = "lora_embedding_A"
"""PEFT's factor of shape (rank, tokens); it begins as zeros."""


@dataclass(frozen=True)
class ColumnOrder:
    """What takes an adapter that was trained with one keep-list to a run with another.

    Attributes:
        before: ids of the base's tokens, in the order of the adapter's columns.
        after: ids that the run keeps, in order.
    """

    before: Sequence[int]
    after: Sequence[int]

    def apply(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The adapter's weights with a column for each token of ``after``.

        A token that the lists share keeps its column; one that is new gets zeros, as at the beginning of a run.

        Args:
            weights: PEFT's tensors by name; those of an adapter that does not adapt the embedding stay as they are.

        Raises:
            RunError: if an embedding has other than a column a token of ``before``.
        """
        return {name: self._ordered(name, tensor) if _COLUMNS in name else tensor for name, tensor in weights.items()}

    def _ordered(self, name: str, columns: Any) -> Any:  # noqa: ANN401 - tensors
        if columns.shape[1] != len(self.before):
            raise RunError(
                f"{name} has {columns.shape[1]} columns, wanted {len(self.before)}, one per token of its keep-list"
            )
        places = {token: place for place, token in enumerate(self.before)}
        shared = [(place, places[token]) for place, token in enumerate(self.after) if token in places]
        ordered = torch.zeros(columns.shape[0], len(self.after), dtype=columns.dtype)
        to, of = zip(*shared, strict=True) if shared else ((), ())
        ordered[:, list(to)] = columns[:, list(of)]
        return ordered
