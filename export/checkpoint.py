"""A model as export sees it: hyperparameters, a vocabulary, and tensors that are loaded one at a time.

Readers make a checkpoint; layers, vocabulary, adapter and head each wrap one in another. Names and layout are
GGUF's throughout, so that nothing below the readers knows where the model came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from export.errors import CheckpointError
from export.rows import row_chunks

Tensor: TypeAlias = npt.NDArray[np.float32]
MetadataValue: TypeAlias = str | int | float | bool | list[str] | list[int] | list[float]

TOKEN_TYPE_NORMAL: Final = 1
TOKEN_TYPE_UNKNOWN: Final = 2
TOKEN_TYPE_CONTROL: Final = 3
TOKEN_TYPE_USER_DEFINED: Final = 4
TOKEN_TYPE_UNUSED: Final = 5
TOKEN_TYPE_BYTE: Final = 6
"""GGUF's token types, docs/gguf.md of ggml."""

EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as GGUF stores it.

    Attributes:
        model: ``llama`` (SentencePiece, merges by score) or ``gpt2`` (byte-level BPE, merges by rank).
        pre: name of the pre-tokenizer, llama.cpp's.
        tokens: text by id.
        types: GGUF token type by id.
        scores: SentencePiece score by id; None for ``gpt2``.
        merges: ``left right`` by rank; None for ``llama``.
        special_ids: ids by role, such as ``bos`` and ``padding``.
        flags: such as ``add_bos_token``.
    """

    model: str
    pre: str
    tokens: Sequence[str]
    types: Sequence[int]
    scores: Sequence[float] | None = None
    merges: Sequence[str] | None = None
    special_ids: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("types", "scores"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.tokens):
                raise CheckpointError(f"{len(values)} token {name} for {len(self.tokens)} tokens")

    def id_of(self, text: str) -> int:
        """The id of the token with exactly this text.

        Raises:
            CheckpointError: if there is none.
        """
        try:
            return self.tokens.index(text)
        except ValueError:
            raise CheckpointError(f"the vocabulary has no token {text!r}") from None

    def metadata(self) -> dict[str, MetadataValue]:
        """The ``tokenizer.ggml.*`` keys."""
        values: dict[str, MetadataValue] = {
            "model": self.model,
            "pre": self.pre,
            "tokens": list(self.tokens),
            "token_type": list(self.types),
        }
        if self.scores is not None:
            values["scores"] = list(self.scores)
        if self.merges is not None:
            values["merges"] = list(self.merges)
        values |= {f"{role}_token_id": token_id for role, token_id in self.special_ids.items()}
        values |= dict(self.flags)
        return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


class Checkpoint(Protocol):
    """A model whose tensors are loaded one at a time.

    Attributes:
        architecture: GGUF's name of it, such as ``gemma3``.
        hyperparameters: the ``<architecture>.*`` keys, without that prefix.
        general: the ``general.*`` keys, without that prefix.
        vocabulary: the tokenizer.
    """

    @property
    def architecture(self) -> str:
        """See the class."""

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See the class."""

    @property
    def general(self) -> Mapping[str, Any]:
        """See the class."""

    @property
    def vocabulary(self) -> Vocabulary:
        """See the class."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor by GGUF name, rows first, in the order in which a file should hold them."""

    def load(self, name: str) -> Tensor:
        """One tensor, float32, in memory of its own: the caller may change it in place."""


class WrappedCheckpoint:
    """A checkpoint that is another one but for what a subclass changes."""

    def __init__(self, base: Checkpoint) -> None:
        self._base = base

    @property
    def architecture(self) -> str:
        """See :class:`Checkpoint`."""
        return self._base.architecture

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """See :class:`Checkpoint`."""
        return self._base.hyperparameters

    @property
    def general(self) -> Mapping[str, Any]:
        """See :class:`Checkpoint`."""
        return self._base.general

    @property
    def vocabulary(self) -> Vocabulary:
        """See :class:`Checkpoint`."""
        return self._base.vocabulary

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`Checkpoint`."""
        return self._base.shapes()

    def load(self, name: str) -> Tensor:
        """See :class:`Checkpoint`."""
        return self._base.load(name)


class FirstLayers(WrappedCheckpoint):
    """The first ``layers`` layers of a model and its final norm.

    Raises:
        CheckpointError: if the model has fewer.
    """

    def __init__(self, base: Checkpoint, layers: int) -> None:
        super().__init__(base)
        available = int(base.hyperparameters["block_count"])
        if not 1 <= layers <= available:
            raise CheckpointError(f"{layers} layers were asked for of a model with {available}")
        self._layers = layers

    @property
    @override
    def hyperparameters(self) -> Mapping[str, Any]:
        return {**self._base.hyperparameters, "block_count": self._layers}

    @override
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: shape for name, shape in self._base.shapes().items() if self._kept(name)}

    def _kept(self, name: str) -> bool:
        return not name.startswith("blk.") or int(name.split(".")[1]) < self._layers


class KeptVocabulary(WrappedCheckpoint):
    """A model with only some of its tokens: rows, texts, types, scores and merges are cut together.

    Args:
        base: the model.
        keep: ids to keep, ascending; the new id of a token is its place in this list.

    Raises:
        CheckpointError: if ``keep`` is not ascending, not of this vocabulary, or lacks a byte or special token.
    """

    def __init__(self, base: Checkpoint, keep: Sequence[int]) -> None:
        super().__init__(base)
        self._keep = np.asarray(keep, dtype=np.int64)
        self._vocabulary = cut_vocabulary(base.vocabulary, keep)

    @property
    @override
    def hyperparameters(self) -> Mapping[str, Any]:
        hyperparameters = dict(self._base.hyperparameters)
        if "vocab_size" in hyperparameters:
            hyperparameters["vocab_size"] = len(self._keep)
        return hyperparameters

    @property
    @override
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    @override
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        shapes = dict(self._base.shapes())
        for name in (EMBEDDING, OUTPUT):
            if name in shapes:
                shapes[name] = (len(self._keep), *shapes[name][1:])
        return shapes

    @override
    def load(self, name: str) -> Tensor:
        tensor = self._base.load(name)
        return self._cut(tensor) if name in (EMBEDDING, OUTPUT) else tensor

    def _cut(self, tensor: Tensor) -> Tensor:
        """Moves the kept rows to the front in place: they ascend, so none is overwritten before it is moved."""
        for part in row_chunks(len(self._keep), tensor.shape[1]):
            tensor[part] = tensor[self._keep[part]]
        return tensor[: len(self._keep)]


def cut_vocabulary(vocabulary: Vocabulary, keep: Sequence[int]) -> Vocabulary:
    """The vocabulary with only the tokens ``keep``, renumbered in that order.

    A merge stays if both its parts and its result stay.

    Raises:
        CheckpointError: see :class:`KeptVocabulary`.
    """
    size = len(vocabulary.tokens)
    if any(not 0 <= token_id < size for token_id in keep) or any(b <= a for a, b in pairwise(keep)):
        raise CheckpointError(f"the ids to keep must ascend and lie below the vocabulary's size of {size}")
    new_ids = {old: new for new, old in enumerate(keep)}
    needed = {i for i, kind in enumerate(vocabulary.types) if kind == TOKEN_TYPE_BYTE} | set(
        vocabulary.special_ids.values()
    )
    if missing := sorted(needed - new_ids.keys()):
        raise CheckpointError(f"byte and special tokens can't be left out: {missing[:10]}")
    kept_texts = {vocabulary.tokens[i] for i in keep}
    merges = vocabulary.merges
    return replace(
        vocabulary,
        tokens=[vocabulary.tokens[i] for i in keep],
        types=[vocabulary.types[i] for i in keep],
        scores=None if vocabulary.scores is None else [vocabulary.scores[i] for i in keep],
        merges=None if merges is None else [merge for merge in merges if _merge_kept(merge, kept_texts)],
        special_ids={role: new_ids[old] for role, old in vocabulary.special_ids.items()},
    )


def _merge_kept(merge: str, kept_texts: set[str]) -> bool:
    left, _, right = merge.partition(" ")
    return left in kept_texts and right in kept_texts and left + right in kept_texts
