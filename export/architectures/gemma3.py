"""Gemma 3, text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from gguf import MODEL_ARCH

from export.architectures.base import Architecture
from export.architectures.decoder import (
    decoder_hyperparameters,
    decoder_tensors,
    head_values,
    require,
    rope_parameters,
)
from export.checkpoint import Tensor
from export.errors import CheckpointError
from guard.prompt import PromptTemplate

FULL_ATTENTION_EVERY: Final = 6
SLIDING_ROPE_THETA: Final = 10000.0
"""Both are fixed in llama.cpp's loader for Gemma 3, not read from the file."""

_NORMS: Final = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)


def convert_values(name: str, tensor: Tensor) -> Tensor:
    """Norm weights are stored as their distance from one by Hugging Face, whole by GGUF."""
    return tensor + np.float32(1.0) if name.endswith("norm.weight") else tensor


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """See :attr:`Architecture.hyperparameters`."""
    require(
        config,
        hidden_activation=["gelu_pytorch_tanh"],
        attn_logit_softcapping=[None],
        final_logit_softcapping=[None],
        use_bidirectional_attention=[False, None],
    )
    _check_attention(config)
    values = decoder_hyperparameters(config)
    return values | {"attention.sliding_window": int(config["sliding_window"])}


def tensors(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """See :attr:`Architecture.tensors`."""
    return decoder_tensors(config, _NORMS, head_norms=True)


def _check_attention(config: Mapping[str, Any]) -> None:
    layers = int(config["num_hidden_layers"])
    # llama.cpp scales queries by the head's size, but for the 62 layers of the 27B model by the model's width.
    scale = int(config["hidden_size"]) // int(config["num_attention_heads"]) if layers == 62 else head_values(config)
    require(config, query_pre_attn_scalar=[scale])
    wanted = [
        "sliding_attention" if (index + 1) % FULL_ATTENTION_EVERY else "full_attention" for index in range(layers)
    ]
    if config.get("layer_types", wanted) != wanted:
        raise CheckpointError(
            f"the configuration's 'layer_types' are {config['layer_types']}, "
            f"wanted full attention in every {FULL_ATTENTION_EVERY}th layer"
        )
    sliding = rope_parameters(config, "sliding_attention").get("rope_theta", SLIDING_ROPE_THETA)
    local = config.get("rope_local_base_freq", sliding)
    if float(local) != SLIDING_ROPE_THETA:
        raise CheckpointError(f"sliding attention with rotary base {local}, wanted {SLIDING_ROPE_THETA}")


ARCHITECTURE: Final = Architecture(
    gguf_name="gemma3",
    model_types=("gemma3_text", "gemma3"),
    model_arch=MODEL_ARCH.GEMMA3,
    template=PromptTemplate(prefix="<bos>", turn="<start_of_turn>", suffix="<end_of_turn>"),
    pre_tokenizers=("default",),
    hyperparameters=hyperparameters,
    tensors=tensors,
    convert_values=convert_values,
)
