"""The hyperparameters and tensors that all our decoder families share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from export.errors import CheckpointError

PLAIN_NORMS: Final = ("input_layernorm", "post_attention_layernorm")


def decoder_hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """GGUF keys (without prefix) from a Hugging Face decoder's ``config.json``.

    Raises:
        KeyError: if the configuration lacks one.
        CheckpointError: if the rotary frequencies are scaled in a way that is not known here.
    """
    heads = int(config["num_attention_heads"])
    head_size = head_values(config)
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
        **_rope_scaling(config),
    }


def decoder_tensors(
    config: Mapping[str, Any],
    norms: Sequence[str] = PLAIN_NORMS,
    *,
    head_norms: bool = False,
    biases: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by Hugging Face name, in the order in which a GGUF holds them.

    Args:
        config: of the decoder.
        norms: a layer's norms, each of ``hidden_size`` values.
        head_norms: whether queries and keys have a norm of their own, of one head's size.
        biases: whether queries, keys and values have a bias.

    Raises:
        KeyError: if the configuration lacks a size.
    """
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads, head_size = int(config["num_attention_heads"]), head_values(config)
    query, key = heads * head_size, int(config.get("num_key_value_heads") or heads) * head_size
    matrices = {
        "self_attn.q_proj": (query, width),
        "self_attn.k_proj": (key, width),
        "self_attn.v_proj": (key, width),
        "self_attn.o_proj": (width, query),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    layer: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in matrices.items()}
    layer |= {f"{name}.weight": (width,) for name in norms}
    if head_norms:
        layer |= {f"self_attn.{name}.weight": (head_size,) for name in ("q_norm", "k_norm")}
    if biases:
        layer |= {f"self_attn.{name}_proj.bias": matrices[f"self_attn.{name}_proj"][:1] for name in ("q", "k", "v")}
    return {
        "model.embed_tokens.weight": (int(config["vocab_size"]), width),
        **{
            f"model.layers.{index}.{name}": shape
            for index in range(int(config["num_hidden_layers"]))
            for name, shape in layer.items()
        },
        "model.norm.weight": (width,),
    }


def head_values(config: Mapping[str, Any]) -> int:
    """How many values one attention head has."""
    return int(config.get("head_dim") or int(config["hidden_size"]) // int(config["num_attention_heads"]))


def require(config: Mapping[str, Any], **wanted: Sequence[object]) -> None:
    """Refuse settings that llama.cpp can't be told of and would compute otherwise; a missing one is the usual one.

    Raises:
        CheckpointError: if ``config`` has a key of ``wanted`` with a value that is none of those listed.
    """
    for key, values in wanted.items():
        if key in config and config[key] not in values:
            choices = " or ".join(map(repr, values))
            raise CheckpointError(f"the configuration's {key!r} is {config[key]!r}, wanted {choices}")


def rope_theta(config: Mapping[str, Any]) -> float:
    """The base of the rotary frequencies, which transformers moved into ``rope_parameters`` in version 5."""
    return float(rope_parameters(config).get("rope_theta") or config.get("rope_theta") or 10000.0)


def rope_parameters(config: Mapping[str, Any], kind: str = "full_attention") -> Mapping[str, Any]:
    """The rotary settings; families with two kinds of attention keep one set each."""
    parameters: Mapping[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    chosen: Mapping[str, Any] = parameters.get(kind, parameters)
    return chosen


def _rope_scaling(config: Mapping[str, Any]) -> dict[str, Any]:
    parameters = rope_parameters(config)
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    if kind == "default":
        return {}
    if kind == "linear":
        return {"rope.scaling.type": "linear", "rope.scaling.factor": float(parameters["factor"])}
    raise CheckpointError(f"rotary frequencies of type {kind!r}, wanted 'default' or 'linear'")
