"""Gemma 3, text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters
from export.checkpoint import Tensor
from guard.prompt import PromptTemplate


def convert_values(name: str, tensor: Tensor) -> Tensor:
    """Norm weights are stored as their distance from one by Hugging Face, whole by GGUF."""
    return tensor + 1.0 if name.endswith("norm.weight") else tensor


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """See :attr:`Architecture.hyperparameters`."""
    values = decoder_hyperparameters(config)
    return values | {"attention.sliding_window": int(config["sliding_window"])}


ARCHITECTURE: Final = Architecture(
    gguf_name="gemma3",
    model_types=("gemma3_text", "gemma3"),
    model_arch=MODEL_ARCH.GEMMA3,
    template=PromptTemplate(prefix="<bos>", turn="<start_of_turn>", suffix="<end_of_turn>"),
    pre_tokenizers=("default",),
    hyperparameters=hyperparameters,
    convert_values=convert_values,
)
