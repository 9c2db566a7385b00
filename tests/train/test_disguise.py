"""Disguises are undone by the guard's normalisation wherever they can be, and depend on the seed alone."""

from __future__ import annotations

import random
import re

import pytest

from guard.normalise import normalise
from train.disguise import mistype, obfuscate, recase, strew

TEXT = "how do I stop my hive from swarming in May"
NAMES = ("worf", "risa", "quark", "guinan")


@pytest.mark.parametrize("change", [mistype, recase, obfuscate])
def test_the_same_seed_gives_the_same_text(change: object) -> None:
    """Whatever happened before."""
    assert callable(change)
    assert change(TEXT, random.Random(7)) == change(TEXT, random.Random(7))


def test_typos_keep_most_of_the_text() -> None:
    """At most four words of it get a slip; short words may be written shorter."""
    for seed in range(50):
        changed = mistype(TEXT, random.Random(seed)).split(" ")
        assert len(changed) == len(TEXT.split(" "))
        assert sum(a != b for a, b in zip(changed, TEXT.split(" "), strict=True)) <= 4


def test_recasing_keeps_the_letters() -> None:
    """But for the case, and marks at the end."""
    for seed in range(50):
        assert recase(TEXT, random.Random(seed)).casefold().startswith(TEXT.casefold())


def test_many_disguises_are_seen_through() -> None:
    """One in three reads plainly after normalising; the others are what the model has to learn."""
    plain = sum(TEXT.casefold() in normalise(obfuscate(TEXT, random.Random(seed))).casefold() for seed in range(200))
    assert plain > 60


def test_a_disguise_of_nothing_is_a_text() -> None:
    """Empty and one-letter prompts come through every disguise."""
    for seed in range(60):
        assert isinstance(obfuscate("", random.Random(seed)), str)
        assert obfuscate("q", random.Random(seed))
        assert isinstance(mistype("ab c", random.Random(seed)), str)


@pytest.mark.parametrize("seed", range(40))
def test_strewn_names_leave_the_prompt_whole(seed: int) -> None:
    """In one piece or in two, with at least two of the names beside it."""
    strewn = strew(TEXT, ["Worf", "Risa", "Quark", "Guinan"], random.Random(seed))
    without = [word for word in re.findall(r"[\w']+", strewn) if word.casefold() not in NAMES]
    assert " ".join(without) == TEXT
    assert sum(name in strewn.casefold() for name in NAMES) >= 2
