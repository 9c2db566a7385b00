"""Whether the weights of an adapter count in a new run as they did in the run that trained them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from peft.utils import CONFIG_NAME

from train.errors import RunError
from train.recipe import LoraRecipe, Recipe

EMBEDDING: Final = "embed_tokens"
"""The token embedding's module, in every family that transformers knows."""

_LAYERS: Final = "layers"
_PATTERNS: Final = ("rank_pattern", "alpha_pattern")


def check_scale(recipe: Recipe, folder: Path) -> None:
    """Check that ``recipe`` scales the factors of the adapter in ``folder`` as they were trained.

    The scale is no weight: an adapter that is loaded under another one is another adapter, and nothing says so.

    Raises:
        RunError: if a rank or alpha differs, or ``adapter_config.json`` can't be read.
    """
    file = folder / CONFIG_NAME
    config, wanted = _read(file), _of_recipe(recipe.lora)
    if config.get("use_rslora"):
        raise RunError(f"can't continue from the adapter {file}: it is scaled by its rank's root (use_rslora)")
    for part, stored in _of_adapter(config).items():
        # What the recipe doesn't adapt is named when the weights are read.
        built = wanted.get(EMBEDDING) if part == EMBEDDING else wanted[_LAYERS]
        if built is not None and stored != built:
            raise RunError(
                f"can't continue from the adapter {file}: for {part} it has rank {stored[0]} and alpha {stored[1]}, "
                f"the recipe rank {built[0]} and alpha {built[1]}"
            )


def _of_recipe(lora: LoraRecipe) -> dict[str, tuple[Any, Any]]:
    """Rank and alpha by part; without the embedding if that is not adapted."""
    layers = (lora.rank, lora.alpha)
    if lora.embedding_rank:
        return {_LAYERS: layers, EMBEDDING: (lora.embedding_rank, lora.embedding_alpha)}
    return {_LAYERS: layers} | ({EMBEDDING: layers} if _has_embedding(lora.target_modules) else {})


def _of_adapter(config: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The same of PEFT's configuration; a part for each pattern of it."""
    ranks, alphas = (_pattern(config, name) for name in _PATTERNS)
    layers = (config.get("r"), config.get("lora_alpha"))
    parts = [*ranks, *alphas, *([EMBEDDING] if _has_embedding(config.get("target_modules")) else [])]
    return {_LAYERS: layers} | {part: (ranks.get(part, layers[0]), alphas.get(part, layers[1])) for part in parts}


def _pattern(config: dict[str, Any], name: str) -> dict[str, Any]:
    pattern: dict[str, Any] = config.get(name) or {}
    return {EMBEDDING if EMBEDDING in key else key: value for key, value in pattern.items()}


def _has_embedding(targets: object) -> bool:
    # Names, names with their module's before them, or one regular expression.
    return EMBEDDING in str(targets)


def _read(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"can't continue from the adapter {file}: {error}") from error
    if not isinstance(config, dict) or not all(isinstance(config.get(name) or {}, dict) for name in _PATTERNS):
        raise RunError(f"can't continue from the adapter {file}: it is not a PEFT configuration")
    return config
