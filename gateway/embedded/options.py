"""How an answer is sampled: Ollama's ``options``, with its defaults and its messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from gateway.embedded.errors import BadCallError


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """The options that have an effect; Ollama's names and defaults.

    Attributes:
        num_predict: tokens at the most; negative: until the context is full.
        temperature: 0 takes the likeliest token.
        top_k: candidates by rank; 0 or less: all.
        top_p: candidates by summed probability.
        min_p: candidates by probability relative to the likeliest.
        repeat_penalty: divides the logits of recent tokens; 1 is none.
        repeat_last_n: how many tokens are recent; 0: none, negative: the whole context.
        presence_penalty: taken from the logit of a recent token.
        frequency_penalty: taken as often as the token is recent.
        seed: of the random numbers; negative: another one each time.
        stop: texts that end the answer and are not part of it.
    """

    num_predict: int = -1
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    repeat_penalty: float = 1.1
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = -1
    stop: tuple[str, ...] = ()

    @property
    def repeatable(self) -> bool:
        """Whether the same prompt shall give the same answer again."""
        return self.seed >= 0 or self.temperature <= 0


DEFAULT_OPTIONS: Final = SamplingOptions()


def read_options(values: Mapping[str, object]) -> SamplingOptions:
    """Options out of a JSON object.

    Unknown ones are ignored, as Ollama does, and so are those that load a model otherwise (``num_ctx``,
    ``num_gpu``, ``num_thread``): there is one model, loaded once.

    Raises:
        BadCallError: if a known option has a wrong type, in Ollama's words.
    """
    known = {name: reader(name, values[name]) for name, reader in _READERS.items() if values.get(name) is not None}
    # Each reader gives its own field's type, which a mapping of readers can't say.
    return SamplingOptions(**known)  # type: ignore[arg-type]


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadCallError(f'option "{name}" must be of type float32')
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadCallError(f'option "{name}" must be of type float32')
    return number


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadCallError(f'option "{name}" must be of type integer')
    return int(value)


def _between(low: float, high: float) -> Callable[[str, object], float]:
    """A reader of numbers that draws them into a range.

    Outside of it llama.cpp computes infinities, and NaN from them: its sampler then ends the process by an assertion.
    """
    return lambda name, value: min(max(_number(name, value), low), high)


def _temperature(name: str, value: object) -> float:
    number = min(_number(name, value), 100.0)
    # Logits divided by less than this overflow, and greedy is what such a temperature means.
    return number if number >= 0.001 else 0.0


def _strings(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadCallError(f'option "{name}" must be of type array')
    if not all(isinstance(item, str) for item in value):
        raise BadCallError(f'option "{name}" must be of an array of strings')
    return tuple(item for item in value if item)


_READERS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "num_predict": _integer,
    "temperature": _temperature,
    "top_k": _integer,
    "top_p": _between(0.0, 1.0),
    "min_p": _between(0.0, 1.0),
    "repeat_penalty": _between(0.01, 100.0),
    "repeat_last_n": _integer,
    "presence_penalty": _between(-100.0, 100.0),
    "frequency_penalty": _between(-100.0, 100.0),
    "seed": _integer,
    "stop": _strings,
}

if set(_READERS) != {field.name for field in fields(SamplingOptions)}:
    raise AssertionError("every option needs a reader")
