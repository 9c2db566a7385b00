"""A run from labelled rows to an adapter and a merged model, killed and resumed, refused where it must be."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from guard.calibration import UNCALIBRATED
from guard.labels import DEFAULT_LABELS
from tests.train.conftest import MIXTURE, write_checkpoint
from tests.train.tiny_base import TEMPLATE
from train.corpus import Corpus
from train.dataset import clean
from train.encode import Encoder, Examples
from train.errors import DataError, RunError
from train.finetune import effective_precision
from train.generate import Side, generate
from train.guard_file import calibration_of, labels_of, read_guard_file
from train.model import Base
from train.recipe import BaseRecipe, DataRecipe, Recipe, load_recipe
from train.rows import Row, read_rows, to_predecessor_json
from train.run import FOLD_FILE, check_examples, describe_base, prepare_rows, run_recipe, split_data
from train.run_dir import RunDir, last_checkpoint
from train.scoring import classifier_scorer, least_difference

# PEFT asks transformers for it by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

WEIGHTS = "adapter_model.safetensors"

TINY = """
[base]
folder = "{base}"

[data]
files = ["rows.jsonl"]
topic_words = "Bees"
validation_share = 0.2
test_share = 0.2

[lora]
rank = 8
alpha = 16

[training]
epochs = 8
batch_rows = 16
learning_rate = 5e-3
max_length_tokens = 128
precision = "fp32"
save_steps = 10
"""


@pytest.fixture
def recipe_file(tmp_path: Path, base: Base, sides: dict[Side, Sequence[Row]]) -> Path:
    """A recipe for the tiny base, with single prompts in the predecessor's format beside it."""
    rows = [row for side in Side for row in sides[side] if len(row.turns) == 1 and len(row.text) < 120]
    (tmp_path / "rows.jsonl").write_text("".join(to_predecessor_json(row) + "\n" for row in rows), "utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.format(base=base.folder), "utf-8")
    return path


def _quiet(_text: str) -> None:
    """What a run says is of no interest here."""


def _accuracy(model: Any, encoder: Encoder, rows: Sequence[Row]) -> float:
    windows = classifier_scorer(model, encoder)(rows)
    right = [(least_difference(w) >= 0) == (r.label == "related") for w, r in zip(windows, rows, strict=True)]
    return sum(right) / len(right)


@pytest.mark.slow
def test_a_run_leaves_all_that_export_needs(tmp_path: Path, recipe_file: Path, base: Base, encoder: Encoder) -> None:
    """An adapter that has learnt its rows, and a merged model that answers alike."""
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    said: list[str] = []
    run_recipe(recipe, run, base, TEMPLATE, merged_folder=tmp_path / "merged", say=said.append)
    assert said[-1] == f"the adapter is in {run.adapter}"
    assert {path.name for path in run.adapter.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", FOLD_FILE, "guard.json"
    }  # fmt: skip
    assert {tensor.dtype for tensor in load_file(run.adapter / "adapter_model.safetensors").values()} == {torch.float16}
    assert load_file(run.adapter / FOLD_FILE)["mean_hidden"].shape == (48,)
    guard = read_guard_file(run.adapter)
    assert (labels_of(run.adapter), calibration_of(run.adapter)) == (DEFAULT_LABELS, UNCALIBRATED)
    assert (guard["topic"], guard["prompt"]["suffix"]) == ("Bees", TEMPLATE.suffix)
    record = json.loads(run.record.read_text("utf-8"))
    assert record["recipe"] == recipe_file.read_text("utf-8")
    assert record["data_sha256"] == guard["data_sha256"] == run.data_sha256()
    assert record["merge_max_logit_difference"] < 1e-3
    assert record["precision"] == "fp32"
    losses = [json.loads(line)["loss"] for line in run.loss.read_text("utf-8").splitlines()]
    assert losses[-1] < losses[0] / 2
    assert not run.checkpoints.exists()
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()
    assert merged.config.id2label == {0: "not_related", 1: "related"}
    assert _accuracy(merged, encoder, _train_rows(run)) > 0.9
    with pytest.raises(RunError, match="holds a complete run"):
        run_recipe(recipe, run, base, TEMPLATE, say=_quiet)


def _train_rows(run: RunDir) -> list[Row]:
    return read_rows(run.rows(Side.TRAIN), DEFAULT_LABELS)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Its loss curve and time of before the kill stay, and a checkpoint that was not written whole is passed over."""
    run = RunDir(tmp_path / "run")
    _kill_at_first_checkpoint([sys.executable, "-m", "tests.train.train_tiny", str(recipe_file), base.folder], run)
    assert not run.record.exists()
    # A run that began anew would not know of this.
    checkpoint = last_checkpoint(run.checkpoints)
    assert checkpoint is not None
    state_file = checkpoint / "trainer_state.json"
    state = json.loads(state_file.read_text("utf-8"))
    state["log_history"].insert(0, {"step": 1, "loss": 99.0})
    state["stateful_callbacks"]["TrainingClock"]["attributes"]["seconds"] = 5000.0
    state_file.write_text(json.dumps(state), "utf-8")
    (run.checkpoints / "checkpoint-9999").mkdir()
    run_recipe(load_recipe(str(recipe_file)), run, base, TEMPLATE, say=_quiet)
    losses = [json.loads(line)["loss"] for line in run.loss.read_text("utf-8").splitlines()]
    assert losses[0] == 99.0
    assert losses[-1] < 0.3
    assert 5000 < json.loads(run.record.read_text("utf-8"))["training_seconds"] < 5600


def _kill_at_first_checkpoint(command: list[str], run: RunDir) -> None:
    with subprocess.Popen([*command, str(run.path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while last_checkpoint(run.checkpoints) is None:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3_8b", "qwen3_4b", "qwen3_0_6b"])
def test_the_predecessors_hyperparameters_train(name: str, tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """The shipped recipe but for base and data: mixed precision, accumulation, its target modules."""
    shipped, tiny = load_recipe(name), load_recipe(str(recipe_file))
    training = replace(shipped.training, epochs=1.0)
    recipe: Recipe = replace(
        shipped, base=BaseRecipe(folder=base.folder), data=tiny.data, folder=tiny.folder, training=training
    )
    run = RunDir(tmp_path / "run")
    run_recipe(recipe, run, base, TEMPLATE, say=_quiet)
    config = json.loads((run.adapter / "adapter_config.json").read_text("utf-8"))
    assert config["target_modules"] == sorted(shipped.lora.target_modules)
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.05)
    adapter = load_file(run.adapter / "adapter_model.safetensors")
    # Two matrices for each of seven modules in two layers, and the head.
    assert len(adapter) == 2 * 7 * 2 + 1


@pytest.mark.slow
def test_lower_layers_stay_as_they_are(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Only layers from ``first_layer`` on get an adapter."""
    recipe = load_recipe(str(recipe_file))
    recipe = replace(recipe, lora=replace(recipe.lora, first_layer=1), training=replace(recipe.training, epochs=0.2))
    run = RunDir(tmp_path / "run")
    run_recipe(recipe, run, base, TEMPLATE, say=_quiet)
    adapted = {name for name in load_file(run.adapter / "adapter_model.safetensors") if "lora" in name}
    assert {name.split(".layers.")[1][0] for name in adapted} == {"1"}


@pytest.mark.slow
def test_a_run_goes_on_from_an_adapter(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """From what it has; an embedding that it lacks is adapted from the start, and stored as two factors."""
    recipe = load_recipe(str(recipe_file))
    first, second = RunDir(tmp_path / "first"), RunDir(tmp_path / "second")
    run_recipe(recipe, first, base, TEMPLATE, say=_quiet)
    lora = replace(recipe.lora, start=str(first.adapter), embedding_rank=2)
    training = replace(recipe.training, epochs=1.0, learning_rate=1e-6)
    run_recipe(replace(recipe, lora=lora, training=training), second, base, TEMPLATE, say=_quiet)
    before, after = (load_file(run.adapter / "adapter_model.safetensors") for run in (first, second))
    assert max(float((after[name].float() - before[name].float()).abs().max()) for name in before) < 1e-3
    shapes = {name.rpartition(".")[2]: tuple(after[name].shape) for name in after.keys() - before.keys()}
    assert set(shapes) == {"lora_embedding_A", "lora_embedding_B"}
    assert (shapes["lora_embedding_A"][0], shapes["lora_embedding_B"]) == (2, (48, 2))


@pytest.mark.slow
def test_a_run_mixes_in_what_it_went_on_from(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Where a run unlearns what the adapter knew, the most of that adapter that may be is kept."""
    recipe = load_recipe(str(recipe_file))
    first, second = RunDir(tmp_path / "first"), RunDir(tmp_path / "second")
    run_recipe(recipe, first, base, TEMPLATE, say=_quiet)
    lora = replace(recipe.lora, start=str(first.adapter), start_shares=(0.5, 0.999))
    ruinous = replace(recipe.training, epochs=1.0, learning_rate=1.0, schedule="constant")
    said: list[str] = []
    run_recipe(replace(recipe, lora=lora, training=ruinous), second, base, TEMPLATE, say=said.append)
    aucs = json.loads(second.record.read_text("utf-8"))["roc_auc_by_start_share"]
    assert max(aucs, key=aucs.get) == "0.999"
    assert f"{aucs['0.0']:.4f} with 0%" in next(line for line in said if line.startswith("ROC-AUC of"))
    before, after = (load_file(run.adapter / "adapter_model.safetensors") for run in (first, second))
    assert all(torch.allclose(after[name].float(), before[name].float(), atol=0.05) for name in before)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing", r"can't read the adapter to start from: .*nothing"),
        ("headless", "it lacks 'base_model.model.score.weight'"),
        ("other", "the recipe adapts no '.*lora_A"),
    ],
)
def test_an_adapter_that_does_not_fit_is_not_gone_on_from(
    tmp_path: Path, recipe_file: Path, base: Base, name: str, problem: str
) -> None:
    """A folder without one, or one without a head, or of a matrix that is not adapted."""
    (tmp_path / "other").mkdir()
    (tmp_path / "headless").mkdir()
    for folder in ("other", "headless"):
        (tmp_path / folder / "adapter_config.json").write_text('{"r": 8, "lora_alpha": 16}', "utf-8")
    delta, head = "base_model.model.model.norm.lora_A.weight", "base_model.model.score.weight"
    save_file({delta: torch.ones(2, 2)}, tmp_path / "headless" / WEIGHTS)
    save_file({delta: torch.ones(2, 2), head: torch.ones(2, 48)}, tmp_path / "other" / WEIGHTS)
    recipe = load_recipe(str(recipe_file))
    recipe = replace(recipe, lora=replace(recipe.lora, start=name))
    with pytest.raises(RunError, match=problem):
        run_recipe(recipe, RunDir(tmp_path / "run"), base, TEMPLATE, say=_quiet)


def test_an_adapter_of_another_scale_is_not_gone_on_from(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Though its weights would fit."""
    (tmp_path / WEIGHTS).touch()
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "lora_alpha": 8}', "utf-8")
    recipe = load_recipe(str(recipe_file))
    recipe = replace(recipe, lora=replace(recipe.lora, start="."))
    with pytest.raises(RunError, match="it has rank 8 and alpha 8, the recipe rank 8 and alpha 16"):
        run_recipe(recipe, RunDir(tmp_path / "run"), base, TEMPLATE, say=_quiet)


@pytest.mark.parametrize("targets", [("q_prj",), ("self_attn.q_proj", "q_prj")])
def test_a_matrix_that_the_base_lacks_is_named(
    tmp_path: Path, recipe_file: Path, base: Base, targets: tuple[str, ...]
) -> None:
    """Also beside those that it has, with what there is."""
    recipe = load_recipe(str(recipe_file))
    recipe = replace(recipe, lora=replace(recipe.lora, target_modules=targets))
    with pytest.raises(RunError, match=r"target_modules has 'q_prj', wanted some of the base's down_proj, .* v_proj"):
        run_recipe(recipe, RunDir(tmp_path / "run"), base, TEMPLATE, say=_quiet)


def test_a_first_layer_that_is_none_is_refused(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Quoting both numbers."""
    recipe = load_recipe(str(recipe_file))
    recipe = replace(recipe, lora=replace(recipe.lora, first_layer=2))
    with pytest.raises(RunError, match="first_layer is 2, wanted less than the base's 2 layers"):
        run_recipe(recipe, RunDir(tmp_path / "run"), base, TEMPLATE, say=_quiet)


def test_automatic_precision_is_one_that_the_machine_computes() -> None:
    """Any other precision is itself."""
    assert effective_precision("auto") in {"fp32", "bf16", "fp16"}
    assert effective_precision("bf16") == "bf16"


@pytest.mark.parametrize(("bf16_supported", "precision"), [(True, "bf16"), (False, "fp16")])
def test_automatic_precision_is_no_emulated_one(
    monkeypatch: pytest.MonkeyPatch, *, bf16_supported: bool, precision: str
) -> None:
    """CUDA cards before Ampere have no bfloat16, and say yes all the same if emulation counts."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or bf16_supported
    )
    assert effective_precision("auto") == precision


@pytest.mark.parametrize(
    ("known", "precision"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True}, "fp32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, "bf16"),
        ({"cpu_name": "AMD EPYC", "avx2": True}, "fp32"),
        ({"cpu_name": "Neoverse V2", "bf16": True}, "bf16"),
    ],
)
def test_automatic_precision_is_the_faster_one_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, object], precision: str
) -> None:
    """Not whatever the processor has instructions for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert effective_precision("auto") == precision


def test_a_precision_that_would_be_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half floats without CUDA would be computed in float32; float32 under accelerate's own setting in that."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="precision is 'fp16' and there is no CUDA device"):
        effective_precision("fp16")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(RunError, match="training is in fp32 and ACCELERATE_MIXED_PRECISION is 'bf16', wanted no"):
        effective_precision("fp32")


def test_changed_data_are_not_resumed(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """The rows that the run was started with stay as they are."""
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    prepare_rows(recipe, run, base)
    write_checkpoint(run)
    before = run.rows(Side.TRAIN).read_bytes()
    with (tmp_path / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(f'{{"input": "one more row {"x" * n}", "label": "related"}}\n' for n in range(20))
    with pytest.raises(RunError, match=r"the data of .* changed since the run was started"):
        prepare_rows(recipe, run, base)
    assert run.rows(Side.TRAIN).read_bytes() == before


def test_a_changed_recipe_is_not_resumed(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Not even where the data stay the same."""
    run = RunDir(tmp_path / "run")
    prepare_rows(load_recipe(str(recipe_file)), run, base)
    write_checkpoint(run)
    recipe_file.write_text(recipe_file.read_text("utf-8").replace("rank = 8", "rank = 4"), "utf-8")
    with pytest.raises(RunError, match="was started with another recipe"):
        prepare_rows(load_recipe(str(recipe_file)), run, base)


@pytest.mark.parametrize(
    ("key", "then", "what"),
    [("number_of_processes", "4", "number of processes"), ("precision", "bf16", "precision")],
)
def test_a_run_of_other_hardware_is_not_resumed(
    tmp_path: Path, recipe_file: Path, base: Base, *, key: str, then: str, what: str
) -> None:
    """It would go back in its schedule, or go on in another precision."""
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    prepare_rows(recipe, run, base)
    write_checkpoint(run)
    started = json.loads(run.started.read_text("utf-8"))
    run.started.write_text(json.dumps(started | {key: then}), "utf-8")
    with pytest.raises(RunError, match=f"was started with another {what} and can't be resumed"):
        prepare_rows(recipe, run, base)


@pytest.mark.parametrize(
    ("file", "what"),
    [("model.safetensors", "base"), ("kept.txt", "keep list"), (f"before/{WEIGHTS}", "adapter to start from")],
)
def test_a_run_of_other_weights_is_not_resumed(
    tmp_path: Path, recipe_file: Path, base: Base, file: str, what: str
) -> None:
    """Nor with another keep-list: half of it would be of one model, half of another."""
    own = Path(shutil.copytree(base.folder, tmp_path / "base"))
    for path in (own / "kept.txt", own / "before" / WEIGHTS):
        path.parent.mkdir(exist_ok=True)
        path.write_text("as it was", "utf-8")
    text = recipe_file.read_text("utf-8").replace("[data]", 'vocabulary = "base/kept.txt"\n\n[data]')
    recipe_file.write_text(text.replace("[lora]", '[lora]\nstart = "base/before"'), "utf-8")
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    prepare_rows(recipe, run, Base(str(own)))
    write_checkpoint(run)
    with (own / file).open("a") as changed:
        changed.write("and more")
    with pytest.raises(RunError, match=f"was started with another {what} and can't be resumed"):
        prepare_rows(recipe, run, Base(str(own)))


def test_a_complete_runs_rows_are_not_written_over(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Though it has no checkpoints any more."""
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    prepare_rows(recipe, run, base)
    before = run.rows(Side.TRAIN).read_bytes()
    run.record.write_text("{}", "utf-8")
    with (tmp_path / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(f'{{"input": "one more row {"x" * n}", "label": "related"}}\n' for n in range(20))
    with pytest.raises(RunError, match="holds a complete run"):
        prepare_rows(recipe, run, base)
    assert run.rows(Side.TRAIN).read_bytes() == before


def test_a_guard_names_the_commit_of_its_base(tmp_path: Path) -> None:
    """What the hub has under the name may be other weights by the time the guard is exported."""
    recipe, commit = load_recipe("qwen3_0_6b"), "a" * 40

    found = describe_base(recipe, Base(str(tmp_path / "snapshots" / commit)), None)

    assert {key: value for key, value in found.items() if value} == {"hub": "Qwen/Qwen3-0.6B", "revision": commit}
    assert describe_base(recipe, Base(commit), tmp_path) == {"folder": str(tmp_path)}


def test_examples_of_one_label_are_not_trained_on() -> None:
    """Long off-topic rows are left out; where all are, the guard would allow everything."""
    rows = [{"input_ids": [1, 2], "labels": 1, "length": 2}] * 3
    with pytest.raises(RunError, match="one label only; of off-topic rows, 7 that are longer than 2000 bytes or"):
        check_examples(Examples(rows, cut=0, left_out=7))


def test_the_same_run_is_prepared_again(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """The same rows on the same sides."""
    recipe, run = load_recipe(str(recipe_file)), RunDir(tmp_path / "run")
    assert prepare_rows(recipe, run, base) == prepare_rows(recipe, run, base)
    assert json.loads((run.path / "leakage.json").read_text("utf-8"))["shared_groups"] == 0


def test_a_recipes_shares_count_for_a_topic(
    monkeypatch: pytest.MonkeyPatch, recipe_file: Path, corpus: Corpus, topic: Path
) -> None:
    """A share that is not stated is the mixture's own."""
    monkeypatch.setattr("train.run.DATA", topic.parent)
    monkeypatch.setattr("train.run.DEFAULT_MIXTURE", MIXTURE)
    data = DataRecipe(topic=topic.name, topic_words="bees", validation_share=0.4)
    recipe = replace(load_recipe(str(recipe_file)), data=data)
    mixture = replace(MIXTURE, validation_share=0.4)
    composed = generate(corpus, DEFAULT_LABELS, recipe.training.seed, mixture)
    assert split_data(recipe)[1] == clean(composed)[0]


def test_a_runs_rows_never_replace_the_recipes_own(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """They may be the only copy."""
    run = RunDir(tmp_path / "run")
    own = run.rows(Side.TRAIN)
    own.parent.mkdir(parents=True)
    (tmp_path / "rows.jsonl").rename(own)
    text = recipe_file.read_text("utf-8").replace("rows.jsonl", "run/data/train.jsonl")
    recipe_file.write_text(text, "utf-8")
    before = own.read_bytes()
    with pytest.raises(RunError, match="is a file of the recipe's own data"):
        prepare_rows(load_recipe(str(recipe_file)), run, base)
    assert own.read_bytes() == before


def test_rows_of_any_two_labels_train_without_code(tmp_path: Path, recipe_file: Path, base: Base) -> None:
    """Whatever they are called."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text("utf-8").replace("related", "bees"), "utf-8")
    labels, _ = prepare_rows(load_recipe(str(recipe_file)), RunDir(tmp_path / "run"), base)
    assert labels.ordered == ("not_bees", "bees")


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ('{"input": "a", "label": "related"}\n', DataError, "wanted exactly two"),
        ('{"input": "a", "label": "related"}\n{"input": "", "label": "x"}\n', DataError, "line 2: has an empty text"),
        ("not json\n", DataError, "line 1: is not JSON"),
        (
            '{"input": "a b", "label": "related"}\n{"input": "c", "label": "not_related"}\n',
            RunError,
            "rows and none of them is '(not_)?related', wanted rows of both",
        ),
    ],
)
def test_unusable_rows_start_no_run(
    tmp_path: Path, recipe_file: Path, base: Base, *, text: str, error: type[Exception], problem: str
) -> None:
    """Nothing is written."""
    (tmp_path / "rows.jsonl").write_text(text, "utf-8")
    run = RunDir(tmp_path / "run")
    with pytest.raises(error, match=problem):
        prepare_rows(load_recipe(str(recipe_file)), run, base)
    assert not run.path.exists()


def test_a_base_that_is_none_is_named(tmp_path: Path) -> None:
    """A folder without a model."""
    with pytest.raises(RunError, match=r"can't load .* as a sequence classifier"):
        Base(str(tmp_path)).load_classifier(DEFAULT_LABELS, 0, torch.float32)


def test_a_tree_of_its_own(tmp_path: Path) -> None:
    """Removing a run's folder removes the run."""
    run = RunDir(tmp_path / "run")
    for path in (run.adapter, run.checkpoints, run.loss, run.record, run.started, run.rows(Side.TEST)):
        assert path.is_relative_to(run.path)
    shutil.rmtree(run.path, ignore_errors=True)
