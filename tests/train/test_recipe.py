"""Shipped recipes load; a mistake in one is named with its table and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.errors import RecipeError
from train.recipe import RECIPES, load_recipe

TABLES = '[base]\nfolder = "x"\n[data]\ntopic = "bees"\ntopic_words = "bees"\n'


def _recipe(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_a_shipped_recipe_loads(name: str) -> None:
    """And the files that it names are there."""
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.text == (RECIPES / f"{name}.toml").read_text("utf-8")
    for named in (recipe.base.vocabulary, recipe.lora.start):
        assert named is None or (recipe.folder / named).exists()


def test_a_bases_folder_lies_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the command is run, as with the data's files."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_recipe(_recipe(tmp_path, TABLES)).base.folder == str(tmp_path / "x")
    absolute = TABLES.replace('"x"', '"/models/x"')
    assert load_recipe(_recipe(tmp_path, absolute)).base.folder == "/models/x"


@pytest.mark.parametrize("name", ["qwen3_8b", "qwen3_4b", "qwen3_0_6b"])
def test_the_predecessors_hyperparameters_are_kept(name: str) -> None:
    """As its model card says them."""
    recipe = load_recipe(name)
    training, lora = recipe.training, recipe.lora
    assert (training.epochs, training.batch_rows, training.accumulation_steps) == (3, 2, 16)
    assert (training.learning_rate, training.max_length_tokens) == (2e-4, 512)
    assert training.precision in {"bf16", "fp16"}
    assert (lora.rank, lora.alpha, lora.dropout) == (16, 32, 0.05)


def test_what_a_recipe_leaves_out_has_its_default(tmp_path: Path) -> None:
    """An integer will do for a fraction."""
    recipe = load_recipe(_recipe(tmp_path, TABLES + "[training]\nepochs = 2\n"))
    assert (recipe.training.epochs, recipe.training.batch_rows, recipe.lora.rank) == (2, 32, 16)
    assert recipe.training.precision == "auto"


def test_a_copied_recipe_finds_the_files_of_those_that_ship(tmp_path: Path) -> None:
    """Unless there is one of that name beside it."""
    name = "gemma3_270m.vocabulary.txt"
    recipe = load_recipe(_recipe(tmp_path, TABLES))
    assert recipe.file(name) == RECIPES / name
    (tmp_path / name).touch()
    assert recipe.file(name) == tmp_path / name
    assert recipe.file("none") == tmp_path / "none"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TABLES + "[extra]\n", "unknown table 'extra'"),
        (TABLES + "[lora]\nranks = 3\n", r"\[lora\] has no 'ranks', wanted one of rank, alpha"),
        (TABLES + '[lora]\nrank = "3"\n', r"\[lora\] rank is '3', wanted a whole number"),
        (TABLES + "[lora]\nrank = true\n", r"\[lora\] rank is True, wanted a whole number"),
        (TABLES + "[lora]\nrank = 3.5\n", r"\[lora\] rank is 3.5, wanted a whole number"),
        (TABLES + '[lora]\ntarget_modules = "q_proj"\n', r"target_modules is 'q_proj', wanted an array of strings"),
        (TABLES + '[training]\nprecision = "int8"\n', "precision 'int8', wanted one of auto, fp32, bf16, fp16"),
        (TABLES + "[training]\nepochs = 0\n", r"\[training\] epochs is 0, wanted a positive number"),
        ('[base]\n[data]\ntopic = "bees"\ntopic_words = "bees"\n', "names no model"),
        ('[base]\nfolder = "x"\nhub = "y"\n[data]\ntopic = "bees"\ntopic_words = "bees"\n', "names folder and hub"),
        ('[base]\nfolder = "x"\n', r"\[data\] has neither topic nor files, wanted one of the two"),
        ('[base]\nfolder = "x"\n[data]\nfiles = ["b"]\n', "needs topic_words"),
        ('[base]\nfolder = "x"\n[data]\ntopic = "a"\nfiles = ["b"]\n', r"has topic 'a' and files \['b'\], wanted one"),
        (
            '[base]\nfolder = "x"\n[data]\ntopic = "a"\ntopic_words = "a"\ntest_share = 0.6\n',
            "test_share is 0.6, wanted",
        ),
        (TABLES + 'on_topic = "bees"\n', "on_topic is 'bees' beside topic 'bees', wanted none"),
        (TABLES + "[lora]\nrank = 0\n", r"\[lora\] rank is 0, wanted 1 or more"),
        (TABLES + '[training]\nschedule = "cosin"\n', "schedule 'cosin', wanted one of cosine"),
        (TABLES + "[training]\nsave_steps = 0\n", r"\[training\] save_steps is 0, wanted 1 or more"),
        ('base = "x"\n', "base is 'x', wanted a table"),
        ('[base]\nfolder = "x"\n[data]\nfiles = [1]\n', "files is"),
        (TABLES.replace("folder", "random"), r"\[base\] random 'x', wanted one of qwen3"),
        (
            TABLES.replace("[data]", 'revision = "v1"\n[data]'),
            "revision 'v1', wanted with hub only, not with folder",
        ),
        (TABLES.replace("[data]", 'rounding = "Q3"\n[data]'), r"\[base\] rounding 'Q3', wanted one of Q4_0"),
        (TABLES + "[training]\ntoken_dropout = 0.5\n", "token_dropout is 0.5, wanted 0 to 0.5, without 0.5"),
        (TABLES + "[training]\nwarmup_share = 5\n", r"\[training\] warmup_share is 5, wanted 0 to 1, without 1"),
        (TABLES + "[training]\nweight_decay = -0.1\n", r"\[training\] weight_decay is -0.1, wanted 0 or more"),
        (TABLES + "[training]\nlearning_rate = nan\n", r"\[training\] learning_rate is nan, wanted a positive number"),
        (TABLES + "[lora]\ndropout = 1.0\n", r"\[lora\] dropout is 1.0, wanted 0 to 1, without 1"),
        (TABLES + "[lora]\nfirst_layer = -1\n", r"\[lora\] first_layer is -1, wanted 0 or more"),
        (TABLES + "[training]\nseed = -1\n", "seed is -1, wanted 0 to 4294967295"),
        (TABLES + "[training]\nseed = 4294967296\n", "seed is 4294967296, wanted 0 to 4294967295"),
        (
            TABLES + '[lora]\nstart = "x"\nstart_shares = [0.5, 1]\n',
            r"start_shares is \(0.5, 1\), wanted numbers above 0",
        ),
        (TABLES + "[lora]\nstart_shares = [0.5]\n", r"start_shares is \(0.5,\) without start, wanted an adapter"),
        (TABLES + '[lora]\nstart_shares = ["0.5"]\n', r"start_shares is \['0.5'\], wanted an array of numbers"),
        (TABLES + "[lora]\nembedding_rank = -1\n", r"\[lora\] embedding_rank is -1, wanted 0 or more"),
        (TABLES + "[lora]\nembedding_rank = 4\nfirst_layer = 2\n", "leave out one of the two"),
        ("[base\n", r"own\.toml"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """Before anything is trained."""
    with pytest.raises(RecipeError, match=problem):
        load_recipe(_recipe(tmp_path, text))


def test_an_unknown_name_lists_those_that_ship() -> None:
    """A typo is found at once."""
    with pytest.raises(RecipeError, match=r"no recipe 'gemma4'.*shipped are .*gemma3_270m"):
        load_recipe("gemma4")
