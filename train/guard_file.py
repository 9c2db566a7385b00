"""``guard.json`` of an adapter folder: what export needs to know beside the weights, and what was measured since."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from guard.calibration import Calibration, Decision
from guard.labels import Labels
from guard.prompt import PROMPT_VERSION, PromptTemplate
from train.errors import RunError
from train.run_dir import write_json

GUARD_FILE: Final = "guard.json"


def read_guard_file(adapter_folder: Path) -> dict[str, Any]:
    """The folder's ``guard.json``.

    Raises:
        RunError: if the folder has none, or it is no JSON object.
    """
    path = adapter_folder / GUARD_FILE
    try:
        guard = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{adapter_folder} is not a trained guard: {GUARD_FILE} can't be read: {error}") from error
    if not isinstance(guard, dict):
        raise RunError(f"{path} is {type(guard).__name__}, wanted an object")
    return guard


def guard_name(text: str) -> str:
    """A text as a guard's name, which becomes a file's and a model's of Ollama: letters, digits, dots and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.") or "guard"


def prompt_as_dict(template: PromptTemplate) -> dict[str, Any]:
    """A prompt's version and marks, as ``guard.json`` has them."""
    return {"version": PROMPT_VERSION, **asdict(template)}


def update_guard_file(adapter_folder: Path, values: Mapping[str, Any]) -> None:
    """Set top-level values of ``guard.json``, keeping the others; written whole or not at all.

    Raises:
        RunError: if the folder has no ``guard.json``.
    """
    write_json(adapter_folder / GUARD_FILE, {**read_guard_file(adapter_folder), **values})


def labels_of(adapter_folder: Path) -> Labels:
    """The labels that the folder's guard was trained on.

    Raises:
        RunError: if ``guard.json`` can't be read, or names no two labels.
    """
    names = read_guard_file(adapter_folder).get("labels")
    try:
        off_topic, on_topic = names  # type: ignore[misc]  # anything that is no pair of names is caught
        return Labels(off_topic, on_topic)
    except (TypeError, ValueError) as error:
        raise RunError(f"{adapter_folder / GUARD_FILE} has the labels {names!r}, wanted two names: {error}") from error


def calibration_as_dict(calibration: Calibration) -> dict[str, float | str]:
    """As it stands under ``calibration``."""
    return {
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "uncertain_low": calibration.uncertain_low,
        "uncertain_high": calibration.uncertain_high,
        "uncertain_decision": str(calibration.uncertain_decision),
    }


def calibration_of(adapter_folder: Path) -> Calibration:
    """The calibration that the folder's guard is built with.

    Raises:
        RunError: if ``guard.json`` can't be read, or its calibration is not as described.
    """
    stored = read_guard_file(adapter_folder).get("calibration")
    try:
        values = dict(stored)  # type: ignore[arg-type]  # anything that is no table is caught
        decision = Decision(values.pop("uncertain_decision"))
        return Calibration(**{key: float(value) for key, value in values.items()}, uncertain_decision=decision)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"{adapter_folder / GUARD_FILE} has an unusable calibration {stored!r}: {error}"
        raise RunError(problem) from error
