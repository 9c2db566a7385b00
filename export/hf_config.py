"""What a Hugging Face ``config.json`` says of a model: architecture, hyperparameters, and every tensor's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from export.architectures import by_model_type
from export.architectures.base import Architecture
from export.checkpoint import OUTPUT
from export.errors import CheckpointError

CONFIG_FILE: Final = "config.json"
HEAD: Final = "score.weight"
LM_HEAD: Final = "lm_head.weight"

_CLASSIFIER: Final = "ForSequenceClassification"
_GENERIC_NAME: Final = re.compile(r"LABEL_\d+")
_LAST_PART: Final = re.compile(r"(?P<module>.+)\.(?P<kind>weight|bias)")


@dataclass(frozen=True)
class HfConfig:
    """A decoder's configuration.

    Attributes:
        architecture: its family.
        hyperparameters: the GGUF keys, without prefix.
        decoder: shape of each tensor of the decoder, by Hugging Face name.
        classifier: whether it is a ``...ForSequenceClassification``, which has a head and no output rows.
        tied: whether the output rows are the embedding.
        class_names: by class id; None where the configuration has only ``LABEL_0`` and the like.
        values: the text model's part of the file, as it stands.
    """

    architecture: Architecture
    hyperparameters: Mapping[str, Any]
    decoder: Mapping[str, tuple[int, ...]]
    classifier: bool
    tied: bool
    class_names: tuple[str, ...] | None
    values: Mapping[str, Any]

    @property
    def layers(self) -> int:
        """How many layers the decoder has."""
        return int(self.hyperparameters["block_count"])

    @property
    def vocabulary_size(self) -> int:
        """How many rows the embedding has; a tokenizer may have fewer tokens."""
        return int(self.hyperparameters["vocab_size"])

    @property
    def untied(self) -> bool:
        """Whether the model has output rows of its own."""
        return not (self.tied or self.classifier)

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor that the checkpoint has to have, by Hugging Face name."""
        width = int(self.hyperparameters["embedding_length"])
        return {
            **self.decoder,
            **({LM_HEAD: (self.vocabulary_size, width)} if self.untied else {}),
            **({HEAD: (2, width)} if self.classifier else {}),
        }

    @property
    def gguf_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor of the GGUF but the classifier's head, by GGUF name."""
        return {self.gguf_name(name): shape for name, shape in self.tensors.items() if name != HEAD}

    def gguf_name(self, name: str) -> str:
        """GGUF's name of a tensor.

        Raises:
            CheckpointError: if GGUF has none.
        """
        if name == LM_HEAD:
            return OUTPUT
        match = _LAST_PART.fullmatch(name)
        if match is None:
            raise CheckpointError(f"tensor {name!r}, wanted a weight or bias")
        return self.architecture.tensor_name(match["module"], self.layers).removesuffix("weight") + match["kind"]


def read_config(place: Path) -> HfConfig:
    """Read a ``config.json``: the file itself, or a folder's.

    Raises:
        CheckpointError: if it is missing or damaged, or see :func:`parse_config`.
    """
    path = place if place.is_file() else place / CONFIG_FILE
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"no model in {place}: can't read {path.name}: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}, wanted an object")
    return parse_config(values)


def parse_config(values: Mapping[str, Any]) -> HfConfig:
    """Read the content of a ``config.json``.

    Raises:
        CheckpointError: if the model is of an unknown family, lacks a setting, or has one that GGUF can't express.
    """
    architecture = by_model_type(str(values.get("model_type")))
    # A model that also sees images keeps its text model's settings apart.
    text: dict[str, Any] = {**values, **values.get("text_config", {})}
    if text.get("quantization_config"):
        raise CheckpointError("the checkpoint is quantised, wanted float weights")
    try:
        return HfConfig(
            architecture=architecture,
            hyperparameters=architecture.hyperparameters(text),
            decoder=architecture.tensors(text),
            classifier=any(name.endswith(_CLASSIFIER) for name in values.get("architectures") or ()),
            tied=_tied(architecture, text),
            class_names=_class_names(values),
            values=text,
        )
    except KeyError as error:
        raise CheckpointError(f"the configuration of a {architecture.gguf_name!r} model lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"unusable configuration of a {architecture.gguf_name!r} model: {error}") from error


def _tied(architecture: Architecture, values: Mapping[str, Any]) -> bool:
    # A configuration does not say what is its family's default, which is to tie for Gemma alone.
    default = architecture.gguf_name == "gemma3"
    return bool(values.get("tie_word_embeddings", default))


def _class_names(values: Mapping[str, Any]) -> tuple[str, ...] | None:
    names = values.get("id2label")
    if not isinstance(names, Mapping):
        return None
    ordered = tuple(str(names[key]) for key in sorted(names, key=int))
    return None if all(_GENERIC_NAME.fullmatch(name) for name in ordered) else ordered
