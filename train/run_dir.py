"""Where a run keeps its files, and when it counts as complete."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from train.errors import RunError
from train.generate import Side
from train.rows import sha256_of

RECORDED_PACKAGES: Final = ("torch", "transformers", "peft", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run's folder. ``run.json`` is written last: a folder that has it is complete."""

    path: Path

    @property
    def adapter(self) -> Path:
        """The trained adapter with what export needs beside it."""
        return self.path / "adapter"

    @property
    def checkpoints(self) -> Path:
        """What an interrupted run resumes from."""
        return self.path / "checkpoints"

    @property
    def loss(self) -> Path:
        """The loss curve, JSON Lines."""
        return self.path / "loss.jsonl"

    @property
    def record(self) -> Path:
        """What was done with what."""
        return self.path / "run.json"

    @property
    def started(self) -> Path:
        """The recipe, data hash and commit with which the run was started."""
        return self.path / "started.json"

    def rows(self, side: Side) -> Path:
        """The rows of one side of the split."""
        return self.path / "data" / f"{side}.jsonl"

    def data_sha256(self) -> str:
        """SHA-256 over the three sides."""
        return sha256_of([self.rows(side) for side in Side])

    def commit(self) -> str:
        """The source's commit when the run was started: its rows are of that corpus, whatever has changed meanwhile."""
        return str(json.loads(self.started.read_text("utf-8")).get("commit", "unknown"))

    def check_open(self) -> None:
        """Say that a run is complete, before anything of it is written over.

        Raises:
            RunError: if it is.
        """
        if self.record.is_file():
            raise RunError(f"{self.path} holds a complete run; name another folder, or remove it")

    def has_checkpoint(self) -> bool:
        """Whether there is anything to resume from."""
        return last_checkpoint(self.checkpoints) is not None

    def begin(self, made_of: Mapping[str, str]) -> None:
        """Note what the run is made of, or check that a run that is resumed is made of the same.

        A run that stopped before its first checkpoint begins anew, with whatever was mended since.

        Args:
            made_of: what decides the result (recipe, rows, base, ...), as texts or hashes by name.

        Raises:
            RunError: if the run is complete, or has checkpoints of other things.
        """
        self.check_open()
        then = json.loads(self.started.read_text("utf-8")) if self.started.is_file() else {}
        changed = [key for key, value in made_of.items() if value != then.get(key)]
        if changed and not self.has_checkpoint():
            # A part of one, of other things, would be counted among the new ones, and kept in place of them.
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            write_json(self.started, dict(made_of) | {"commit": commit()})
            return
        if changed:
            raise RunError(
                f"{self.path} was started with another {changed[0].replace('_', ' ')} and can't be resumed; "
                "name another folder, or remove it"
            )


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole; None where there is none.

    A run that is killed while it writes a checkpoint leaves a part of it. The Trainer writes ``trainer_state.json``
    last, and deletes the checkpoint before only then.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in found if _is_json(path / "trainer_state.json")), None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, "utf-8")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def versions() -> dict[str, str]:
    """Of the libraries that decide a run's numbers."""
    return {name: version(name) for name in RECORDED_PACKAGES}


def commit() -> str:
    """The source's git commit, ``unknown`` outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - the user's own git
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
