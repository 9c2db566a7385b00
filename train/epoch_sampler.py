"""The order of an epoch's rows, the same whenever and by whichever process it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler
from typing_extensions import override


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]  # transformers is untyped
    """Rows of like length together, in an order that seed and epoch alone decide.

    transformers' own draws it from torch's global generator. A run that is resumed within its second epoch draws it
    before that generator's state is restored, so it would skip the first rows of another order: some rows come twice
    and others not at all. So it goes with processes that have drawn different amounts of randomness.

    Args:
        seed: of the run.
        epoch: called when an order is drawn; how many epochs are done, from 0.
        arguments: the base class's.
    """

    def __init__(self, seed: int, epoch: Callable[[], int], **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._seed, self._epoch = seed, epoch

    @override
    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self._seed + self._epoch())
        indices: Iterator[int] = super().__iter__()
        return indices
