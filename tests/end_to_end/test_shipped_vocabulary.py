"""The shipped keep-list reads the rows it was chosen for as the whole vocabulary does."""

from __future__ import annotations

import pytest

from export.build import open_base_weights
from export.checkpoint import cut_vocabulary
from export.keep_list import read_keep_list
from export.token_proof import prove_same_tokens
from guard.prompt import prompt_texts
from startrek_guard.guards import cache_folder
from train.recipe import load_recipe
from train.run import split_data


@pytest.mark.slow
def test_no_row_is_read_otherwise() -> None:
    """In any of its languages; every fourth row of each side."""
    recipe = load_recipe("gemma3_270m")
    assert recipe.base.vocabulary is not None
    keep = read_keep_list(recipe.folder / recipe.base.vocabulary)
    _, sides, _ = split_data(recipe)
    texts = [
        text for rows in sides.values() for row in rows[::4] for texts in prompt_texts(row.turns) for text in texts
    ]
    base = open_base_weights({"package": recipe.base.package}, cache_folder())

    prove_same_tokens(base.vocabulary, cut_vocabulary(base.vocabulary, keep), keep, texts, base.architecture)
