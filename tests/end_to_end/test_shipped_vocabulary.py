"""The shipped keep-list reads most rows that the guard learns from as the whole vocabulary does."""

from __future__ import annotations

from typing import Final

import pytest

from export.build import open_base_weights
from export.checkpoint import cut_vocabulary
from export.keep_list import read_keep_list
from export.llama import tokenizer_of
from guard.prompt import prompt_texts
from startrek_guard.guards import cache_folder
from train.recipe import load_recipe
from train.run import split_data

MOST_READ_OTHERWISE: Final = 0.25
"""Tokens that the rows have once or twice are left out, most of all of other languages than English, of which there are
more rows than when the list was chosen: these have a rare word in smaller pieces."""


@pytest.mark.slow
def test_most_rows_are_read_alike() -> None:
    """In any of their languages; every fourth row of each side."""
    recipe = load_recipe("gemma3_270m")
    assert recipe.base.vocabulary is not None
    keep = read_keep_list(recipe.file(recipe.base.vocabulary))
    _, sides, _ = split_data(recipe)
    texts = [
        text for rows in sides.values() for row in rows[::4] for texts in prompt_texts(row.turns) for text in texts
    ]
    base = open_base_weights({"package": recipe.base.package}, cache_folder())
    cut = cut_vocabulary(base.vocabulary, keep)
    with tokenizer_of(base.vocabulary, base.architecture) as whole, tokenizer_of(cut, base.architecture) as kept:
        otherwise = sum([keep[i] for i in kept.tokenise(text)] != list(whole.tokenise(text)) for text in texts)
    assert otherwise <= MOST_READ_OTHERWISE * len(texts)
