"""Train with weights rounded as the served guard's will be.

What quantising does to a merged weight is added to its frozen part while it is trained: the forward pass is that of
the quantised guard, and gradients pass to the adapter as if there were no rounding (a straight-through estimator,
Bengio et al. 2013, arXiv 1308.3432). Layers that are not adapted come rounded already (``export/rounding.py``).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from peft.tuners.lora import Linear
from transformers import TrainerCallback
from typing_extensions import override

BLOCK: Final = 32
"""Weights of a row that share a scale, of ggml's ``block_q4_0``."""

REFRESH_STEPS: Final = 16
"""The adapter moves little in so many steps, and rounding all its weights takes half as long as one."""


def round_q4_0(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` as ggml's Q4_0 leaves it (``quantize_row_q4_0_ref`` of ggml-quants.c), float32.

    Args:
        weight: shape (rows, columns); columns are a multiple of 32.

    Raises:
        ValueError: if they are not.
    """
    if weight.shape[-1] % BLOCK:
        raise ValueError(f"rows of {weight.shape[-1]} weights, wanted a multiple of {BLOCK}")
    blocks = weight.detach().float().reshape(-1, BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    scale = largest / -8
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    # The scale is stored as a half float, but the weights are counted with the whole one.
    steps = (blocks * inverse + 8.5).floor_().clamp_(0, 15).sub_(8)
    return steps.mul_(scale.half().float()).reshape(weight.shape)


class RoundedWeights(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Keeps ``frozen weight + adapter`` at what Q4_0 will make of it.

    Args:
        model: a PEFT model with LoRA on linear layers.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - PEFT is untyped
        self._layers = [module for module in model.modules() if isinstance(module, Linear)]
        self._plain = [layer.base_layer.weight.detach().clone() for layer in self._layers]

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A resumed run begins between two roundings."""
        self.refresh()

    @override
    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Round anew every few steps."""
        if state.global_step % REFRESH_STEPS == 0:
            self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Round for the adapter as it is now."""
        for layer, plain in zip(self._layers, self._plain, strict=True):
            delta = layer.get_delta_weight("default").float()
            # The Trainer may have moved the model to an accelerator since.
            layer.base_layer.weight.copy_(round_q4_0(plain.to(delta) + delta) - delta)

    @torch.no_grad()
    def undo(self) -> None:
        """Give the frozen weights back as they were."""
        for layer, plain in zip(self._layers, self._plain, strict=True):
            layer.base_layer.weight.copy_(plain)
