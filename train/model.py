"""Load a base model as a two-label sequence classifier, and its tokenizer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from gguf import GGUFReader, Keys
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from guard.labels import Labels
from train.errors import RunError


@dataclass(frozen=True)
class Base:
    """Where a base model's weights are.

    Attributes:
        folder: a Hugging Face folder, a folder with a GGUF file, or a model id on the hub.
        gguf_file: name of the GGUF file in ``folder``; None for safetensors.
    """

    folder: str
    gguf_file: str | None = None

    def files(self) -> list[Path]:
        """What decides the model, in order; none of a base that is on the hub, where its id stands for it."""
        folder = Path(self.folder)
        if self.gguf_file is not None:
            return [folder / self.gguf_file]
        return sorted(path for path in folder.glob("*") if path.suffix in {".json", ".safetensors", ".bin", ".model"})

    def load_tokenizer(self) -> Any:  # noqa: ANN401 - transformers is untyped
        """The tokenizer, padding on the right with a token that is no part of a prompt."""
        tokenizer = AutoTokenizer.from_pretrained(self.folder, **self._source())
        if self.gguf_file is not None and _pre_tokenizer(Path(self.folder) / self.gguf_file) in _DIGIT_SPLITTING:
            tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
                [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
            )
        tokenizer.padding_side = "right"
        return tokenizer

    def load_classifier(self, labels: Labels, pad_token_id: int, dtype: torch.dtype) -> Any:  # noqa: ANN401
        """The model with a fresh two-row head, weights of ``dtype``, head in float32.

        Raises:
            RunError: if the base has no sequence-classification class or can't be read.
        """
        # It reports the fresh head as missing weights, which it is meant to be.
        logging.getLogger("transformers").setLevel(logging.ERROR)
        try:
            config = AutoConfig.from_pretrained(self.folder, **self._source())
            config.num_labels = 2
            config.id2label = dict(enumerate(labels.ordered))
            config.label2id = {name: i for i, name in enumerate(labels.ordered)}
            # Of a model that also sees images, the text model's own configuration is what counts.
            config.pad_token_id = config.get_text_config().pad_token_id = pad_token_id
            config.use_cache = False
            model = AutoModelForSequenceClassification.from_pretrained(
                self.folder, config=config, dtype=dtype, **self._source()
            )
        except (OSError, ValueError) as error:
            raise RunError(f"can't load {self.folder!r} as a sequence classifier: {error}") from error
        # A model read from GGUF counts as quantised and could not be saved.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.is_quantized = False
        model.score.to(torch.float32)
        return model

    def _source(self) -> dict[str, str]:
        return {} if self.gguf_file is None else {"gguf_file": self.gguf_file}


def base_in(path: Path) -> Base:
    """The base at a local path: a GGUF file or a Hugging Face folder."""
    return Base(str(path.parent), path.name) if path.suffix == ".gguf" else Base(str(path))


_DIGIT_SPLITTING: Final = ("smollm",)
"""llama.cpp's names of pre-tokenizers that cut numbers of any script into digits. transformers passes over the name in
a GGUF file, and would leave ``½`` or Arabic digits in one piece with what is beside them."""


def _pre_tokenizer(path: Path) -> str | None:
    field = GGUFReader(path).get_field(Keys.Tokenizer.PRE)
    return None if field is None else str(field.contents())


def pad_token_id(tokenizer: Any, marks: set[int]) -> int:  # noqa: ANN401 - transformers is untyped
    """A token to pad with that no prompt ends in: the classifier looks for the last token that is none of it.

    Raises:
        RunError: if the tokenizer has no such token.
    """
    for candidate in (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id):
        if candidate is not None and candidate not in marks:
            return int(candidate)
    raise RunError("the tokenizer has no padding, unknown, end or start token beside the prompt's marks")
