"""Where the command line speaks to people: errors and progress on standard error, answers on standard output."""

from __future__ import annotations

from typing import Final

from rich.console import Console

err: Final = Console(stderr=True, highlight=False)
out: Final = Console(soft_wrap=True, highlight=False, markup=False)
