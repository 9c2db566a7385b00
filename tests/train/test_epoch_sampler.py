"""The order of an epoch's rows is the seed's and the epoch's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import DataCollatorWithPadding, TrainerCallback, TrainingArguments
from typing_extensions import override

from guard.labels import DEFAULT_LABELS
from train.encode import Encoder
from train.epoch_sampler import EpochSampler
from train.micro_batches import MicroBatchTrainer
from train.model import Base

STEPS = 6
"""An epoch has four: two rows a step, eight rows."""


def _order(epoch: int, seed: int = 1) -> list[int]:
    return list(EpochSampler(seed, lambda: epoch, batch_size=4, lengths=list(range(40))))


def test_the_order_is_that_of_seed_and_epoch() -> None:
    """Whatever else has drawn random numbers."""
    first = _order(0)
    torch.rand(7)
    assert first == _order(0) != _order(1)
    assert _order(1) != _order(1, seed=2)
    assert sorted(first) == list(range(40))


class _Stop(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == STEPS


class _Noting(MicroBatchTrainer):
    seen: list[int]

    @override
    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.seen.extend(inputs["input_ids"][:, 0].tolist())
        torch.rand(3)
        return super().training_step(model, inputs, num_items_in_batch)


def _trainer(base: Base, encoder: Encoder, folder: Path, callbacks: list[TrainerCallback]) -> _Noting:
    encoder.tokenizer.pad_token_id = 0
    rows = [{"input_ids": [10 + n, 7], "attention_mask": [1, 1], "labels": n % 2} for n in range(8)]
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=2, num_train_epochs=2, save_steps=STEPS, use_cpu=True, report_to=[]
    )
    trainer = _Noting(
        multiple=1,
        model=base.load_classifier(DEFAULT_LABELS, 0, torch.float32),
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorWithPadding(encoder.tokenizer),
        callbacks=callbacks,
    )
    trainer.seen = []
    return trainer


def test_a_run_resumed_in_its_second_epoch_has_each_row_once(base: Base, encoder: Encoder, tmp_path: Path) -> None:
    """What was read before the stop and after it is the whole epoch."""
    stopped = _trainer(base, encoder, tmp_path, [_Stop()])
    stopped.train()
    resumed = _trainer(base, encoder, tmp_path, [])
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{STEPS}"))
    assert sorted(stopped.seen[:8]) == sorted(stopped.seen[8:] + resumed.seen) == list(range(10, 18))
