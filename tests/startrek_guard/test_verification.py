"""What an exported guard is compared with."""

from __future__ import annotations

from pathlib import Path

from export.build import AdapterFolder
from export.quantise import FILE_TYPES
from startrek_guard.verification import default_quantisations


def test_a_guard_trained_with_rounding_is_verified_as_it_is_served() -> None:
    """Any other quantisation is another function than the trained one, but F16, which shows merge and fold."""
    rounded = AdapterFolder(Path("x"), {"base": {"package": "gemma3_270m", "rounding": "Q4_0"}})

    assert default_quantisations(rounded) == ["F16", "Q4_0"]
    assert default_quantisations(AdapterFolder(Path("x"), {"base": {"hub": "x/y"}})) == list(FILE_TYPES)
