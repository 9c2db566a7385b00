"""What a trained classifier computes: logits, and the final hidden states that export folds the head with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from guard.calibration import LabelLogits
from train.encode import Encoder
from train.rows import Row


@dataclass(frozen=True)
class Outputs:
    """By prompt.

    Attributes:
        logits: shape (prompts, 2), by class id.
        hidden: shape (prompts, hidden), the final normed hidden state of the last token.
        row_of_prompt: shape (prompts,), the row that each prompt judges.
    """

    logits: npt.NDArray[np.float32]
    hidden: npt.NDArray[np.float32]
    row_of_prompt: npt.NDArray[np.int64]

    def windows(self, row: int) -> list[LabelLogits]:
        """The logits of each window of a row."""
        return [LabelLogits(float(off), float(on)) for off, on in self.logits[self.row_of_prompt == row]]


def compute(model: Any, encoder: Encoder, rows: Sequence[Row], batch_prompts: int = 32) -> Outputs:  # noqa: ANN401
    """Run ``model`` (a sequence classifier, PEFT or merged) over rows, in float32 as it stands."""
    prompts = [(place, ids) for place, row in enumerate(rows) for ids in encoder.prompts(row.turns)]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i][1]))
    logits = np.zeros((len(prompts), 2), dtype=np.float32)
    hidden: npt.NDArray[np.float32] | None = None
    head = _HeadInput(model)
    with torch.inference_mode(), head:
        for chunk in _chunks(order, batch_prompts):
            ids, mask = _pad([prompts[i][1] for i in chunk], encoder.tokenizer.pad_token_id)
            result = model(input_ids=ids, attention_mask=mask).logits.float().numpy()
            last = mask.sum(dim=1) - 1
            states = head.last[torch.arange(len(chunk)), last].float().numpy()
            hidden = np.zeros((len(prompts), states.shape[1]), dtype=np.float32) if hidden is None else hidden
            logits[chunk], hidden[chunk] = result, states
    if hidden is None:
        raise ValueError("no rows to compute")
    return Outputs(logits, hidden, np.asarray([place for place, _ in prompts], dtype=np.int64))


class _HeadInput:
    """Catches what goes into the classifier head: shape (batch, tokens, hidden)."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers is untyped
        named = [module for name, module in model.named_modules() if name.endswith("score")]
        self._module = named[0]
        self.last = torch.empty(0)

    def __enter__(self) -> None:
        self._hook = self._module.register_forward_pre_hook(self._catch)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _catch(self, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.last = inputs[0]


def _chunks(order: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(order), size):
        yield list(order[start : start + size])


def _pad(prompts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for place, prompt in enumerate(prompts):
        ids[place, : len(prompt)] = torch.tensor(prompt)
        mask[place, : len(prompt)] = 1
    return ids, mask
