"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from typing import Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters
from guard.prompt import PromptTemplate

QWEN_TEMPLATE: Final = PromptTemplate(prefix="<|im_start|>", turn="<|im_start|>", suffix="<|im_end|>")

ARCHITECTURE: Final = Architecture(
    gguf_name="qwen2",
    model_types=("qwen2",),
    model_arch=MODEL_ARCH.QWEN2,
    template=QWEN_TEMPLATE,
    pre_tokenizers=("qwen2", "gpt-2", "default"),
    hyperparameters=decoder_hyperparameters,
)
