"""What export has to know of each model family, one a module; looked up by GGUF's or Hugging Face's name."""

from __future__ import annotations

from typing import Final

from export.architectures import gemma3, llama, qwen2, qwen3
from export.architectures.base import Architecture
from export.errors import CheckpointError

ARCHITECTURES: Final[tuple[Architecture, ...]] = (
    gemma3.ARCHITECTURE,
    llama.ARCHITECTURE,
    qwen2.ARCHITECTURE,
    qwen3.ARCHITECTURE,
)


def by_gguf_name(name: str) -> Architecture:
    """The architecture that GGUF calls ``name``.

    Raises:
        CheckpointError: if it is none of ours.
    """
    for architecture in ARCHITECTURES:
        if architecture.gguf_name == name:
            return architecture
    wanted = ", ".join(architecture.gguf_name for architecture in ARCHITECTURES)
    raise CheckpointError(f"unknown architecture {name!r}, wanted one of {wanted}")


def by_model_type(model_type: str) -> Architecture:
    """The architecture whose Hugging Face configuration says ``model_type``.

    Raises:
        CheckpointError: if it is none of ours.
    """
    for architecture in ARCHITECTURES:
        if model_type in architecture.model_types:
            return architecture
    wanted = ", ".join(name for architecture in ARCHITECTURES for name in architecture.model_types)
    raise CheckpointError(f"unknown model type {model_type!r}, wanted one of {wanted}")
