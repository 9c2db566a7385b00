"""What a user calls things stands in the plots as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.train.reported import report_for
from train.plots import plot_report, scores_file, slices_file


def _texts(file: Path) -> list[str]:
    return re.findall("<text[^>]*>([^<]+)</text>", file.read_text("utf-8"))


def _report(folder: Path, name: str) -> dict[str, Any]:
    """With one slice, of that name, in rows of that name."""
    report = report_for(folder)
    for evaluation in report["evaluations"]:
        metrics = evaluation["slices"].popitem()[1]
        evaluation |= {"slices": {name: metrics}, "baselines": {}, "title": name}
    return report


def test_a_name_with_dollars_is_no_formula(tmp_path: Path) -> None:
    """Where matplotlib would look for one, and stop at what is none."""
    plot_report(_report(tmp_path, "cost_$5_to_$9"), tmp_path / "plots")
    texts = _texts(tmp_path / "plots" / slices_file("hard"))
    assert "By slice: cost_$5_to_$9" in texts
    assert any(text.startswith("cost_$5_to_$9 (") for text in texts)


def test_powers_of_ten_stay_formulas(tmp_path: Path) -> None:
    """The histogram's axis is logarithmic."""
    plot_report(report_for(tmp_path), tmp_path / "plots")
    assert not [text for text in _texts(tmp_path / "plots" / scores_file("hard")) if "$" in text]
