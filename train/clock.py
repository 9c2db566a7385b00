"""How long a run has trained, also where it was interrupted."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from typing_extensions import override


class TrainingClock(TrainerCallback, ExportableState):  # type: ignore[misc]  # transformers is untyped
    """Counts the seconds of a training; the Trainer keeps them in its checkpoints.

    What an interrupted process computed after its last checkpoint is lost, and not counted.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._begun: float | None = None

    @property
    def seconds(self) -> float:
        """Of this process and those before it, up to the checkpoint that each was resumed from."""
        return self._before + (0.0 if self._begun is None else time.monotonic() - self._begun)

    @override
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as transformers wants it."""
        return {"args": {}, "attributes": {"seconds": self.seconds}}

    @override
    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The state is that of the checkpoint, if the run is resumed."""
        # The Trainer fails over one that a checkpoint of before lacks.
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self._before, self._begun = float(kept["attributes"]["seconds"]), time.monotonic()
