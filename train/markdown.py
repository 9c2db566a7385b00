"""Markdown that shows text as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MEANINGFUL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#~"})


def escape(text: str, longest: int = 160) -> str:
    """``text`` on one line, cut to ``longest`` characters, nothing in it read as markup."""
    line = " ".join(text.split())
    shown = line if len(line) <= longest else f"{line[: longest - 1]}…"
    # Control and zero-width characters would hide what is quoted.
    visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)
    return visible.translate(_MEANINGFUL)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """A table; with ``numbers``, columns but the first are aligned to the right."""
    alignment = ["---", *["---:" if numbers else "---"] * (len(heads) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, alignment, *rows))


def percent(share: float | None, decimals: int = 1) -> str:
    """A share, ``–`` for none."""
    return "–" if share is None else f"{share:.{decimals}%}".replace("%", " %")


def with_interval(proportion: Mapping[str, Any] | None) -> str:
    """A proportion of :meth:`train.metrics.Proportion.as_dict` with its interval, in percent."""
    if proportion is None or not proportion["of"]:
        return "–"
    return f"{proportion['share']:.1%} [{proportion['low']:.1%}, {proportion['high']:.1%}]".replace("%", " %")


def number(value: float | None, decimals: int = 3) -> str:
    """A number, ``–`` for none."""
    return "–" if value is None else f"{value:.{decimals}f}"
