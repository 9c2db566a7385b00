"""The hyperparameters that all our decoder families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def decoder_hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """GGUF keys (without prefix) from a Hugging Face decoder's ``config.json``.

    Raises:
        KeyError: if the configuration lacks one.
    """
    heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return {
        "block_count": int(config["num_hidden_layers"]),
        "context_length": int(config["max_position_embeddings"]),
        "embedding_length": int(config["hidden_size"]),
        "feed_forward_length": int(config["intermediate_size"]),
        "attention.head_count": heads,
        "attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
        "attention.key_length": head_size,
        "attention.value_length": head_size,
        "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "rope.freq_base": rope_theta(config),
        "vocab_size": int(config["vocab_size"]),
    }


def rope_theta(config: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies, which transformers moved into ``rope_parameters`` in version 5."""
    parameters = config.get("rope_parameters") or {}
    # Families with two kinds of attention keep one set each; the full one is the model's.
    parameters = parameters.get("full_attention", parameters)
    return float(parameters.get("rope_theta") or config.get("rope_theta") or 10000.0)
