"""What a list of likely tokens says of the labels."""

from __future__ import annotations

from typing import Any

import pytest

from guard.calibration import UNCALIBRATED, LabelLogits
from guard.engines.base import EngineAnswerError
from guard.engines.listed_tokens import check_probe, label_logits, read_list
from guard.labels import DEFAULT_LABELS

OTHERS = {"a": -20.0, "b": -21.0}


def test_both_labels_are_read() -> None:
    """By name, not by place."""
    listed = {"not_related": -0.1, "related": -2.3, **OTHERS}
    assert label_logits(listed, DEFAULT_LABELS) == LabelLogits(off_topic=-0.1, on_topic=-2.3)


def test_an_unlisted_off_topic_label_gets_the_least_listed_value() -> None:
    """An upper bound: the error, if it is one, is to block."""
    assert label_logits({"related": 0.0, **OTHERS}, DEFAULT_LABELS) == LabelLogits(off_topic=-21.0, on_topic=0.0)


@pytest.mark.parametrize("off_topic", [-0.1, -3.0])
def test_an_unlisted_on_topic_label_is_never_allowed(off_topic: float) -> None:
    """Even if the least listed token is about as likely as the other label, at any threshold."""
    logits = label_logits({"not_related": off_topic, "a": -3.0}, DEFAULT_LABELS)
    assert UNCALIBRATED.score(logits) < 1e-12


def test_a_list_without_labels_is_no_answer() -> None:
    """Not half and half."""
    with pytest.raises(EngineAnswerError, match="neither label is among the 2 likeliest"):
        label_logits(OTHERS, DEFAULT_LABELS)


def test_a_label_with_a_space_is_another_token() -> None:
    """Texts are compared whole."""
    with pytest.raises(EngineAnswerError):
        label_logits({" related": -0.1, "Related": -1.0}, DEFAULT_LABELS)


@pytest.mark.parametrize(
    "entries",
    [
        None,
        [],
        "related",
        {"related": 0.0},
        [None],
        [{}],
        [{"token": "related"}],
        [{"token": "related", "logprob": None}],
        [{"token": "related", "logprob": "-1"}],
        [{"token": 7, "logprob": -1.0}],
        [{"token": "related", "logprob": float("nan")}],
        [{"token": "related", "logprob": float("-inf")}],
    ],
)
def test_malformed_lists_are_no_answer(entries: Any) -> None:
    """Whatever a server makes up."""
    with pytest.raises(EngineAnswerError):
        read_list(entries, "token", "logprob")


def test_of_two_tokens_with_one_text_the_likelier_counts() -> None:
    """Control tokens are all listed as empty texts."""
    entries = [{"token": "", "logprob": -9}, {"token": "", "logprob": -8}]
    assert read_list(entries, "token", "logprob") == {"": -8.0}


@pytest.mark.parametrize(
    "listed",
    [
        {"related": -0.1, "a": -3.0},
        {"related": -0.1, "not_related": -4.0, "a": -9.0},
        {"a": -0.1, "related": -8.0, "not_related": -9.0},
    ],
)
def test_a_probe_refuses_a_model_that_answers_something_else(listed: dict[str, float]) -> None:
    """The sentence says what it answered."""
    with pytest.raises(EngineAnswerError, match=r"asked 'Hi', the model's likeliest tokens are .* wanted"):
        check_probe(listed, DEFAULT_LABELS, "Hi")


@pytest.mark.parametrize("others", [{}, {"a": -20.0}])
def test_a_probe_accepts_labels_well_in_front(others: dict[str, float]) -> None:
    """Whichever of them is first."""
    check_probe({"not_related": -0.1, "related": -2.3, **others}, DEFAULT_LABELS, "Hi")
