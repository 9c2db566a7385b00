"""Read a PEFT sequence-classification adapter and merge it, tensor by tensor (LoRA: Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open

from export.checkpoint import Checkpoint, Tensor, WrappedCheckpoint
from export.errors import CheckpointError

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"

_PREFIX: Final = "base_model.model."
_LORA: Final = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight$")
_HEAD: Final = re.compile(r"(?:.+\.)?score(?:\.modules_to_save)?(?:\.default)?\.weight$")

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
        self._scale = _scale(self.config)
        self._down: dict[str, Tensor] = {}
        self._up: dict[str, Tensor] = {}
        for key, tensor in _read_tensors(folder / ADAPTER_WEIGHTS).items():
            self._sort_in(key, tensor, name_module)
        if unpaired := sorted(self._down.keys() ^ self._up.keys()):
            raise CheckpointError(f"adapter deltas with only one of lora_A and lora_B: {', '.join(unpaired)}")

    @property
    def names(self) -> set[str]:
        """GGUF names of the tensors that the adapter changes."""
        return set(self._down)

    def delta(self, name: str) -> Tensor:
        """What is added to the tensor ``name``: scale x B A, rows in Hugging Face's order."""
        return np.asarray(self._scale * (self._up[name] @ self._down[name]), dtype=np.float32)

    def _sort_in(self, key: str, tensor: Tensor, name_module: NameModule) -> None:
        name = key.removeprefix(_PREFIX)
        if _HEAD.match(name):
            self.head = tensor
            return
        match = _LORA.match(name)
        if match is None:
            raise CheckpointError(f"adapter tensor {key!r}, wanted lora_A, lora_B or the score head's weight")
        side = self._down if match["side"] == "A" else self._up
        side[name_module(match["module"])] = tensor


class Adapted(WrappedCheckpoint):
    """A model with an adapter merged into it.

    Raises:
        CheckpointError: if the adapter changes a tensor that the model lacks, or of another shape.
    """

    def __init__(self, base: Checkpoint, adapter: LoraAdapter, permute_rows: PermuteRows) -> None:
        super().__init__(base)
        self._adapter = adapter
        self._permute_rows = permute_rows
        if unknown := sorted(adapter.names - base.shapes().keys()):
            raise CheckpointError(f"the adapter changes tensors that the model lacks: {', '.join(unknown)}")

    def load(self, name: str) -> Tensor:
        tensor = self._base.load(name)
        if name not in self._adapter.names:
            return tensor
        delta = self._adapter.delta(name)
        if delta.shape != tensor.shape:
            raise CheckpointError(f"the adapter's delta of {name!r} has shape {delta.shape}, wanted {tensor.shape}")
        tensor += self._permute_rows(name, delta)
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
    if config.get("use_dora") or config.get("bias", "none") != "none":
        raise CheckpointError(f"{path} uses DoRA or trained biases, wanted plain LoRA")
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"no adapter weights at {path}")
    try:
        with safe_open(path, framework="np") as file:
            return {key: np.asarray(file.get_tensor(key), dtype=np.float32) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error


def _scale(config: Mapping[str, Any]) -> float:
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise CheckpointError("the adapter has ranks by pattern, wanted one rank for all")
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
