"""Ollama's options are read, refused, or drawn into range."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.embedded.errors import BadCallError
from gateway.embedded.options import SamplingOptions, read_options


def test_absent_options_have_ollamas_defaults() -> None:
    """Null counts as absent, unknown options and those of loading are ignored."""
    assert read_options({"seed": None, "num_ctx": 9, "warp": "nine"}) == SamplingOptions()


def test_options_are_read_by_ollamas_names() -> None:
    """A whole number may come as a float, as in Go."""
    options = read_options({"num_predict": 7.0, "temperature": 0.5, "stop": ["a", ""], "seed": 42})

    assert options == SamplingOptions(num_predict=7, temperature=0.5, stop=("a",), seed=42)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"top_p": True}, 'option "top_p" must be of type float32'),
        ({"min_p": float("inf")}, 'option "min_p" must be of type float32'),
        ({"seed": "1"}, 'option "seed" must be of type integer'),
        ({"stop": "a"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of an array of strings'),
    ],
)
def test_a_wrong_type_is_refused_in_ollamas_words(values: dict[str, Any], message: str) -> None:
    """The message names the option and the type."""
    with pytest.raises(BadCallError) as caught:
        read_options(values)

    assert message == str(caught.value)


def test_numbers_that_overflow_are_drawn_into_range() -> None:
    """llama.cpp ends the process when a logit becomes NaN."""
    options = read_options({"temperature": 1e-30, "repeat_penalty": 0, "presence_penalty": -1e308, "top_p": 7})

    assert options == SamplingOptions(temperature=0.0, repeat_penalty=0.01, presence_penalty=-100.0, top_p=1.0)


@pytest.mark.parametrize(("values", "repeatable"), [({"seed": 0}, True), ({"temperature": 0}, True), ({}, False)])
def test_a_seed_or_no_temperature_makes_answers_repeatable(values: dict[str, Any], repeatable: bool) -> None:
    """Other answers are new each time."""
    assert read_options(values).repeatable is repeatable
