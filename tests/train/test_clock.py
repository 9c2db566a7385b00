"""A run's time is counted through its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import TrainerState

from train.clock import TrainingClock


def _resumed(folder: Path, state: TrainerState) -> TrainerState:
    """The state of a checkpoint, as another process reads it."""
    state.save_to_json(str(folder / "state.json"))
    return TrainerState.load_from_json(str(folder / "state.json"))


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    """From what the checkpoint has."""
    clock = TrainingClock()
    kept = clock.state() | {"attributes": {"seconds": 5000.0}}
    state = _resumed(tmp_path, TrainerState(stateful_callbacks=[clock]))
    state.stateful_callbacks["TrainingClock"] = kept
    clock.on_train_begin(None, state, None)
    assert 5000 < clock.seconds < 5001


def test_a_clock_begins_with_the_training() -> None:
    """Not while weights are loaded."""
    assert TrainingClock().seconds == 0


def test_a_checkpoint_without_a_time_is_gone_on_from(tmp_path: Path) -> None:
    """One that was written before there was a clock; the Trainer wants an entry of it when it writes the next."""
    state, clock = _resumed(tmp_path, TrainerState()), TrainingClock()
    clock.on_train_begin(None, state, None)
    assert json.dumps(state.stateful_callbacks["TrainingClock"])
    assert 0 < clock.seconds < 1
