"""Llama and its descendants such as SmolLM2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import decoder_hyperparameters, decoder_tensors, require
from export.checkpoint import Tensor
from guard.prompt import PromptTemplate


def permute_rows(name: str, tensor: Tensor, hyperparameters: Mapping[str, Any]) -> Tensor:
    """Query and key rows from Hugging Face's half-split rotary order to GGUF's interleaved one.

    Source: ``LlamaModel.permute`` in llama.cpp's converter.
    """
    if ".attn_q." in name:
        heads = int(hyperparameters["attention.head_count"])
    elif ".attn_k." in name:
        heads = int(hyperparameters["attention.head_count_kv"])
    else:
        return tensor
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """See :attr:`Architecture.hyperparameters`."""
    require(config, hidden_act=["silu"])
    values = decoder_hyperparameters(config)
    return values | {"rope.dimension_count": values["attention.key_length"]}


ARCHITECTURE: Final = Architecture(
    gguf_name="llama",
    model_types=("llama",),
    model_arch=MODEL_ARCH.LLAMA,
    template=PromptTemplate(prefix="<|im_start|>", turn="<|im_start|>", suffix="<|im_end|>"),
    pre_tokenizers=("smollm", "llama-bpe", "gpt-2", "default"),
    hyperparameters=hyperparameters,
    tensors=decoder_tensors,
    permute_rows=permute_rows,
)
