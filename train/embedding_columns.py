"""The columns of an adapted embedding, a token each, put into the order of another keep-list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from train.errors import RunError

_COLUMNS: Final = "lora_embedding_A"
"""PEFT's factor of shape (rank, tokens); it begins as zeros."""


def follow_keep_list(folder: Path, before: Sequence[int], after: Sequence[int]) -> None:
    """Rewrite an adapter that was trained with one keep-list so that a run with another can go on from it.

    A token that the lists share keeps its column; one that is new gets zeros, as at the beginning of a run.

    Args:
        folder: PEFT's; an adapter that does not adapt the embedding stays as it is.
        before: ids of the base's tokens, in the order of the columns.
        after: ids that are kept from now on, in order.

    Raises:
        RunError: if the adapter can't be read, or has other than a column a token; it then stays as it is.
    """
    file = folder / SAFETENSORS_WEIGHTS_NAME
    try:
        weights = load_file(file)
    except (OSError, SafetensorError) as error:
        raise RunError(f"can't read the adapter {file}: {error}") from error
    adapted = {name: columns for name, columns in weights.items() if _COLUMNS in name}
    for name, columns in adapted.items():
        if columns.shape[1] != len(before):
            raise RunError(f"{file}: {name} has {columns.shape[1]} columns, wanted {len(before)}, one a kept token")
        weights[name] = _in_order(columns, before, after)
    if adapted:
        temporary = file.with_name(f".{file.name}.part")
        save_file(weights, temporary, metadata={"format": "pt"})
        temporary.replace(file)


def _in_order(columns: Any, before: Sequence[int], after: Sequence[int]) -> Any:  # noqa: ANN401 - tensors
    places = {token: place for place, token in enumerate(before)}
    shared = [(place, places[token]) for place, token in enumerate(after) if token in places]
    ordered = torch.zeros(columns.shape[0], len(after), dtype=columns.dtype)
    to, of = zip(*shared, strict=True) if shared else ((), ())
    ordered[:, list(to)] = columns[:, list(of)]
    return ordered
