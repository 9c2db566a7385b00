"""What every benchmark is given: the guard, the rows, how long to take, and a description of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from guard.labels import DEFAULT_LABELS, Labels
from guard.prompt import PromptTemplate, render_prompts
from startrek_guard.guards import DEFAULT_GUARD, build, cache_folder, open_adapter
from train.generate import Side
from train.recipe import load_recipe
from train.rows import Row
from train.run import split_data


@dataclass(frozen=True)
class Context:
    """How a benchmark is run.

    Attributes:
        adapter_name: of the guard, a shipped one.
        rows: how many test rows at most; 1,000 or more for figures to quote.
        rounds: of each of the things compared, in turn.
        soak_seconds: how long the soak takes.
    """

    adapter_name: str = DEFAULT_GUARD
    rows: int = 1000
    rounds: int = 3
    soak_seconds: float = 1800.0

    @cached_property
    def guard(self) -> Path:
        """The guard's GGUF, built if need be."""
        return build(open_adapter(self.adapter_name), "Q4_0", None)

    @property
    def cache(self) -> Path:
        """The cache folder of bases and guards."""
        return cache_folder()

    @property
    def labels(self) -> Labels:
        """The shipped topic's."""
        return DEFAULT_LABELS

    @cached_property
    def template(self) -> PromptTemplate:
        """The guard's prompt marks."""
        return open_adapter(self.adapter_name).manifest().template

    @cached_property
    def sides(self) -> Mapping[Side, Sequence[Row]]:
        """The rows that the guard's recipe composes, by side."""
        return split_data(load_recipe(self.adapter_name))[1]

    @cached_property
    def test_rows(self) -> Sequence[Row]:
        """Rows of the test side, in their shuffled order: the natural mix of lengths."""
        return self.sides[Side.TEST][: self.rows]

    @cached_property
    def prompts(self) -> Sequence[str]:
        """The first window of each test row, rendered as the guard reads it."""
        return [render_prompts(row.turns, self.template)[0] for row in self.test_rows]

    def machine(self) -> dict[str, Any]:
        """For the page: processor, cores, versions, commit, guard."""
        return {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "Python": platform.python_version(),
            "llama-cpp-python": version("llama-cpp-python"),
            "commit": _commit(),
            "guard": self.guard.name,
        }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    wide = "AVX-512" if "avx512f" in named.get("flags", "") else "AVX2" if "avx2" in named.get("flags", "") else "SSE"
    return f"{named.get('model name', platform.machine())} ({wide})"


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
