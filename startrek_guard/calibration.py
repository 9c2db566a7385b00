"""``startrek-guard train calibrate``: on which rows a guard's threshold may rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from startrek_guard.consoles import err
from startrek_guard.evaluation import run_of
from startrek_guard.guards import open_adapter
from startrek_guard.scoring import gguf_scorer

if TYPE_CHECKING:
    from train.calibrate import Aim, Fit
    from train.rows import Row
    from train.run_dir import RunDir


def calibrate_guard(adapter: str, data: Path, aim: Aim) -> Fit:
    """Fit a guard's temperature and threshold on ``data``, and store them with it.

    Raises:
        DataError: if the rows can't be read, or have other labels than the guard.
        CalibrationError: if they can't carry the promise, or half or more of them are training rows.
        RunError: if it is no trained guard.
    """
    from train.calibrate import calibrate, store_calibration
    from train.guard_file import labels_of
    from train.rows import read_rows, sha256_of

    folder = open_adapter(adapter).path
    labels = labels_of(folder)
    rows = read_rows(data, labels)
    # Before the guard is built.
    if (run := trained_in(folder, data)) is not None:
        for warning in held_out_warnings(rows, data, run):
            err.print(warning, markup=False)
    with gguf_scorer(adapter) as scored:
        fit = calibrate(rows, labels, scored.scorer, aim)
    store_calibration(folder, fit, sha256_of([data]))
    return fit


def trained_in(adapter: Path, data: Path) -> RunDir | None:
    """The run that made an adapter, of those where it lies and where ``data`` lies; None where its rows are gone."""
    from train.generate import Side
    from train.guard_file import read_guard_file
    from train.run_dir import RunDir

    trained_on = read_guard_file(adapter).get("data_sha256")
    for run in (run_of(adapter, None), RunDir(data.resolve().parent.parent)):
        if all(run.rows(side).is_file() for side in Side) and run.data_sha256() == trained_on:
            return run
    return None


def held_out_warnings(rows: list[Row], data: Path, run: RunDir) -> list[str]:
    """What speaks against rows that a threshold is to be fitted on, if it is not enough to refuse them.

    Raises:
        CalibrationError: if half or more of them are training rows.
    """
    from train.calibrate import count_seen
    from train.generate import Side
    from train.rows import read_rows, sha256_of

    warnings = []
    if seen := count_seen(rows, read_rows(run.rows(Side.TRAIN))):
        warnings.append(
            f"{seen} of the {len(rows)} rows in {data} are training rows, word for word or nearly so: "
            "the guard is surer of them than of other rows"
        )
    if sha256_of([data]) == sha256_of([run.rows(Side.TEST)]):
        warnings.append(f"{data} is the run's test side, which can't test a threshold that was fitted on it")
    return warnings
