"""Read a PEFT sequence-classification adapter and merge it, tensor by tensor.

LoRA: Hu et al. 2021, arXiv 2106.09685.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from typing_extensions import override

from export.checkpoint import Checkpoint, Tensor, WrappedCheckpoint
from export.errors import CheckpointError
from export.hf_names import plain_name
from export.rows import row_chunks
from export.safetensors_file import SafetensorsFile

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"

_PREFIX: Final = "base_model.model."
_LORA: Final = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight$")
_EMBEDDING_LORA: Final = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<side>[AB])(?:\.default)?$")
_FROZEN_EMBEDDING: Final = re.compile(r"(?:.+\.)?embed_tokens\.base_layer\.weight$")
_HEAD: Final = re.compile(r"(?:.+\.)?score(?:\.modules_to_save)?(?:\.default)?\.weight$")

_KEEP_THE_BASE: Final = ("gaussian", "eva", "orthogonal", "mica")
"""The named ``init_lora_weights`` of PEFT that leave the base's weights as they are. The others (``pissa``, ``olora``,
``corda``, ``loftq``, ``lora_ga``) take the adapter's start out of them, so that it fits no other base."""

NameModule = Callable[[str], str]
"""From a Hugging Face module name to the GGUF tensor name of its weight."""

PermuteRows = Callable[[str, Tensor], Tensor]
"""From a tensor in Hugging Face's row order to GGUF's, by GGUF name."""


class LoraAdapter:
    """An adapter folder: low-rank deltas by GGUF tensor name, and the classification head.

    Args:
        folder: holds ``adapter_config.json`` and ``adapter_model.safetensors``.
        name_module: the architecture's names.

    Raises:
        CheckpointError: if a file is missing or damaged, the kind of adapter is another, a tensor is unknown,
            or a delta lacks one of its two matrices.
    """

    def __init__(self, folder: Path, name_module: NameModule) -> None:
        self.config = _read_config(folder)
        self.head: Tensor | None = None
        self._modules: dict[str, str] = {}
        self._down: dict[str, Tensor] = {}
        self._up: dict[str, Tensor] = {}
        weights = SafetensorsFile(folder / ADAPTER_WEIGHTS)
        for key in weights.shapes:
            self._sort_in(key, weights.load(key), name_module)
        if unpaired := sorted(self._down.keys() ^ self._up.keys()):
            raise CheckpointError(f"adapter deltas with only one of lora_A and lora_B: {', '.join(unpaired)}")
        for name in self._down:
            self._check_factors(name)

    @property
    def names(self) -> set[str]:
        """GGUF names of the tensors that the adapter changes."""
        return set(self._down)

    def shape(self, name: str) -> tuple[int, int]:
        """Shape of the delta of the tensor ``name``."""
        return self._up[name].shape[0], self._down[name].shape[1]

    def factors(self, name: str) -> tuple[Tensor, Tensor]:
        """Two matrices whose product is added to the tensor ``name``: scale x B, and A.

        The rows of the first are in Hugging Face's order. They are given apart because their product is as large as
        the tensor itself.
        """
        return _scale(self.config, self._modules[name]) * self._up[name], self._down[name]

    def _sort_in(self, key: str, tensor: Tensor, name_module: NameModule) -> None:
        name = key.removeprefix(_PREFIX)
        if _HEAD.match(name):
            if tensor.ndim != 2 or tensor.shape[0] != 2:
                raise CheckpointError(f"the adapter's head {key!r} has shape {tensor.shape}, wanted (2, hidden)")
            self.head = tensor
            return
        if _FROZEN_EMBEDDING.match(name):
            # Unless it is told not to, PEFT stores an adapted embedding's own weights, too: they are the base's.
            return
        embedding = _EMBEDDING_LORA.match(name)
        match = embedding or _LORA.match(name)
        if match is None or tensor.ndim != 2:
            raise CheckpointError(
                f"adapter tensor {key!r} of shape {tensor.shape}, wanted the matrices lora_A and lora_B "
                "and the score head's weight"
            )
        gguf_name = name_module(plain_name(match["module"]) or match["module"])
        self._modules[gguf_name] = match["module"]
        # PEFT keeps an embedding's factors as those of its transpose: A is (rank, tokens), B is (hidden, rank).
        left = (match["side"] == "A") is (embedding is not None)
        side = self._up if left else self._down
        side[gguf_name] = np.ascontiguousarray(tensor.T) if embedding else tensor

    def _check_factors(self, name: str) -> None:
        rank = _rank(self.config, self._modules[name])
        found = self._up[name].shape[1], self._down[name].shape[0]
        if found != (rank, rank):
            raise CheckpointError(f"the adapter's delta of {name!r} has ranks {found}, wanted {rank}")
        _scale(self.config, self._modules[name])


class Adapted(WrappedCheckpoint):
    """A model with an adapter merged into it.

    Raises:
        CheckpointError: if the adapter changes a tensor that the model lacks, or of another shape.
    """

    def __init__(self, base: Checkpoint, adapter: LoraAdapter, permute_rows: PermuteRows) -> None:
        super().__init__(base)
        self._adapter = adapter
        self._permute_rows = permute_rows
        shapes = base.shapes()
        if unknown := sorted(adapter.names - shapes.keys()):
            raise CheckpointError(f"the adapter changes tensors that the model lacks: {', '.join(unknown)}")
        for name in sorted(adapter.names):
            if adapter.shape(name) != shapes[name]:
                raise CheckpointError(
                    f"the adapter's delta of {name!r} has shape {adapter.shape(name)}, wanted {shapes[name]}"
                )

    @override
    def load(self, name: str) -> Tensor:
        tensor = self._base.load(name)
        if name in self._adapter.names:
            up, down = self._adapter.factors(name)
            # Permuting rows of the left factor permutes rows of the product.
            up = self._permute_rows(name, up)
            for part in row_chunks(*tensor.shape):
                tensor[part] += up[part] @ down
        return tensor


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / ADAPTER_CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"can't read the adapter's {path}: {error}") from error
    if config.get("peft_type") != "LORA" or config.get("task_type") not in ("SEQ_CLS", None):
        raise CheckpointError(
            f"{path} is of type {config.get('peft_type')!r} for task {config.get('task_type')!r}, "
            "wanted 'LORA' for 'SEQ_CLS'"
        )
    if config.get("use_dora") or config.get("fan_in_fan_out") or config.get("bias", "none") != "none":
        raise CheckpointError(f"{path} uses DoRA, transposed matrices or trained biases, wanted plain LoRA")
    _check_start(config.get("init_lora_weights"), path)
    return config


def _check_start(start: object, path: Path) -> None:
    if isinstance(start, str) and start.lower() not in _KEEP_THE_BASE:
        raise CheckpointError(
            f"{path} has the init_lora_weights {start!r}, which changed the base's own weights before training, wanted "
            f"true, false or one of {', '.join(_KEEP_THE_BASE)}: merge it and import the whole model, or have PEFT "
            "convert the adapter (not of LoftQ) with save_pretrained(..., path_initial_model_for_weight_conversion=...)"
        )


def _scale(config: Mapping[str, Any], module: str) -> float:
    rank = _rank(config, module)
    try:
        alpha = float(_by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{ADAPTER_CONFIG} lacks a usable 'lora_alpha': {error!r}") from error
    return alpha / rank**0.5 if config.get("use_rslora") else alpha / rank


def _rank(config: Mapping[str, Any], module: str) -> int:
    try:
        rank = int(_by_pattern(config.get("rank_pattern"), module, config["r"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{ADAPTER_CONFIG} lacks a usable rank 'r': {error!r}") from error
    if rank < 1:
        raise CheckpointError(f"the adapter has rank {rank} for {module!r}, wanted at least 1")
    return rank


def _by_pattern(patterns: Mapping[str, Any] | None, module: str, default: object) -> Any:  # noqa: ANN401
    """What PEFT takes for a module: the first pattern that its name ends in (``peft.utils.get_pattern_key``)."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
