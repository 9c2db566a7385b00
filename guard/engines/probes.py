"""What every engine asks a model before it is used as a guard, and the room that it gives a prompt."""

from __future__ import annotations

from typing import Final

from guard.prompt import MAX_PROMPT_BYTES

CONTEXT_TOKENS: Final = 4096
"""No text has more tokens than bytes, so any rendered prompt fits."""

PROBES: Final = ("Who is Spock?", "Ein zweiter Text, mit Zahlen wie 1701.\nUnd einer Zeile mehr.")
"""Texts that a guard must answer with its labels in front; which of the two is its own affair."""

MIN_PROBE_MARGIN_NATS: Final = 6.0
"""How far every other token must lie below the lower label. Export asks for twice that of the unquantised model;
quantising moves it a little, and a model without folded labels is nowhere near."""

if MAX_PROMPT_BYTES > CONTEXT_TOKENS:
    raise AssertionError(f"prompts of {MAX_PROMPT_BYTES} bytes do not fit a context of {CONTEXT_TOKENS} tokens")
