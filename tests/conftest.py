"""What holds for every test."""

from __future__ import annotations

import sys

import pytest


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what llama-cpp-python opens on import and leaves to the interpreter's end.

    With warnings as errors Python would complain of it after pytest's closing line, which is the last word of a run.
    """
    module = sys.modules.get("llama_cpp._utils")
    for name in ("outnull_file", "errnull_file"):
        if (file := getattr(module, name, None)) is not None:
            file.close()
