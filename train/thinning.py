"""Rows of a batch with some of their tokens left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from transformers import DataCollatorWithPadding

MIN_TOKENS: Final = 8
"""Of shorter rows every token counts: left out, the word that decides would leave a wrong label."""

ROW_SHARE: Final = 0.5
"""Of the rows of a batch that lose tokens; the others are read as they will be served."""


class ThinningCollator:
    """Pads rows to a batch, after leaving tokens out of some.

    It is the word dropout of Iyyer et al. 2015 ("Deep Unordered Composition Rivals Syntactic Methods", section 3.2).

    Args:
        padding: pads rows of ``input_ids``, ``attention_mask`` and ``labels``.
        share: of a row's tokens that is left out, 0 to 1.
        marks: tokens that are always kept, the prompt's own.
    """

    def __init__(self, padding: DataCollatorWithPadding, share: float, marks: Collection[int]) -> None:
        self._padding = padding
        self._share = share
        self._marks = frozenset(marks)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - transformers is untyped
        """A batch of tensors, shape (rows, longest)."""
        # torch's generator is seeded by the run and kept in its checkpoints.
        chosen = torch.rand(len(rows)).tolist()
        return self._padding([self._thin(r) if c < ROW_SHARE else dict(r) for r, c in zip(rows, chosen, strict=True)])

    def _thin(self, row: Mapping[str, Any]) -> dict[str, Any]:
        ids = row["input_ids"]
        if len(ids) < MIN_TOKENS:
            return dict(row)
        chances = torch.rand(len(ids)).tolist()
        kept = [i for i, chance in enumerate(chances) if chance >= self._share or ids[i] in self._marks]
        thinned = {name: [row[name][i] for i in kept] for name in ("input_ids", "attention_mask") if name in row}
        return {**row, **thinned}
