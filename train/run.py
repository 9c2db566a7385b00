"""One training run, from a recipe to an adapter folder that export can build a guard from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file

from guard.calibration import UNCALIBRATED
from guard.labels import DEFAULT_LABELS, Labels
from guard.prompt import WINDOW_BYTES, PromptTemplate
from guard.verdict import judge
from train.corpus import read_corpus
from train.dataset import clean
from train.embedding_columns import ColumnOrder
from train.encode import Encoder, Examples, training_examples
from train.errors import RunError
from train.finetune import Trained, effective_precision, finetune
from train.generate import DEFAULT_MIXTURE, Side, generate
from train.guard_file import GUARD_FILE, calibration_as_dict, guard_name, prompt_as_dict
from train.hidden import compute
from train.merge import merge, save_merged
from train.metrics import roc_auc
from train.model import Base
from train.processes import processes
from train.recipe import Recipe
from train.rounding import RoundedWeights
from train.rows import Row, find_labels, read_rows, sha256_of, spread, to_json
from train.run_dir import RunDir, versions, write_json, write_text
from train.scoring import classifier_scorer
from train.split import split_rows

DATA: Final = Path(__file__).parent / "data"
"""The authored corpora that ship."""

FOLD_FILE: Final = "fold.safetensors"
VOCABULARY_FILE: Final = "vocabulary.txt"
"""Beside PEFT's own files in an adapter folder; what export reads (docs/training.md)."""

FILE_SHARE: Final = 0.05
"""Of the groups of a user's files that validate, and that test, unless the recipe says otherwise."""

MAX_FOLD_ROWS: Final = 2000

FOLD_SAMPLE_PROMPTS: Final = 128

MAX_COMPARED_ROWS: Final = 4000
"""Of the validation side; a minute for each share of the starting adapter."""

MERGE_ROWS: Final = 64
"""On which the merged model is compared with the adapter."""


def prepare_rows(
    recipe: Recipe, run: RunDir, base: Base, say: Callable[[str], None] = print
) -> tuple[Labels, dict[Side, list[Row]]]:
    """The run's rows by side, written to the run's folder; of a resumed run, those that it was started with.

    Raises:
        DataError: if the data are not as described.
        RunError: if the run is complete, what it is made of changed since it wrote its first checkpoint, or its rows
            would replace the recipe's own files.
    """
    run.check_open()
    check_targets(recipe, (run.rows(side) for side in Side))
    labels, sides, report = split_data(recipe)
    lines = {side: "".join(to_json(row) + "\n" for row in rows) for side, rows in sides.items()}
    changed = [side for side in Side if run.rows(side).is_file() and run.rows(side).read_text("utf-8") != lines[side]]
    if changed and run.has_checkpoint():
        raise RunError(f"the data of {run.path} changed since the run was started; name another folder, or remove it")
    for side, text in lines.items():
        write_text(run.rows(side), text)
    write_json(run.path / "leakage.json", report)
    run.begin(_made_of(recipe, run, base))
    say(
        f"{sum(map(len, sides.values()))} rows; {report['exact_duplicates']} duplicates, "
        f"{report['contradictions']} texts with both labels and {report['near_duplicates']} near copies of held-out "
        "rows are left out"
    )
    return labels, sides


def _made_of(recipe: Recipe, run: RunDir, base: Base) -> dict[str, str]:
    """All that decides the run's result, by what a person calls it."""
    made_of = {
        "recipe": recipe.text,
        "data_sha256": run.data_sha256(),
        # How many steps there are, and so the place in the schedule, depends on it.
        "number_of_processes": str(processes().num_processes),
        "precision": effective_precision(recipe.training.precision),
    }
    files = {"base": base.files()}
    if recipe.base.vocabulary is not None:
        files["keep_list"] = [recipe.file(recipe.base.vocabulary)]
    if recipe.lora.start is not None:
        start = recipe.file(recipe.lora.start)
        kept_before = [path for path in [start / VOCABULARY_FILE] if path.is_file()]
        files["adapter_to_start_from"] = [start / SAFETENSORS_WEIGHTS_NAME, *kept_before]
    return made_of | {name: _hash_of(name, paths) if paths else base.folder for name, paths in files.items()}


def _hash_of(name: str, paths: Sequence[Path]) -> str:
    try:
        return sha256_of(paths)
    except OSError as error:
        raise RunError(f"can't read the {name.replace('_', ' ')}: {error}") from error


def labels_of(recipe: Recipe) -> Labels:
    """The two labels of a recipe's data.

    Raises:
        DataError: if there are not exactly two, or it is open which of them is on topic.
    """
    return DEFAULT_LABELS if recipe.data.topic else find_labels(_paths(recipe), recipe.data.on_topic)


def _paths(recipe: Recipe) -> list[Path]:
    return [recipe.folder / name for name in recipe.data.files]


def split_data(recipe: Recipe) -> tuple[Labels, dict[Side, list[Row]], dict[str, object]]:
    """The labels, cleaned rows by side, and the leakage report of a recipe's data.

    Raises:
        DataError: if the data are not as described.
        RunError: if a side has rows of one label only.
    """
    data, seed = recipe.data, recipe.training.seed
    labels = labels_of(recipe)
    if data.topic:
        mixture = replace(
            DEFAULT_MIXTURE,
            validation_share=_share(data.validation_share, DEFAULT_MIXTURE.validation_share),
            test_share=_share(data.test_share, DEFAULT_MIXTURE.test_share),
        )
        sides = generate(read_corpus(DATA / data.topic, labels), labels, seed, mixture)
    else:
        rows = [row for path in _paths(recipe) for row in read_rows(path, labels)]
        sides = split_rows(rows, seed, _share(data.validation_share, FILE_SHARE), _share(data.test_share, FILE_SHARE))
    cleaned, report = clean(sides)
    for side in Side:
        counts = Counter(row.label for row in cleaned[side])
        if missing := [name for name in labels.ordered if not counts[name]]:
            raise RunError(
                f"the {side} side has {counts.total()} rows and none of them is {missing[0]!r}, wanted rows of both "
                "labels: add more rows, or more varied ones"
            )
    return labels, cleaned, report.as_dict()


def _share(stated: float | None, default: float) -> float:
    return default if stated is None else stated


def check_targets(recipe: Recipe, targets: Iterable[Path]) -> None:
    """Check that no file of a recipe's data is about to be replaced by what is made of it.

    Raises:
        RunError: if one of the targets is.
    """
    own = [path for path in _paths(recipe) if path.exists()]
    for target in targets:
        # The same file may have other names: links, or other letter case.
        if target.exists() and any(target.samefile(path) for path in own):
            raise RunError(f"{target} is a file of the recipe's own data and is not replaced; name another folder")


def run_recipe(  # noqa: PLR0913 - a stage takes what it needs by name
    recipe: Recipe,
    run: RunDir,
    base: Base,
    template: PromptTemplate,
    *,
    merged_folder: Path | None = None,
    base_path: Path | None = None,
    column_order: ColumnOrder | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Train ``recipe`` into ``run``, or go on where an interrupted run stopped.

    Of the processes that ``accelerate launch`` starts, all train and the first one writes.

    Args:
        recipe: what to do.
        run: where; its ``run.json`` is written last.
        base: the weights that the recipe's ``[base]`` names.
        template: the prompt's marks for this base.
        merged_folder: where to save the merged model as a Hugging Face folder, too; None for nowhere.
        base_path: of a base that takes the place of the one that the recipe names; it is written into the guard's file.
        column_order: of the adapter that the recipe goes on from, if that has a keep-list of its own.
        say: where progress is told.

    Raises:
        TrainError: if anything is not as it should be; a complete run is never overwritten.
    """
    among = processes()
    # Rows are the same in every process.
    labels, sides = prepare_rows(recipe, run, base, say) if among.is_main_process else split_data(recipe)[:2]
    among.wait_for_everyone()
    encoder = Encoder(base.load_tokenizer(), template)
    examples = training_examples(sides[Side.TRAIN], encoder, labels, recipe.training.max_length_tokens)
    check_examples(examples)
    say(
        f"training on {len(examples.rows)} examples, {sum(len(e['input_ids']) for e in examples.rows)} tokens; "
        f"{examples.cut} cut to length, {examples.left_out} long off-topic rows left out"
    )
    trained = finetune(
        recipe=recipe,
        base=base,
        encoder=encoder,
        labels=labels,
        examples=examples,
        checkpoints=run.checkpoints,
        column_order=column_order,
    )
    if not among.is_main_process:
        return
    write_text(run.loss, "".join(json.dumps(entry) + "\n" for entry in trained.log))
    model = trained.model.to(torch.float32)
    aucs = mix_in_start(recipe, trained, encoder, labels, sides[Side.VALIDATION], say)
    save_adapter(model, run.adapter)
    say("measuring the final hidden states for export")
    outputs = compute(model, encoder, spread(sides[Side.VALIDATION], MAX_FOLD_ROWS))
    save_fold(outputs.hidden, run.adapter / FOLD_FILE)
    write_guard_file(recipe, run, labels, template, describe_base(recipe, base, base_path))
    merged, difference = merge(model, encoder, spread(sides[Side.VALIDATION], MERGE_ROWS))
    if merged_folder is not None:
        save_merged(merged, encoder.tokenizer, merged_folder)
    measured = {
        "examples_cut_to_length": examples.cut,
        "long_off_topic_rows_left_out": examples.left_out,
        "training_seconds": round(trained.seconds, 1),
        "precision": effective_precision(recipe.training.precision),
        "merge_max_logit_difference": difference,
        # Of the validation rows, by how much of the starting adapter was mixed in.
        "roc_auc_by_start_share": aucs,
    }
    write_json(run.record, _record(recipe, run, sides) | measured)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    say(f"the adapter is in {run.adapter}")


def mix_in_start(  # noqa: PLR0913, PLR0917 - a stage takes what it needs
    recipe: Recipe, trained: Trained, encoder: Encoder, labels: Labels, rows: Sequence[Row], say: Callable[[str], None]
) -> dict[str, float]:
    """Leave in the model as much of the adapter that it went on from as tells ``rows`` apart best.

    Returns:
        The ROC-AUC by share of that adapter; empty if the recipe tries none.
    """
    if not recipe.lora.start_shares:
        return {}
    model, compared = trained.model, spread(rows, MAX_COMPARED_ROWS)
    on_topic = np.asarray([row.label == labels.on_topic for row in compared])
    rounding = RoundedWeights(model) if recipe.base.rounding else None

    def measure() -> float:
        if rounding is not None:
            rounding.refresh()
        verdicts = [judge(windows, UNCALIBRATED, labels) for windows in classifier_scorer(model, encoder)(compared)]
        return roc_auc(on_topic, np.asarray([verdict.score for verdict in verdicts]))

    aucs = trained.line.keep_best(model, recipe.lora.start_shares, measure)
    if rounding is not None:
        rounding.undo()
    told = ", ".join(f"{auc:.4f} with {share:.0%}" for share, auc in aucs.items())
    say(f"ROC-AUC of {len(compared)} validation rows by share of the starting adapter: {told}; the best is kept")
    return {str(share): auc for share, auc in aucs.items()}


def check_examples(examples: Examples) -> None:
    """Say that there is nothing to tell apart, before an hour is spent on it.

    Raises:
        RunError: if the examples have one label only.
    """
    if len({example["labels"] for example in examples.rows}) < 2:
        raise RunError(
            f"the training side has examples of one label only; of off-topic rows, {examples.left_out} that are longer "
            f"than {WINDOW_BYTES} bytes or [training] max_length_tokens are left out, since it is not known which part "
            "of them is off topic"
        )


def describe_base(recipe: Recipe, base: Base, base_path: Path | None) -> dict[str, str | None]:
    """Where export finds the base again: in the folder that took its place, or where the recipe says; by commit."""
    if base_path is not None:
        return {"folder": str(base_path.resolve())}
    named = recipe.base
    folder = base.folder if named.random else named.folder
    return {"package": named.package, "folder": folder, "hub": named.hub, "revision": _commit(recipe, base)}


def _commit(recipe: Recipe, base: Base) -> str | None:
    """The commit of a base on the hub: the name of its folder in the hub's cache, ``.../snapshots/COMMIT``."""
    folder = Path(base.folder)
    cached = recipe.base.hub is not None and folder.parent.name == "snapshots"
    return folder.name if cached else recipe.base.revision


def save_adapter(model: Any, folder: Path) -> None:  # noqa: ANN401 - PEFT is untyped
    """Save a PEFT adapter with F16 weights: half the megabytes, and export computes in F16 anyway."""
    # An adapted embedding is stored as its two factors, like any other matrix; PEFT would add the whole of it.
    model.save_pretrained(folder, save_embedding_layers=False)
    weights = folder / "adapter_model.safetensors"
    tensors = {name: tensor.to(torch.float16) for name, tensor in load_file(weights).items()}
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise RunError("the adapter has weights that are not numbers, or are too large for F16")
    save_file(tensors, weights, metadata={"format": "pt"})
    # PEFT writes a card with the path of the machine it ran on.
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    write_json(folder / "adapter_config.json", config)


def save_fold(hidden: npt.NDArray[np.float32], path: Path) -> None:
    """Save what export folds the head with: the mean final hidden state, and a sample to measure the margin on.

    Args:
        hidden: shape (prompts, hidden), of validation rows.
        path: where.
    """
    sample = hidden[np.linspace(0, len(hidden) - 1, min(len(hidden), FOLD_SAMPLE_PROMPTS)).round().astype(int)]
    tensors = {
        "mean_hidden": torch.from_numpy(hidden.mean(axis=0)),
        "sample_hidden": torch.from_numpy(sample.astype(np.float16)),
    }
    save_file(tensors, path)


def write_guard_file(
    recipe: Recipe, run: RunDir, labels: Labels, template: PromptTemplate, source: dict[str, str | None]
) -> None:
    """Write what export needs to know beside the adapter's weights, uncalibrated and its accuracy not yet measured.

    Args:
        recipe: what was trained.
        run: where.
        labels: the two labels.
        template: the prompt's marks.
        source: ``package``, ``folder``, or ``hub`` and ``revision`` of the base.
    """
    named = recipe.base
    described: dict[str, Any] = {
        **source,
        "layers": named.layers,
        "rounding": named.rounding,
    }
    if named.vocabulary is not None:
        shutil.copyfile(recipe.file(named.vocabulary), run.adapter / VOCABULARY_FILE)
        described["vocabulary"] = VOCABULARY_FILE
    write_json(
        run.adapter / GUARD_FILE,
        {
            "name": guard_name(f"{recipe.data.topic or recipe.name}-guard-{recipe.name}"),
            "topic": recipe.data.topic_words,
            "labels": list(labels.ordered),
            "prompt": prompt_as_dict(template),
            "base": {key: value for key, value in described.items() if value is not None},
            "calibration": calibration_as_dict(UNCALIBRATED),
            "data_sha256": run.data_sha256(),
            "accuracy": None,
        },
    )


def _record(recipe: Recipe, run: RunDir, sides: dict[Side, list[Row]]) -> dict[str, Any]:
    counts: dict[str, int] = {str(side): len(rows) for side, rows in sides.items()}
    return {
        "recipe": recipe.text,
        "data_sha256": run.data_sha256(),
        "rows": counts,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "commit": run.commit(),
    }
