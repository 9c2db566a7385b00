"""The classifier that a guard is exported from, as PyTorch computes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guard.labels import Labels
    from train.encode import Encoder
    from train.model import Base


def load_classifier(base: Base, adapter: Path | None, labels: Labels, encoder: Encoder, *, half: bool = False) -> Any:  # noqa: ANN401 - PEFT and transformers are untyped
    """A classifier in evaluation mode; the encoder's tokenizer learns to pad.

    Args:
        base: the model under the adapter, or the whole classifier.
        adapter: PEFT's folder; None where ``base`` has the head.
        labels: of the guard.
        encoder: of the guard's prompts.
        half: bfloat16 in place of float32, half the memory.

    Raises:
        RunError: if either can't be read.
    """
    import torch
    from peft import PeftModel

    from train.errors import RunError
    from train.model import pad_token_id

    template, dtype = encoder.template, torch.bfloat16 if half else torch.float32
    marks = {encoder.mark_id(mark) for mark in (template.prefix, template.turn, template.suffix)}
    encoder.tokenizer.pad_token_id = pad_token_id(encoder.tokenizer, marks)
    model = base.load_classifier(labels, encoder.tokenizer.pad_token_id, dtype)
    if adapter is not None:
        try:
            model = PeftModel.from_pretrained(model, adapter)
        except (OSError, ValueError) as error:
            raise RunError(f"can't load the adapter in {adapter}: {error}") from error
    return model.to(dtype).eval()
