"""Qwen3, the family of the published predecessor."""

from __future__ import annotations

from typing import Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters
from guard.prompt import PromptTemplate

ARCHITECTURE: Final = Architecture(
    gguf_name="qwen3",
    model_types=("qwen3",),
    model_arch=MODEL_ARCH.QWEN3,
    template=PromptTemplate(prefix="<|im_start|>", turn="<|im_start|>", suffix="<|im_end|>"),
    pre_tokenizers=("qwen2", "gpt-2", "default"),
    hyperparameters=decoder_hyperparameters,
)
