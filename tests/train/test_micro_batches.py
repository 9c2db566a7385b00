"""A batch in parts has the whole batch's loss and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from guard.labels import DEFAULT_LABELS
from train import micro_batches as module
from train.encode import Encoder
from train.errors import RunError
from train.micro_batches import MicroBatchTrainer, micro_batches
from train.model import Base


def _batch(lengths: list[int], width: int) -> dict[str, torch.Tensor]:
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": mask * 7, "attention_mask": mask, "labels": torch.arange(len(lengths))}


def test_every_row_is_in_one_part_whole() -> None:
    """With its own label."""
    lengths = [3, 40, 5, 17, 6, 22, 4, 1]
    parts = micro_batches(_batch(lengths, 40), 48, 8)
    found = {
        int(label): int(mask.sum()) for p in parts for label, mask in zip(p["labels"], p["attention_mask"], strict=True)
    }
    assert found == dict(enumerate(lengths))
    assert sum(len(part["labels"]) for part in parts) == len(lengths)


def test_a_part_has_no_more_tokens_than_may_be() -> None:
    """But for a row that is longer by itself; its length is the multiple that was asked for."""
    parts = micro_batches(_batch([3, 40, 5, 17, 6, 22, 4, 1], 40), 32, 8)
    shapes = [tuple(part["input_ids"].shape) for part in parts]
    assert shapes == [(1, 40), (1, 24), (1, 24), (4, 8), (1, 8)]


def _trainer(base: Base, encoder: Encoder, folder: Path, accumulation_steps: int) -> MicroBatchTrainer:
    torch.manual_seed(1)
    encoder.tokenizer.pad_token_id = 0
    arguments = TrainingArguments(
        str(folder), gradient_accumulation_steps=accumulation_steps, use_cpu=True, report_to=[], max_grad_norm=0.0
    )
    model = base.load_classifier(DEFAULT_LABELS, 0, torch.float32)
    collator = DataCollatorWithPadding(encoder.tokenizer)
    return MicroBatchTrainer(multiple=1, model=model, args=arguments, data_collator=collator)


def _gradient(trainer: Trainer, batches: list[dict[str, Any]]) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a step of some batches."""
    count = torch.tensor(sum(len(batch["labels"]) for batch in batches))
    trainer.current_gradient_accumulation_steps = len(batches)
    trainer.model.zero_grad()
    loss = sum(float(trainer.training_step(trainer.model, dict(batch), count)) for batch in batches)
    return loss, torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.fixture(name="batch")
def _random_batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    found = _batch([3, 30, 5, 17, 6, 22, 4, 2], 30)
    ids = torch.randint(10, 100, (8, 30)) * found["attention_mask"]
    return {**found, "input_ids": ids, "labels": torch.arange(8) % 2}


def test_parts_add_up_to_the_whole(
    base: Base, encoder: Encoder, tmp_path: Path, batch: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss and gradients."""
    trainer = _trainer(base, encoder, tmp_path, 1)
    whole_loss, whole = _gradient(trainer, [batch])
    monkeypatch.setattr(module, "MOST_TOKENS", 32)
    loss, gradient = _gradient(trainer, [batch])
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    torch.testing.assert_close(gradient, whole, rtol=1e-3, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_run(
    base: Base, encoder: Encoder, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    """Before a checkpoint is made of it."""
    trainer = _trainer(base, encoder, tmp_path, 1)
    with torch.no_grad():
        trainer.model.score.weight.fill_(float("nan"))
    with pytest.raises(RunError, match="the loss of step 1 is nan; lower the learning rate"):
        _gradient(trainer, [batch])


def test_accumulated_steps_add_up_to_the_whole(
    base: Base, encoder: Encoder, tmp_path: Path, batch: dict[str, torch.Tensor]
) -> None:
    """And not to as many times of it."""
    whole_loss, whole = _gradient(_trainer(base, encoder, tmp_path, 1), [batch])
    halves = [{name: values[part] for name, values in batch.items()} for part in (slice(0, 4), slice(4, 8))]
    loss, gradient = _gradient(_trainer(base, encoder, tmp_path, 2), halves)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    torch.testing.assert_close(gradient, whole, rtol=1e-3, atol=1e-6)
