"""A promise is kept on the rows it was fitted on, or refused with what it would take."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.calibration import UNCALIBRATED, Calibration, Decision, LabelLogits
from guard.labels import DEFAULT_LABELS
from train.calibrate import (
    TEMPERATURES,
    Aim,
    allowed_false_blocks,
    calibrate,
    describe,
    fit_calibration,
    fit_temperature,
    rows_needed,
    store_calibration,
)
from train.errors import CalibrationError, RunError
from train.guard_file import GUARD_FILE, calibration_as_dict, calibration_of, read_guard_file
from train.metrics import Bools, Floats, wilson
from train.rows import prompt_row


def _rows(count: int = 1000, seed: int = 0, scale: float = 1.0) -> tuple[Bools, Floats]:
    """Half of each label, logits whose probabilities are right at ``scale`` 1."""
    random = np.random.default_rng(seed)
    differences = random.normal(0, 3, count)
    on_topic = random.random(count) < 1 / (1 + np.exp(-differences))
    return on_topic, differences * scale


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    promise=st.floats(0.01, 0.2),
    scale=st.floats(0.2, 5),
    share=st.sampled_from([0.0, 0.05]),
    decision=st.sampled_from(list(Decision)),
)
def test_the_promise_is_kept_whatever_the_band_decides(
    seed: int, promise: float, scale: float, share: float, decision: Decision
) -> None:
    """Judged by the stored calibration itself."""
    on_topic, differences = _rows(1200, seed, scale)
    aim = Aim(max_false_block=promise, uncertain_share=share, uncertain_decision=decision)
    fit = fit_calibration(on_topic, differences, aim)
    decisions = [fit.calibration.decide(fit.calibration.score(LabelLogits(0, float(d)))) for d in differences[on_topic]]
    assert decisions.count(Decision.BLOCK) == fit.confusion.false_blocks.hits
    assert fit.confusion.false_blocks.share <= promise + 1e-9


def test_a_larger_threshold_would_break_the_promise_or_refuse_in_vain() -> None:
    """The next on-topic row up is one too many, or no off-topic row lies below it."""
    on_topic, differences = _rows(4000)
    fit = fit_calibration(on_topic, differences, Aim(max_false_block=0.05))
    scores = np.array([fit.calibration.score(LabelLogits(0, float(d))) for d in differences])
    assert fit.confusion.false_blocks.interval.high <= 0.05
    more = np.sort(scores[~on_topic & (scores >= fit.calibration.threshold)])[0]
    assert wilson(int(np.sum(scores[on_topic] <= more)), int(on_topic.sum())).high > 0.05


def test_no_false_block_is_made_in_vain() -> None:
    """Where the labels lie apart, the threshold lies between them, not at the promise's edge."""
    differences = np.concatenate([np.linspace(-6, -4, 500), np.linspace(4, 6, 500)])
    fit = fit_calibration(differences > 0, differences, Aim(max_false_block=0.05))
    assert fit.calibration.threshold == pytest.approx(0.5, abs=0.01)
    assert (fit.confusion.false_blocks.hits, fit.confusion.recall.share) == (0, 1.0)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    """Guo et al.: logits that are all so many times too large."""
    assert fit_temperature(*_rows(20_000, scale=scale)) == pytest.approx(scale, rel=0.04)


def test_calibration_error_falls() -> None:
    """On logits three times too sure."""
    fit = fit_calibration(*_rows(4000, scale=3.0), Aim(max_false_block=0.05))
    assert fit.error_after < fit.error_before / 2


def test_rows_told_apart_perfectly_have_a_temperature() -> None:
    """Without Platt's targets it would be nothing."""
    differences = np.repeat([-4.0, 4.0], 200)
    assert TEMPERATURES[0] < fit_temperature(differences > 0, differences) < 2


def test_without_a_promise_both_labels_are_wrong_equally_often() -> None:
    """As nearly as the rows allow: a quarter of the on-topic ones, a sixth of the others."""
    on_topic = np.array([False] * 6 + [True] * 4)
    differences = np.array([-5.0, -4, -3, -2, -1, 3, 1, 2, 4, 5])
    fit = fit_calibration(on_topic, differences, Aim(max_false_block=None))
    assert (fit.confusion.false_blocks.hits, fit.confusion.recall.hits) == (1, 5)


@pytest.mark.parametrize("decision", list(Decision))
def test_the_band_holds_its_share_on_the_side_of_its_decision(decision: Decision) -> None:
    """Blocked rows lie below the threshold, allowed and flagged ones above."""
    on_topic, differences = _rows(2000)
    aim = Aim(max_false_block=0.05, uncertain_share=0.1, uncertain_decision=decision)
    calibration = fit_calibration(on_topic, differences, aim).calibration
    scores = np.array([calibration.score(LabelLogits(0, float(d))) for d in differences])
    inside = (scores >= calibration.uncertain_low) & (scores < calibration.uncertain_high)
    assert inside.sum() == pytest.approx(200, abs=2)
    edge = calibration.uncertain_high if decision is Decision.BLOCK else calibration.uncertain_low
    assert edge == calibration.threshold


def test_too_few_rows_are_told_how_many_it_takes() -> None:
    """And what could be promised with them."""
    on_topic, differences = _rows(200)
    needed, there = rows_needed(0.01), int(on_topic.sum())
    with pytest.raises(
        CalibrationError, match=rf"1\.00% false blocks needs {needed} .*there are {there}: .* promise 3\.\d%"
    ):
        fit_calibration(on_topic, differences, Aim(max_false_block=0.01))


@pytest.mark.parametrize("promise", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("rows", [400, 1000, 5000])
def test_so_many_false_blocks_are_allowed_that_the_interval_keeps_the_promise(promise: float, rows: int) -> None:
    """And not one more."""
    allowed = allowed_false_blocks(rows, promise)
    assert wilson(allowed, rows).high <= promise < wilson(allowed + 1, rows).high


@pytest.mark.parametrize("promise", [0.005, 0.01, 0.05])
def test_the_rows_needed_are_wilsons(promise: float) -> None:
    """No false block among as many leaves the promise within the interval, among one less it does not."""
    needed = rows_needed(promise)
    assert wilson(0, needed).high <= promise < wilson(0, needed - 1).high


def test_one_label_is_refused() -> None:
    """A threshold lies between two."""
    with pytest.raises(CalibrationError, match="all 500 validation rows have one label"):
        fit_calibration(np.ones(500, dtype=bool), np.zeros(500), Aim())


def test_rows_without_a_number_are_refused_at_every_threshold() -> None:
    """A few are false blocks; too many break the promise, and none of a label can't be fitted."""
    on_topic, differences = _rows(2000)
    places = np.flatnonzero(on_topic)
    differences[places[:5]] = math.nan
    assert fit_calibration(on_topic, differences, Aim(max_false_block=0.05)).confusion.false_blocks.hits >= 5
    differences[places[:300]] = math.nan
    with pytest.raises(CalibrationError, match=r"no number for 300 of .* can't be promised"):
        fit_calibration(on_topic, differences, Aim(max_false_block=0.05))
    differences[on_topic] = math.nan
    with pytest.raises(CalibrationError, match="no number for any validation row of one label"):
        fit_calibration(on_topic, differences, Aim(max_false_block=None))


@pytest.mark.parametrize("values", [{"max_false_block": 0.0}, {"max_false_block": 1.0}, {"uncertain_share": 1.0}])
def test_an_impossible_aim_is_refused(values: dict[str, float]) -> None:
    """Before a model is asked."""
    with pytest.raises(CalibrationError, match="wanted"):
        Aim(**values)  # type: ignore[arg-type]


def test_a_long_rows_least_window_counts() -> None:
    """As it does when judging."""
    rows = [prompt_row(f"row {number}", DEFAULT_LABELS.ordered[number % 2]) for number in range(1000)]
    windows = [[LabelLogits(0, 9), LabelLogits(0, 5 if number % 2 else -5)] for number in range(1000)]
    fit = calibrate(rows, DEFAULT_LABELS, lambda _rows: windows, Aim(max_false_block=0.05))
    assert fit.confusion.accuracy.share == 1.0


def test_a_calibration_is_stored_with_what_it_rests_on(tmp_path: Path) -> None:
    """Its interval and rows; the other values of ``guard.json`` stay."""
    guard = {"name": "bee-guard", "calibration": calibration_as_dict(UNCALIBRATED), "accuracy": 0.9}
    (tmp_path / GUARD_FILE).write_text(json.dumps(guard), "utf-8")
    fit = fit_calibration(*_rows(), Aim(max_false_block=0.05))
    store_calibration(tmp_path, fit, "hash")
    assert calibration_of(tmp_path) == fit.calibration != UNCALIBRATED
    stored = read_guard_file(tmp_path)
    assert (stored["name"], stored["calibration_fit"]["rows_sha256"]) == ("bee-guard", "hash")
    assert stored["accuracy"] is None, "it was measured with another threshold"
    assert stored["calibration_fit"]["false_blocks"] == fit.confusion.false_blocks.as_dict()


def test_nothing_is_stored_where_there_is_no_guard(tmp_path: Path) -> None:
    """A mistyped folder is not made one."""
    with pytest.raises(RunError):
        store_calibration(tmp_path, fit_calibration(*_rows(), Aim(max_false_block=0.05)), "hash")
    assert not list(tmp_path.iterdir())


def test_what_is_stored_survives_six_decimals() -> None:
    """GGUF readers show numbers so, and have to decide alike."""
    calibration = fit_calibration(*_rows(), Aim(max_false_block=0.05, uncertain_share=0.1)).calibration
    shown: dict[str, Any] = {
        key: float(f"{getattr(calibration, key):f}")
        for key in ("temperature", "threshold", "uncertain_low", "uncertain_high")
    }
    assert Calibration(**shown) == calibration


def test_people_are_told_promise_and_interval() -> None:
    """In percent."""
    told = describe(fit_calibration(*_rows(), Aim(max_false_block=0.05)))
    assert "promised at most 5.00%" in told
    assert "95 % of the time between" in told
