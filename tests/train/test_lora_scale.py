"""An adapter is gone on from at the scale that it was trained at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from train.errors import RunError
from train.lora_scale import check_scale
from train.recipe import RECIPES, Recipe, load_recipe

CONFIG: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "rank_pattern": {}}


def _adapter(folder: Path, **values: Any) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | values), "utf-8")
    return folder


def _recipe(**lora: Any) -> Recipe:
    """Of rank 4 and alpha 8."""
    recipe = load_recipe("tiny")
    return replace(recipe, lora=replace(recipe.lora, **lora))


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_the_shipped_recipes_go_on_at_their_adapters_scale(name: str) -> None:
    """Those that go on from one."""
    recipe = load_recipe(name)
    if recipe.lora.start is not None:
        check_scale(recipe, recipe.file(recipe.lora.start))


@pytest.mark.parametrize("embedding_rank", [0, 2])
def test_an_adapter_of_the_same_scale_is_gone_on_from(tmp_path: Path, embedding_rank: int) -> None:
    """Whether or not the recipe adapts an embedding that it lacks."""
    check_scale(_recipe(embedding_rank=embedding_rank), _adapter(tmp_path))


@pytest.mark.parametrize(
    ("lora", "values", "problem"),
    [
        ({"alpha": 4}, {}, "for layers it has rank 4 and alpha 8, the recipe rank 4 and alpha 4"),
        ({"rank": 8}, {}, "for layers it has rank 4 and alpha 8, the recipe rank 8 and alpha 8"),
        (
            {"embedding_rank": 2, "embedding_alpha": 4},
            {"rank_pattern": {"embed_tokens": 2}, "alpha_pattern": {"embed_tokens": 2}},
            "for embed_tokens it has rank 2 and alpha 2, the recipe rank 2 and alpha 4",
        ),
        ({"embedding_rank": 4}, {"target_modules": ["embed_tokens"]}, "for embed_tokens it has rank 4 and alpha 8"),
        ({}, {"alpha_pattern": {"v_proj": 1}}, "for v_proj it has rank 4 and alpha 1, the recipe rank 4 and alpha 8"),
        ({}, {"use_rslora": True}, "scaled by its rank's root"),
        ({}, {"rank_pattern": 3}, "it is not a PEFT configuration"),
    ],
)
def test_an_adapter_of_another_scale_is_refused(
    tmp_path: Path, lora: dict[str, Any], values: dict[str, Any], problem: str
) -> None:
    """Its weights would all count more or less than they were trained to."""
    with pytest.raises(RunError, match=problem):
        check_scale(_recipe(**lora), _adapter(tmp_path, **values))


def test_an_adapter_that_tells_no_scale_is_refused(tmp_path: Path) -> None:
    """With the file that is missing."""
    with pytest.raises(RunError, match=r"can't continue from the adapter .*adapter_config\.json"):
        check_scale(_recipe(), tmp_path)
