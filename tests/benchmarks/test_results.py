"""What was measured is kept section by section, and a missed target is called so."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import Section, Table, Target, keep, render
from benchmarks.timing import percentile


def _section(name: str, value: float) -> Section:
    tables = [Table(["what", "ms"], [["a prompt", "8.00"]])]
    return Section(name, f"Title of {name}", "How.", tables, [Target(f"{name}'s ratio", value, 1.5)])


@pytest.mark.parametrize(("value", "at_most", "passed"), [(1.5, True, True), (1.6, True, False), (1.6, False, True)])
def test_a_bound_is_kept_or_not(value: float, at_most: bool, passed: bool) -> None:
    """From above or from below, the bound itself included."""
    assert Target("ratio", value, 1.5, at_most=at_most).passed is passed


def test_a_section_measured_again_takes_the_old_ones_place(tmp_path: Path) -> None:
    """The others stay as they were, each with its own machine."""
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    keep(_section("first", 1.0), {"cores": 2}, results)
    keep(_section("second", 1.0), {"cores": 2}, results)
    keep(_section("first", 9.0), {"cores": 4}, results)
    render(["first", "second"], results, page)
    text = page.read_text("utf-8")
    assert "| first's ratio | 9 | ≤ 1.5 | **missed** |" in text
    assert "| second's ratio | 1 | ≤ 1.5 | passed |" in text
    assert text.index("cores 4") < text.index("cores 2")


def test_a_percentile_of_one_value_is_that_value() -> None:
    """A round of a single prompt has a median, too."""
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
