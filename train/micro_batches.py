"""A batch computed in parts, each padded to its own longest row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from transformers import Trainer
from typing_extensions import override

from train.epoch_sampler import EpochSampler
from train.errors import RunError

MOST_TOKENS: Final = 2048
"""Of a part, padding included: a processor computes no token faster in a larger one."""


def micro_batches(batch: Mapping[str, torch.Tensor], most_tokens: int, multiple: int) -> list[dict[str, torch.Tensor]]:
    """Parts of a padded batch with rows of like length.

    Args:
        batch: ``attention_mask`` and what goes with it, shape (rows, longest), padded on the right; and ``labels``,
            shape (rows,).
        most_tokens: of a part, padding included; a longer row is a part of its own.
        multiple: a part's length in tokens is a multiple of it, as the batch's is.
    """
    lengths = batch["attention_mask"].sum(dim=1)
    order = lengths.argsort(descending=True, stable=True)
    parts = []
    while len(order):
        # The longest first: it decides how long its part is.
        length = -(-int(lengths[order[0]]) // multiple) * multiple
        count = max(1, most_tokens // length)
        rows, order = order[:count], order[count:]
        parts.append(
            {name: values[rows] if values.dim() == 1 else values[rows, :length] for name, values in batch.items()}
        )
    return parts


def mean_cross_entropy(
    outputs: Any,  # noqa: ANN401 - transformers is untyped
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """The loss of some rows of a step, as their share of the mean over all of its rows.

    transformers' own loss of a classifier is the mean over the rows at hand, and the Trainer takes it for this one:
    with accumulated steps it came out as many times too large.

    Args:
        outputs: with ``logits``, shape (rows, labels).
        labels: class ids, shape (rows,).
        num_items_in_batch: all rows of the step; None where these are all.
    """
    total = torch.nn.functional.cross_entropy(outputs["logits"].float(), labels, reduction="sum")
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


class MicroBatchTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped
    """A Trainer that computes a step's rows in parts where that is faster.

    Length grouping sorts rows within stretches of fifty batches, so that one batch of each stretch has its longest
    rows; all padded to the longest of them, it is mostly padding.

    Args:
        multiple: see :func:`micro_batches`.
        arguments: the Trainer's.
    """

    def __init__(self, *, multiple: int, **arguments: Any) -> None:  # noqa: ANN401
        # Without accelerate launch the Trainer would spread each batch over all accelerators of the machine by
        # DataParallel, for which it multiplies the loss by their number.
        arguments["args"]._n_gpu = min(1, arguments["args"].n_gpu)  # noqa: SLF001 - as the Trainer does for split models
        super().__init__(compute_loss_func=mean_cross_entropy, **arguments)
        self._multiple = multiple

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        # Questions have 12 tokens, essays 400: rows of like length share a batch, so that little is padding.
        lengths = [len(row["input_ids"]) for row in dataset]
        step_rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        # A checkpoint within an epoch says which one by its whole part.
        return EpochSampler(self.args.seed, lambda: int(self.state.epoch or 0), batch_size=step_rows, lengths=lengths)

    @override
    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The loss of a batch, its gradients added up."""
        # An accelerator has room for the whole batch, and processes that wait for each other want like many parts.
        whole = self.args.device.type != "cpu" or self.args.world_size > 1 or num_items_in_batch is None
        parts = [inputs] if whole else micro_batches(inputs, MOST_TOKENS, self._multiple)
        step = super().training_step
        loss = torch.stack([step(model, part, num_items_in_batch) for part in parts]).sum()
        if not torch.isfinite(loss):
            # Before a checkpoint is made of it.
            raise RunError(
                f"training diverged: the loss of step {self.state.global_step + 1} is {float(loss)}; "
                "lower the learning rate"
            )
        return loss
