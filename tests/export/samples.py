"""Small models without the training libraries: configurations, folders, vocabularies, checkpoints in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from export.checkpoint import (
    TOKEN_TYPE_BYTE,
    TOKEN_TYPE_CONTROL,
    TOKEN_TYPE_NORMAL,
    TOKEN_TYPE_UNUSED,
    Tensor,
    Vocabulary,
)
from export.hf_config import HfConfig, parse_config
from guard.prompt import PromptTemplate

TEMPLATE: Final = PromptTemplate(prefix="<bos>", turn="<start_of_turn>", suffix="<end_of_turn>")

_DECODER: Final[Mapping[str, Any]] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
}

CONFIGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": {**_DECODER, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu"},
    "qwen2": {**_DECODER, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": False},
    "qwen3": {**_DECODER, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 16},
    "gemma3": {
        **_DECODER,
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 8,
    },
}


def config(family: str, **changes: Any) -> HfConfig:
    """A family's tiny configuration with some values changed."""
    return parse_config({**CONFIGS[family], **changes})


def classifier_config(family: str) -> dict[str, Any]:
    """A family's tiny configuration as that of a sequence classifier."""
    values = dict(CONFIGS[family])
    return {**values, "architectures": [values["architectures"][0].replace("CausalLM", "SequenceClassification")]}


def random_tensors(config: HfConfig, seed: int = 0) -> dict[str, Tensor]:
    """Every tensor that a folder of this configuration has to hold, by Hugging Face name."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=shape).astype(np.float32) for name, shape in config.tensors.items()}


def save_folder(folder: Path, values: Mapping[str, Any], tensors: Mapping[str, Any] | None = None) -> Path:
    """A Hugging Face folder without a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(values)))
    save_file(dict(random_tensors(parse_config(values)) if tensors is None else tensors), folder / "model.safetensors")
    return folder


def piece_vocabulary(pieces: list[str], size: int = 320, unused: int = 2) -> Vocabulary:
    """A SentencePiece vocabulary: marks, unused entries, bytes, ASCII, then ``pieces``, which merge in that order."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", TEMPLATE.turn, TEMPLATE.suffix]
    spare = [f"<unused{index}>" for index in range(unused)]
    letters = [chr(code) for code in range(0x21, 0x7F)]
    tokens = [*special, *spare, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, "▁", *pieces]
    types = [TOKEN_TYPE_CONTROL] * len(special) + [TOKEN_TYPE_UNUSED] * unused + [TOKEN_TYPE_BYTE] * 256
    types += [TOKEN_TYPE_NORMAL] * (len(tokens) - len(types))
    filling = max(0, size - len(tokens))
    tokens += [f"[PAD{index}]" for index in range(filling)]
    types += [TOKEN_TYPE_UNUSED] * filling
    return Vocabulary(
        model="llama",
        pre="default",
        tokens=tokens,
        types=types,
        scores=[-float(index) for index in range(len(tokens))],
        special_ids={"bos": 2, "eos": 1, "unknown": 3, "padding": 0},
        flags={"add_bos_token": True, "add_space_prefix": False},
    )


class MemoryCheckpoint:
    """A random model in memory, of any shape; satisfies :class:`export.checkpoint.Checkpoint`."""

    def __init__(self, config: HfConfig, vocabulary: Vocabulary, scale: float = 0.1, seed: int = 0) -> None:
        self._config = config
        self._vocabulary = vocabulary
        self._scale = scale
        self._seed = seed

    @property
    def architecture(self) -> str:
        """See the protocol."""
        return self._config.architecture.gguf_name

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See the protocol."""
        return self._config.hyperparameters

    @property
    def general(self) -> Mapping[str, Any]:
        """See the protocol."""
        return {"name": "tiny"}

    @property
    def vocabulary(self) -> Vocabulary:
        """See the protocol."""
        return self._vocabulary

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See the protocol."""
        return self._config.gguf_shapes

    def load(self, name: str) -> Tensor:
        """Random values, the same each time for a name."""
        shapes = self.shapes()
        generator = np.random.default_rng([self._seed, list(shapes).index(name)])
        return generator.standard_normal(shapes[name], dtype=np.float32) * np.float32(self._scale)


def gemma_checkpoint(pieces: list[str], seed: int = 0, **changes: Any) -> MemoryCheckpoint:
    """A tiny Gemma 3 in memory whose vocabulary is as large as its embedding."""
    vocabulary = piece_vocabulary(pieces, int({**CONFIGS["gemma3"], **changes}["vocab_size"]))
    changes["vocab_size"] = len(vocabulary.tokens)
    return MemoryCheckpoint(config("gemma3", **changes), vocabulary, seed=seed)
