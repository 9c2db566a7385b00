"""Qwen3, the family of the published predecessor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters, decoder_tensors, require
from guard.prompt import PromptTemplate


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """See :attr:`Architecture.hyperparameters`."""
    require(config, hidden_act=["silu"], use_sliding_window=[False])
    return decoder_hyperparameters(config)


def tensors(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """See :attr:`Architecture.tensors`."""
    return decoder_tensors(config, head_norms=True)


ARCHITECTURE: Final = Architecture(
    gguf_name="qwen3",
    model_types=("qwen3",),
    model_arch=MODEL_ARCH.QWEN3,
    template=PromptTemplate(prefix="<|im_start|>", turn="<|im_start|>", suffix="<|im_end|>"),
    pre_tokenizers=("qwen2", "gpt-2", "default"),
    hyperparameters=hyperparameters,
    tensors=tensors,
)
