"""Ids of calls, which some templates write into the prompt: whether chance made one, or a text stands in its place.

An id has a shape that servers make, and reads like chance: no run of its letters is more like words than that. A score
is the natural logarithm of how much likelier three letters in a row are in a text than in an id, summed over the run
that has the most of it.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from string import ascii_lowercase
from typing import Final

_PREFIX: Final = "(?:call|toolu|srvtoolu|mcptoolu|chatcmpl|chatcmpl-tool|fc|fco|msg|resp|rs|ws|item|run|pyd_ai)"
_HEX: Final = "[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_COUNTER: Final = re.compile(
    # Ollama's ids of items and of mixed answers among them (openai/responses.go, middleware/openai.go).
    rf"(?:(?:{_PREFIX}[_-])?(?:{_PREFIX}|c|t|tc|id|tool)[_-]?)?(?P<number>[0-9]{{1,6}})(?:_[0-9]{{1,3}})?"
    r"|(?:rs|msg)_presearch|fc_mixed_[0-9]{1,3}"
)
_SHAPE: Final = re.compile(
    # Ollama's; those of many servers; Mistral's and llama-server's.
    rf"call_(?P<short>[a-z0-9]{{8}})|(?:{_PREFIX}[_-]{{1,2}})?(?P<hex>{_HEX})"
    rf"|{_PREFIX}[_-]{{1,2}}(?P<long>[0-9A-Za-z]{{20,40}})|(?P<alone>[0-9A-Za-z]{{9}}|[0-9A-Za-z]{{32}})"
)
_DIGIT_SHARE: Final = {"short": 10 / 36, "hex": 10 / 16, "long": 10 / 62, "alone": 10 / 62}
"""Of the characters that the id is drawn from."""

_MOST_DIGITS: Final = 0.85
"""Of an id: with more it is a number, which may be a text in decimal codes."""

_MOST_SCORE: Final = 3.5
"""Of one id, above the logarithm of its length: chance has more in one of 200."""

_MOST_TOGETHER: Final = (2.0, 3.0)
"""Of all ids above what chance has on average, and for each root of their count: three standard deviations."""

_MOST_JOINED: Final = 5.0
"""Of the letters of all ids in a row, above the logarithm of their number."""

_LEET: Final = ("oizeasgtbg", "olzeasgtbg")
_IN_LETTERS: Final = 0.1
_LEET_COST: Final = 0.7
_DIGIT_COST: Final = 0.6
"""Most characters of a text are letters; digits stand for letters in it, or between them, less often than in an id."""

_LETTERS: Final = (re.compile("[a-z]+"), re.compile("^[a-z]+"), re.compile("[a-z]+$"))
"""All letters of an id, and those that it begins and ends with: the rest may be there to keep words apart."""

_CODES: Final = 256
_MANY_CODES: Final = 6
"""Numbers below 256 that do not count up may be the characters of a text, if there are so many."""

_TEXT_BYTES: Final = 6
_TEXT_SHARE: Final = 0.75
_TEXT_CHARS: Final = frozenset(b" '" + ascii_lowercase.encode() + ascii_lowercase.upper().encode())


def is_made_id(text: str) -> bool:
    """Whether an id is a counter, or one that chance made."""
    if _COUNTER.fullmatch(text):
        return True
    found = _SHAPE.fullmatch(text)
    if found is None or found.lastgroup is None:
        return False
    kind, tail = found.lastgroup, found[found.lastgroup].replace("-", "")
    if kind in {"long", "alone"} and (tail == tail.lower() or tail == tail.upper()):
        return False
    digits = sum(char.isdigit() for char in tail)
    if digits > _MOST_DIGITS * len(tail) or _encodes_text(tail):
        return False
    # A text needs no digits, and an id seldom has none.
    bonus = 0.0 if digits else -len(tail) * math.log(1 - _DIGIT_SHARE[kind])
    return _score(tail) + bonus <= _MOST_SCORE + math.log(len(tail))


def texts_of_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """What the ids of one request say together: one by one, and their letters in a row; none if they read like chance.

    Args:
        ids: for each of which :func:`is_made_id` holds.
    """
    tails = [_tail(text) for text in dict.fromkeys(ids)]
    if not tails:
        return ()
    drawn = [tail for tail in tails if not tail.isdigit()]
    numbers = [int(tail) for tail in tails if tail.isdigit()]
    if not (_read_like_words(drawn) or _are_codes(numbers)):
        return ()
    letters = "".join(char for tail in drawn for char in tail if char.isalpha())
    return (" ".join(tails), letters) if letters else (" ".join(tails),)


def _read_like_words(tails: Sequence[str]) -> bool:
    """Whether the ids have too much of a text on average, or put together: a word in each may be too short to tell."""
    base, for_each = _MOST_TOGETHER
    excess = sum(_score(tail) - _mean_score(tail) for tail in tails)
    if excess > base + for_each * math.sqrt(len(tails)):
        return True
    joined = ("".join("".join(form.findall(tail.lower())) for tail in tails) for form in _LETTERS)
    return any(_best_run(row, [0.0] * len(row)) > _MOST_JOINED + math.log(len(row) + 1) for row in joined)


def _tail(text: str) -> str:
    """The part of an id that differs from others'."""
    if counter := _COUNTER.fullmatch(text):
        return counter["number"] or "0"
    found = _SHAPE.fullmatch(text)
    return found[found.lastgroup].replace("-", "") if found and found.lastgroup else text


def _are_codes(numbers: Sequence[int]) -> bool:
    small = [number for number in numbers if number < _CODES]
    return len(small) >= _MANY_CODES and small != sorted(small)


def _mean_score(tail: str) -> float:
    """What chance has on average."""
    return 0.9 * math.log(len(tail)) - 0.5


def _score(tail: str) -> float:
    """How much a run of its letters reads like a text: digits read as the letters they look like, or passed over."""
    lowered = tail.lower()
    costs = [_LEET_COST if char.isdigit() else _IN_LETTERS for char in lowered]
    readings = [lowered.translate(str.maketrans("0123456789", letters)) for letters in _LEET]
    scores = [_best_run(reading, costs) for reading in dict.fromkeys(readings)]
    return max(*scores, _best_run(*_without_digits(lowered)))


def _without_digits(lowered: str) -> tuple[str, list[float]]:
    letters: list[str] = []
    costs: list[float] = []
    cost = 0.0
    for char in lowered:
        if char.isdigit():
            cost += _DIGIT_COST
        else:
            letters.append(char)
            costs.append(cost)
            cost = 0.0
    return "".join(letters), costs


def _best_run(letters: str, costs: Sequence[float]) -> float:
    scores = _triples()
    best = run = 0.0
    for index in range(2, len(letters)):
        run = max(0.0, run) + scores[letters[index - 2 : index + 1]] - costs[index]
        best = max(best, run)
    return best


@cache
def _triples() -> dict[str, float]:
    """The score of each three letters, as ``scripts/letter_triples.py`` counted them in texts: 5 is chance."""
    lines = files("gateway").joinpath("dialects/letter_triples.txt").read_text("ascii").split()
    pairs = [first + second for first in ascii_lowercase for second in ascii_lowercase]
    return {
        pair + third: (int(digit) - 5) / 1.25
        for pair, line in zip(pairs, lines, strict=True)
        for third, digit in zip(ascii_lowercase, line, strict=True)
    }


def _encodes_text(letters: str) -> bool:
    """Whether it is hexadecimal or base64 of a text: most bytes are letters, as chance has them in one of five."""
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    for decode, data in ((bytes.fromhex, letters), (b64decode, whole + "=" * (-len(whole) % 4))):
        with suppress(ValueError):
            found = decode(data)
            if len(found) >= _TEXT_BYTES and sum(byte in _TEXT_CHARS for byte in found) >= _TEXT_SHARE * len(found):
                return True
    return False
