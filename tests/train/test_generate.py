"""Rows are composed the same for the same seed, of pieces of one side only, every trick with both labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest

from guard.labels import DEFAULT_LABELS
from tests.train.conftest import MIXTURE, SEED
from train.corpus import Corpus, Piece
from train.generate import Mixture, Side, frame_kind, generate, side_of
from train.rows import Row

LONG_ENOUGH = 20
"""Characters of a piece that does not stand in another by chance."""


@pytest.fixture(scope="module")
def generated(corpus: Corpus) -> dict[Side, list[Row]]:
    """Before duplicates are removed."""
    return generate(corpus, DEFAULT_LABELS, SEED, MIXTURE)


def _text(rows: Iterable[Row]) -> str:
    return "\n\n".join(turn.text.casefold() for row in rows for turn in row.turns)


def test_the_same_seed_gives_the_same_rows(corpus: Corpus, generated: dict[Side, list[Row]]) -> None:
    """In the same order; another seed gives others."""
    assert generate(corpus, DEFAULT_LABELS, SEED, MIXTURE) == generated
    assert generate(corpus, DEFAULT_LABELS, SEED + 1, MIXTURE) != generated


def test_no_authored_piece_stands_on_two_sides(corpus: Corpus, generated: dict[Side, list[Row]]) -> None:
    """Not even within a wrapper, a dialogue or a long text."""
    texts = {side: _text(rows) for side, rows in generated.items()}
    pieces: Sequence[Piece] = [*corpus.prompts, *corpus.twins]
    for piece in pieces:
        needle = piece.text.casefold().rstrip("?.!")
        if len(needle) >= LONG_ENOUGH:
            assert sum(needle in text for text in texts.values()) <= 1, piece


def test_no_group_stands_on_two_sides(generated: dict[Side, list[Row]]) -> None:
    """What a report calls a group is an origin."""
    groups = {side: {row.group for row in rows} for side, rows in generated.items()}
    assert not groups[Side.TRAIN] & (groups[Side.VALIDATION] | groups[Side.TEST])
    assert not groups[Side.VALIDATION] & groups[Side.TEST]


def test_every_wrapper_is_laid_round_both_labels(corpus: Corpus, generated: dict[Side, list[Row]]) -> None:
    """Or the wrapper alone would decide."""
    rows = [row for row in generated[Side.TRAIN] if row.source == "wrapped"]
    here = [w for w in corpus.wrappers if side_of(w.origin, SEED, MIXTURE) is Side.TRAIN]
    assert here
    for wrapper in here:
        before, after = map(re.escape, wrapper.text.split("{prompt}"))
        around = re.compile(f"{before}.*{after}", re.DOTALL | re.IGNORECASE)
        assert {row.label for row in rows if around.fullmatch(row.text)} == set(DEFAULT_LABELS.ordered), wrapper


@pytest.mark.parametrize("source", ["obfuscated", "buried", "strewn", "long", "composed", "names", "twins", "wrapped"])
def test_every_way_of_composing_has_both_labels(generated: dict[Side, list[Row]], source: str) -> None:
    """Or the way alone would decide."""
    found = {row.label for row in generated[Side.TRAIN] if row.source == source}
    assert found == set(DEFAULT_LABELS.ordered)


def test_a_buried_ask_is_the_only_one(generated: dict[Side, list[Row]]) -> None:
    """Or a text with an ask of each subject would have the label of one of them."""
    rows = [row for side in Side for row in generated[side] if row.source == "buried"]
    assert rows
    assert all(row.text.count("?") <= 1 for row in rows)


def test_shares_decide_how_many_origins_are_held_out() -> None:
    """Within what chance allows."""
    mixture = Mixture(validation_share=0.1, test_share=0.2)
    sides = [side_of(f"origin {number}", 1, mixture) for number in range(4000)]
    assert sides.count(Side.VALIDATION) / 4000 == pytest.approx(0.1, abs=0.02)
    assert sides.count(Side.TEST) / 4000 == pytest.approx(0.2, abs=0.025)


@pytest.mark.parametrize(
    ("kind", "frames"),
    [("starship", "ship"), ("planets", "place"), ("voice_actor", "actor"), ("dessert", "thing")],
)
def test_a_kind_of_name_finds_its_frames(kind: str, frames: str) -> None:
    """By a word in it; what is unknown is a thing."""
    assert frame_kind(kind) == frames
