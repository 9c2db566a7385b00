"""What can go wrong in training.

TrainError
├── DataError          labelled text that is not as described, with file and line
├── RecipeError        a recipe that is not as described
├── RunError           a run that can't be started, resumed or used
└── CalibrationError   rows that can't support what is asked of a calibration
"""

from __future__ import annotations

from pathlib import Path


class TrainError(Exception):
    """Nothing was overwritten."""


class DataError(TrainError):
    """Labelled text that is not as described; names the file and the line."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = path, line, problem
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {problem}")


class RecipeError(TrainError):
    """A recipe that is not as described."""


class RunError(TrainError):
    """A run that can't be started, resumed or used."""


class CalibrationError(TrainError):
    """Rows that can't support what is asked of a calibration."""
