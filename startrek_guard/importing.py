"""``startrek-guard export import``: a classifier that was trained elsewhere becomes a guard's folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.foreign import ForeignClassifier
    from guard.labels import Labels
    from train.hidden import Outputs
    from train.rows import Row


@dataclass(frozen=True)
class Wanted:
    """What a person says of a classifier.

    Attributes:
        source: its folder, or its model id on the hub.
        output: the guard's folder, which must not hold anything yet.
        topic: in words, as refusals name it.
        data: labelled rows, JSON Lines.
        base: of an adapter, in place of what it names.
        labels: two names parted by a comma, in place of the configuration's.
        rows: how many of ``data`` are computed.
        half: whether they are in bfloat16.
    """

    source: str
    output: Path
    topic: str
    data: Path
    base: str | None = None
    labels: str | None = None
    rows: int = 512
    half: bool = False


@dataclass(frozen=True)
class Imported:
    """A guard's folder that was made, and how the classifier did on the rows in the guard's own prompt.

    Attributes:
        folder: the guard's.
        prompts: how many were computed.
        right: the share of them that got their row's label, uncalibrated.
        margin_nats: the least distance of another token from a label.
    """

    folder: Path
    prompts: int
    right: float
    margin_nats: float


def import_classifier(wanted: Wanted) -> Imported:
    """Measure a classifier's final hidden states on rows, and write the guard's folder.

    Raises:
        ExportError: if it is no classifier that can be exported, or the head can't be folded.
        TrainError: if the rows are not as described, or the weights can't be loaded.
    """
    from export.errors import ExportError
    from export.fold import Head, margin_summary

    if wanted.output.exists() and not (wanted.output.is_dir() and not any(wanted.output.iterdir())):
        raise ExportError(f"{wanted.output} exists already, wanted a new folder")
    found, labels, rows = read_classifier(wanted)
    outputs = _compute(found, labels, rows, half=wanted.half)
    margins = margin_summary(Head(found.head, outputs.hidden.mean(axis=0)), outputs.hidden)
    _write(wanted, found, labels, outputs)
    return Imported(wanted.output, len(outputs.logits), _share_right(outputs, labels, rows), margins["least_nats"])


def read_classifier(wanted: Wanted) -> tuple[ForeignClassifier, Labels, list[Row]]:
    """The classifier's files, its labels in order, and the rows to compute; nothing is computed yet.

    Raises:
        ExportError: if it is no classifier that can be exported, or its class 1 is not the on-topic one.
        DataError: if the rows are not as described.
    """
    from export.foreign import choose_labels, read_foreign
    from train.rows import read_rows, spread

    found = read_foreign(wanted.source, wanted.base)
    labels = choose_labels(found.class_names, wanted.labels)
    rows = read_rows(wanted.data, labels)
    _refuse_swapped(labels, wanted.data)
    return found, labels, spread(rows, wanted.rows)


def _refuse_swapped(labels: Labels, data: Path) -> None:
    """Of ``x`` and ``not_x`` it is known which is on topic; of other names a person has to know it."""
    from export.errors import ExportError
    from train.errors import DataError
    from train.rows import find_labels

    try:
        on_topic = find_labels([data]).on_topic
    except DataError:
        return
    if on_topic != labels.on_topic:
        raise ExportError(
            f"the classifier's class 0 is {labels.off_topic!r} and its class 1 {labels.on_topic!r}, wanted the "
            "on-topic class as class 1: swap the two rows of its head, or correct the names with --labels"
        )


def _compute(found: ForeignClassifier, labels: Labels, rows: list[Row], *, half: bool) -> Outputs:
    from startrek_guard.classifier import load_classifier
    from train.encode import Encoder
    from train.hidden import compute
    from train.model import base_in

    base = base_in(found.base_folder)
    encoder = Encoder(base.load_tokenizer(), found.template)
    return compute(
        load_classifier(base, found.folder if found.adapter else None, labels, encoder, half=half), encoder, rows
    )


def _share_right(outputs: Outputs, labels: Labels, rows: list[Row]) -> float:
    wanted = [labels.class_id(rows[place].label) for place in outputs.row_of_prompt]
    return float((outputs.logits.argmax(axis=1) == wanted).mean())


def _write(wanted: Wanted, found: ForeignClassifier, labels: Labels, outputs: Outputs) -> None:
    """The folder gets its name when it is whole."""
    from export.build import FOLD_FILE, GUARD_FILE
    from export.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
    from train.run import save_fold
    from train.run_dir import write_json

    part = wanted.output.with_name(f".{wanted.output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if found.adapter else ():
            shutil.copyfile(found.folder / name, part / name)
        save_fold(outputs.hidden, part / FOLD_FILE)
        write_json(part / GUARD_FILE, _description(wanted, found, labels))
        part.rename(wanted.output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _description(wanted: Wanted, found: ForeignClassifier, labels: Labels) -> dict[str, Any]:
    from guard.calibration import UNCALIBRATED
    from train.guard_file import calibration_as_dict, guard_name, prompt_as_dict

    return {
        "name": guard_name(wanted.output.resolve().name),
        "topic": wanted.topic,
        "labels": list(labels.ordered),
        "prompt": prompt_as_dict(found.template),
        "base": dict(found.base),
        "calibration": calibration_as_dict(UNCALIBRATED),
        # What it was trained on is not known.
        "data_sha256": "",
        "accuracy": None,
    }
