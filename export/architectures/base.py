"""The shape of what is known of a model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gguf import MODEL_ARCH, get_tensor_name_map

from export.checkpoint import Tensor
from export.errors import CheckpointError
from guard.prompt import PromptTemplate

# Building gguf's table takes milliseconds, and an adapter asks for hundreds of names.
_name_map = lru_cache(maxsize=8)(get_tensor_name_map)


def keep_rows(_name: str, tensor: Tensor, _hyperparameters: Mapping[str, Any]) -> Tensor:
    """Rows stay as they are."""
    return tensor


def keep_values(_name: str, tensor: Tensor) -> Tensor:
    """Values stay as they are."""
    return tensor


@dataclass(frozen=True)
class Architecture:
    """A model family.

    Attributes:
        gguf_name: ``general.architecture``.
        model_types: ``model_type`` of Hugging Face configurations.
        model_arch: gguf's own enumeration, for its table of tensor names.
        template: the control tokens that the prompt is made of.
        pre_tokenizers: names of llama.cpp pre-tokenizers to try, best guess first; the right one is proven.
        hyperparameters: from a Hugging Face configuration to GGUF keys without prefix; refuses what llama.cpp
            would silently compute otherwise.
        tensors: from a Hugging Face configuration to the shape of each tensor of the decoder, by Hugging Face name.
        permute_rows: from Hugging Face's row order to GGUF's, by GGUF name and GGUF hyperparameters; of any matrix
            with as many rows as the tensor has.
        convert_values: from Hugging Face's values to GGUF's, by GGUF name; may change the tensor in place.
    """

    gguf_name: str
    model_types: tuple[str, ...]
    model_arch: MODEL_ARCH
    template: PromptTemplate
    pre_tokenizers: tuple[str, ...]
    hyperparameters: Callable[[Mapping[str, Any]], dict[str, Any]]
    tensors: Callable[[Mapping[str, Any]], dict[str, tuple[int, ...]]]
    permute_rows: Callable[[str, Tensor, Mapping[str, Any]], Tensor] = keep_rows
    convert_values: Callable[[str, Tensor], Tensor] = keep_values

    def tensor_name(self, module: str, layers: int) -> str:
        """GGUF's name for the weight of a Hugging Face module, such as ``model.layers.0.self_attn.q_proj``.

        Raises:
            CheckpointError: if GGUF knows no such module.
        """
        name: str | None = _name_map(self.model_arch, layers).get_name(module)
        if name is None:
            raise CheckpointError(f"unknown module {module!r} for architecture {self.gguf_name!r} of {layers} layers")
        return f"{name}.weight"
