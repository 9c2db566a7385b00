"""``report.md`` and its plots say what ``report.json`` does, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.reported import adapter_in, evaluation, report_for
from train.calibrate import Aim
from train.errors import RunError
from train.report import (
    MAX_LOSS_POINTS,
    check_report,
    lowest_slice,
    make_report,
    read_report,
    render_report,
    write_report,
)


def test_a_report_is_written_and_checked(tmp_path: Path) -> None:
    """JSON, Markdown, and a plot for each link in it."""
    report = report_for(tmp_path)
    write_report(report, tmp_path / "report")
    check_report(tmp_path / "report")
    assert read_report(tmp_path / "report") == report
    plots = sorted(path.name for path in (tmp_path / "report" / "plots").iterdir())
    assert plots == ["hard-scores.svg", "hard-slices.svg", "loss.svg"]
    text = (tmp_path / "report" / "report.md").read_text("utf-8")
    assert all(f"(plots/{name})" in text for name in plots)


def test_the_same_report_gives_the_same_files(tmp_path: Path) -> None:
    """Down to the bytes of the plots, which are small."""
    contents = []
    for _ in range(2):
        write_report(report_for(tmp_path), tmp_path / "report")
        files = sorted(path for path in (tmp_path / "report").rglob("*") if path.is_file())
        contents.append([(path.name, path.read_bytes()) for path in files])
    assert contents[0] == contents[1]
    assert max(len(content) for _, content in contents[0]) < 100_000


def test_plots_of_an_earlier_report_go_and_other_files_stay(tmp_path: Path) -> None:
    """In a folder that a user may keep his own things in."""
    write_report(report_for(tmp_path), tmp_path)
    (tmp_path / "plots" / "mine.svg").write_text("mine", "utf-8")
    write_report(make_report(adapter_in(tmp_path / "adapter"), [evaluation(name="other")]), tmp_path)
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["mine.svg", "other-scores.svg", "other-slices.svg"]


@pytest.mark.parametrize("name", ["plots/holiday.jpg", "report.md", "report.json"])
def test_files_of_somebody_else_are_not_replaced(tmp_path: Path, name: str) -> None:
    """Nor is anything written beside them."""
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("[]", "utf-8")
    with pytest.raises(RunError, match="is not of a report that was written here"):
        write_report(report_for(tmp_path), tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [file]
    assert file.read_text("utf-8") == "[]"


def test_a_report_that_was_edited_is_found(tmp_path: Path) -> None:
    """Numbers are rendered, never typed."""
    write_report(report_for(tmp_path), tmp_path)
    path = tmp_path / "report.md"
    path.write_text(path.read_text("utf-8").replace("50.0 %", "99.0 %"), "utf-8")
    with pytest.raises(RunError, match=r"is not what report\.json renders to"):
        check_report(tmp_path)


def test_the_numbers_are_in_the_text(tmp_path: Path) -> None:
    """Accuracy with its interval, the confusion matrix, slices beside the baseline, the worst errors."""
    text = render_report(report_for(tmp_path))
    for line in (
        "| Hard set | 8 | 50.0 % [21.5 %, 78.5 %] | 40.0 % [11.8 %, 76.9 %] | 33.3 % [6.1 %, 79.2 %] |",
        "| evasion\\_persona, 0.0 % | keyword list, 62.5 % |",
        "| not\\_related | 1 | 2 |",
        "| related | 2 | 3 |",
        "| other\\_insects | 2 | 50.0 % [9.5 %, 90.5 %] | – | 1 of 2 | 100.0 % |",
        "| **evasion** | 2 | 0.0 % [0.0 %, 65.8 %] | 1 of 1 | 0 of 1 | 0.0 % |",
        "| 4 | other\\_insects | not\\_related | 0.731 | other.txt:1 | a wasp \\| \\*sting\\* |",
        "1 rows got no score and count as refused.",
        "2 rows were allowed with a flag.",
        "Scores from 0.5000 up to 0.6000 are uncertain: flag. Not calibrated yet.",
    ):
        assert line in text


def test_a_users_rows_stand_there_by_number(tmp_path: Path) -> None:
    """Neither text nor source."""
    text = render_report(report_for(tmp_path, show_texts=False))
    assert "wasp" not in text
    assert "other.txt" not in text
    assert "| 4 | other\\_insects | not\\_related | 0.731 |" in text


def test_the_lowest_slice_is_the_worst(tmp_path: Path) -> None:
    """By accuracy."""
    assert lowest_slice(report_for(tmp_path)["evaluations"][0])[0] == "evasion_persona"


def test_a_long_loss_curve_is_thinned(tmp_path: Path) -> None:
    """Evenly, and to what a plot needs."""
    loss = report_for(tmp_path)["loss"]
    assert MAX_LOSS_POINTS / 2 < len(loss) <= MAX_LOSS_POINTS
    assert set(loss[0]) == {"step", "loss"}


def test_two_evaluations_of_one_name_are_refused(tmp_path: Path) -> None:
    """One's plots would replace the other's."""
    with pytest.raises(RunError, match="have one name: hard, hard"):
        make_report(adapter_in(tmp_path), [evaluation(), evaluation()])


def test_a_report_tells_what_the_calibration_rests_on(tmp_path: Path) -> None:
    """The promise, and what came of it."""
    share = {"hits": 1, "of": 100, "share": 0.01, "low": 0.002, "high": 0.054}
    fit = {
        "max_false_block": Aim().max_false_block,
        "false_blocks": share,
        "recall": share,
        "error_before": 0.2,
        "error_after": 0.1,
    }
    report = make_report(adapter_in(tmp_path, calibration_fit=fit), [evaluation()])
    assert "to refuse at most 1.00 % of them: false blocks 1.0 % [0.2 %, 5.4 %]" in render_report(report)
    assert "Training loss" not in render_report(report)


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is a loss curve that can't be read."""
    with pytest.raises(RunError, match="has no report"):
        read_report(tmp_path)
    with pytest.raises(RunError, match=r"loss curve .*gone"):
        make_report(adapter_in(tmp_path), [], tmp_path / "gone")
