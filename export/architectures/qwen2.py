"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters, decoder_tensors, require
from guard.prompt import PromptTemplate

QWEN_TEMPLATE: Final = PromptTemplate(prefix="<|im_start|>", turn="<|im_start|>", suffix="<|im_end|>")


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """See :attr:`Architecture.hyperparameters`."""
    require(config, hidden_act=["silu"], use_sliding_window=[False])
    return decoder_hyperparameters(config)


def tensors(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """See :attr:`Architecture.tensors`."""
    return decoder_tensors(config, biases=True)


ARCHITECTURE: Final = Architecture(
    gguf_name="qwen2",
    model_types=("qwen2",),
    model_arch=MODEL_ARCH.QWEN2,
    template=QWEN_TEMPLATE,
    pre_tokenizers=("qwen2", "gpt-2", "default"),
    hyperparameters=hyperparameters,
    tensors=tensors,
)
