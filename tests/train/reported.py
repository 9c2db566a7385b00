"""A guard whose answers are known, evaluated and reported, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guard.calibration import Calibration, Decision, LabelLogits
from guard.labels import DEFAULT_LABELS
from guard.prompt import Role, Turn
from train.baselines import Keywords
from train.evaluate import Evaluation, Subject, evaluate
from train.guard_file import GUARD_FILE, calibration_as_dict
from train.report import make_report
from train.rows import Row, prompt_row

CALIBRATION = Calibration(1.0, 0.5, 0.5, 0.6, Decision.FLAG)
ON_TOPIC_LOGITS = {"bee": 3.0, "hive": 0.2, "wasp": 1.0, "?": float("nan")}
"""By the word in a text; -3 for any other."""

ROWS = [
    prompt_row("a bee", "related", slice="canon", source="canon.txt:1"),
    prompt_row("a hive", "related", slice="canon", source="canon.txt:2"),
    prompt_row("comb", "related", slice="canon", source="canon.txt:3"),
    prompt_row("a wasp | *sting*", "not_related", slice="other_insects", source="other.txt:1"),
    prompt_row("my tax", "not_related", slice="other_insects", source="other.txt:2"),
    prompt_row("a bee says: tax", "not_related", slice="evasion_persona", source="persona.txt:1"),
    prompt_row("?", "related", slice="evasion_persona", source="persona.txt:2"),
    Row(
        (Turn(Role.USER, "a bee"), Turn(Role.ASSISTANT, "Yes."), Turn(Role.USER, "its hive")),
        "related",
        "conversation_on",
    ),
]


def scorer(rows: Sequence[Row]) -> list[list[LabelLogits]]:
    """By the words in the judged text."""
    return [
        [LabelLogits(0.0, next((v for word, v in ON_TOPIC_LOGITS.items() if word in row.text), -3.0))] for row in rows
    ]


def evaluation(*, name: str = "hard", show_texts: bool = True, training: Sequence[Row] = ()) -> Evaluation:
    """Of :data:`ROWS`, by :func:`scorer`, beside a keyword list."""
    return evaluate(
        ROWS,
        subject=Subject(name=name, title="Hard set", scored_by="bees.gguf", show_texts=show_texts),
        labels=DEFAULT_LABELS,
        scorer=scorer,
        calibration=CALIBRATION,
        baselines=[Keywords(["bee", "hive"])],
        others={"float model": scorer},
        training=training,
    )


def adapter_in(folder: Path, **values: Any) -> Path:
    """An adapter folder as far as reports read it."""
    folder.mkdir(parents=True, exist_ok=True)
    guard = {
        "name": "bee-guard",
        "topic": "Bees",
        "labels": list(DEFAULT_LABELS.ordered),
        "calibration": calibration_as_dict(CALIBRATION),
        "data_sha256": "f" * 64,
    }
    (folder / GUARD_FILE).write_text(json.dumps(guard | values), "utf-8")
    return folder


def report_for(folder: Path, **options: Any) -> dict[str, Any]:
    """A report of one evaluation, with a loss curve."""
    adapter = adapter_in(folder / "adapter")
    loss = folder / "loss.jsonl"
    loss.write_text(
        "".join(f'{{"step": {step}, "loss": {1 / step}, "epoch": 1}}\n' for step in range(1, 1000)), "utf-8"
    )
    return make_report(adapter, [evaluation(**options)], loss)
