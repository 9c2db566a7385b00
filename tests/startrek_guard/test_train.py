"""What ``train run`` looks at before it trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.errors import FoldError
from startrek_guard.train import _base, _column_order, generate
from train.errors import RunError
from train.recipe import RECIPES, load_recipe

pytestmark = pytest.mark.slow


def own_recipe(folder: Path, recipe: str, on_topic: str) -> str:
    """A recipe for rows of one's own, with two labels."""
    labels = {"Bees swarm in May": on_topic, "An egg boils for minutes": f"not_{on_topic}"}
    rows = [
        {"input": f"{text}, {number}", "label": label, "group": f"{text} {number}"}
        for text, label in labels.items()
        for number in range(200)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (RECIPES / f"{recipe}.toml").read_text("utf-8")
    path = folder / "own.toml"
    path.write_text(text.replace('topic = "startrek"', 'files = ["rows.jsonl"]'), "utf-8")
    return str(path)


def test_labels_that_can_be_no_tokens_are_refused_before_the_training(tmp_path: Path) -> None:
    """Not after an hour, when the guard is built."""
    with pytest.raises(FoldError, match="'sour' and 'dough' would merge into the label 'sourdough'"):
        _base(load_recipe(own_recipe(tmp_path, "gemma3_270m_first", "sourdough")), None)


def test_labels_of_the_documented_example_are_tokens(tmp_path: Path) -> None:
    """With the shipped keep-list."""
    _, template = _base(load_recipe(own_recipe(tmp_path, "gemma3_270m_first", "chess")), None)
    assert template.suffix


def test_an_adapter_with_a_keep_list_of_its_own_is_put_in_order(tmp_path: Path) -> None:
    """From the list that lies beside it to the recipe's; without one its columns are the recipe's already."""
    (tmp_path / "before").mkdir()
    (tmp_path / "kept.txt").write_text("0-3\n", "ascii")
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        '[base]\npackage = "gemma3_270m"\nvocabulary = "kept.txt"\n'
        '[data]\nfiles = ["rows.jsonl"]\ntopic_words = "chess"\n[lora]\nstart = "before"\n'
    )
    assert _column_order(load_recipe(str(recipe))) is None
    (tmp_path / "before" / "vocabulary.txt").write_text("2\n5-6\n", "ascii")
    order = _column_order(load_recipe(str(recipe)))
    assert order is not None
    assert (order.before, order.after) == ([2, 5, 6], [0, 1, 2, 3])


@pytest.mark.parametrize("link", [True, False])
def test_generated_rows_never_replace_the_recipes_own(tmp_path: Path, link: bool) -> None:
    """They may be the only copy, under whatever name."""
    recipe = Path(own_recipe(tmp_path, "tiny", "chess"))
    own = (tmp_path / "rows.jsonl").rename(tmp_path / ("mine.jsonl" if link else "train.jsonl"))
    if link:
        (tmp_path / "train.jsonl").symlink_to(own)
    recipe.write_text(recipe.read_text("utf-8").replace("rows.jsonl", own.name), "utf-8")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RunError, match="is a file of the recipe's own data"):
        generate(tmp_path, recipe=str(recipe), format_="messages")
    assert sorted(tmp_path.iterdir()) == before


def test_several_processes_train_one_run(tmp_path: Path) -> None:
    """As ``accelerate launch`` starts them: all train, one writes."""
    # What accelerate itself starts where there are accelerators.
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "startrek_guard"]
    run = ["train", "run", "--recipe", own_recipe(tmp_path, "tiny", "chess"), "--output", str(tmp_path / "run")]
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *run], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "run.json").is_file()
    assert (tmp_path / "run" / "adapter" / "guard.json").is_file()


def test_the_random_base_makes_a_guard(tmp_path: Path) -> None:
    """The whole chain, which the recipe ``tiny`` is there to try."""
    run = tmp_path / "run"
    train = ["train", "run", "--recipe", own_recipe(tmp_path, "tiny", "chess"), "--output", str(run)]
    export = ["export", "gguf", str(run / "adapter"), "--output", str(tmp_path / "guard.gguf")]
    rows = str(run / "data" / "validation.jsonl")
    calibrate = ["train", "calibrate", str(run / "adapter"), "--data", rows, "--balanced"]
    for arguments in (train, export, calibrate):
        command = [sys.executable, "-m", "startrek_guard", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "guard.gguf").stat().st_size > 50_000
