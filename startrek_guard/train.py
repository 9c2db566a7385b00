"""``startrek-guard train``: data, fine-tuning, calibration, evaluation, model card."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from startrek_guard.consoles import err, out
from startrek_guard.guards import DEFAULT_GUARD, cache_folder, open_adapter

if TYPE_CHECKING:
    from guard.prompt import PromptTemplate
    from train.embedding_columns import ColumnOrder
    from train.model import Base
    from train.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Generate data, fine-tune a guard, calibrate and evaluate it.")

RecipeOption = Annotated[str, typer.Option("--recipe", help="The name of a shipped recipe, or a TOML file.")]


@app.command()
def generate(
    output: Annotated[
        Path, typer.Argument(help="Folder for train.jsonl, validation.jsonl, test.jsonl and leakage.json.")
    ],
    recipe: RecipeOption = DEFAULT_GUARD,
    format_: Annotated[
        str, typer.Option("--format", help="'messages' (this project's), or 'predecessor' (single prompts only).")
    ] = "messages",
) -> None:
    """Write the labelled rows of a recipe; the same seed gives the same rows."""
    from train.generate import Side
    from train.rows import to_json, to_predecessor_json
    from train.run import check_targets, split_data
    from train.run_dir import write_json

    writers = {"messages": to_json, "predecessor": to_predecessor_json}
    if format_ not in writers:
        raise typer.BadParameter(f"--format {format_!r}, wanted {' or '.join(writers)}")
    loaded = _recipe(recipe)
    check_targets(loaded, [output / "leakage.json", *(output / f"{side}.jsonl" for side in Side)])
    _, sides, report = split_data(loaded)
    for side, rows in sides.items():
        # The predecessor's format has single prompts only; a conversation's last turn alone may have another label.
        told = [row for row in rows if format_ == "messages" or len(row.turns) == 1]
        _write_lines(output / f"{side}.jsonl", [writers[format_](row) for row in told])
        out.print(f"{output / f'{side}.jsonl'}: {len(told)} rows")
    write_json(output / "leakage.json", report)


@app.command()
def vocabulary(
    recipe: RecipeOption = DEFAULT_GUARD,
    frequent: Annotated[
        int, typer.Option(help="How many of the most frequent tokens to keep, whether or not the rows have them.")
    ] = 12_000,
    least: Annotated[int, typer.Option(help="How often the rows must have any other token for it to be kept.")] = 2,
) -> None:
    """Choose the tokens that a recipe keeps (those of its rows, the most frequent, all bytes); write its keep-list."""
    from export.architectures import by_gguf_name
    from export.atomic import replacing
    from export.build import open_base_weights
    from export.keep_list import write_keep_list
    from export.vocabulary import SPARE_ENTRIES, choose_tokens
    from guard.prompt import prompt_texts
    from train.run import split_data

    loaded = _recipe(recipe)
    if loaded.base.vocabulary is None:
        raise typer.BadParameter(f"the recipe {recipe!r} names no [base] vocabulary to write")
    checkpoint = open_base_weights(_named(loaded), cache_folder())
    labels, sides, _ = split_data(loaded)
    texts = {text for rows in sides.values() for row in rows for texts in prompt_texts(row.turns) for text in texts}
    template = by_gguf_name(checkpoint.architecture).template
    keep = choose_tokens(
        checkpoint.vocabulary,
        sorted(texts),
        template,
        frequent,
        SPARE_ENTRIES,
        least=least,
        labels=labels.ordered,
    )
    target = loaded.folder / loaded.base.vocabulary
    with replacing(target) as temporary:
        write_keep_list(temporary, keep)
    out.print(f"{target}: {len(keep)} of {len(checkpoint.vocabulary.tokens)} tokens")


@app.command()
def run(
    recipe: RecipeOption = DEFAULT_GUARD,
    output: Annotated[Path | None, typer.Option(help="The run's folder (default: runs/RECIPE).")] = None,
    base: Annotated[
        Path | None, typer.Option(help="The base's GGUF or folder, in place of the one that the recipe names.")
    ] = None,
    merged: Annotated[
        Path | None, typer.Option(help="Also save the merged model to this folder, in Hugging Face's format.")
    ] = None,
) -> None:
    """Fine-tune a guard; an interrupted run resumes from its last checkpoint."""
    # On shared cores the threads of a matrix product must not spin while they wait for each other: many times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from train.run import run_recipe
    from train.run_dir import RunDir

    loaded = _recipe(recipe)
    source, template = _base(loaded, base)
    folder = RunDir(output or Path("runs") / loaded.name)
    run_recipe(
        loaded,
        folder,
        source,
        template,
        merged_folder=merged,
        base_path=base,
        column_order=_column_order(loaded),
        say=err.print,
    )


def _column_order(recipe: Recipe) -> ColumnOrder | None:
    """From the keep-list of the adapter that a recipe goes on from to its own."""
    from export.keep_list import read_keep_list
    from train.embedding_columns import ColumnOrder
    from train.run import VOCABULARY_FILE

    if recipe.lora.start is None or recipe.base.vocabulary is None:
        return None
    kept_before = recipe.file(recipe.lora.start) / VOCABULARY_FILE
    if not kept_before.is_file():
        return None
    return ColumnOrder(read_keep_list(kept_before), read_keep_list(recipe.file(recipe.base.vocabulary)))


@app.command()
def calibrate(
    adapter: Annotated[str, typer.Argument(help="The name of a shipped adapter, or an adapter folder.")],
    data: Annotated[Path, typer.Option(help="Validation rows that the guard was not trained on: JSON Lines.")],
    max_false_block: Annotated[
        float | None,
        typer.Option(
            help="Promise that at most this share of on-topic prompts is refused (default: 0.01).", show_default=False
        ),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced", help="Promise nothing; set the threshold where both labels are wrong equally often."
        ),
    ] = False,
    uncertain_share: Annotated[
        float,
        typer.Option(
            help="Share of rows to call uncertain: those closest to the threshold, on the side of --uncertain-decision."
        ),
    ] = 0.0,
    uncertain_decision: Annotated[
        str,
        typer.Option(
            help="What uncertain rows get: block (those below the threshold), or allow or flag (those above it)."
        ),
    ] = "block",
) -> None:
    """Fit a guard's temperature and threshold on validation rows, and store them with it."""
    from guard.calibration import Decision
    from startrek_guard.calibration import calibrate_guard
    from train.calibrate import DEFAULT_MAX_FALSE_BLOCK, Aim, describe

    if uncertain_decision not in set(Decision):
        raise typer.BadParameter(f"--uncertain-decision {uncertain_decision!r}, wanted {' or '.join(Decision)}")
    if balanced and max_false_block is not None:
        raise typer.BadParameter(
            f"--balanced promises nothing, and --max-false-block {max_false_block} does: wanted one of them"
        )
    promise = DEFAULT_MAX_FALSE_BLOCK if max_false_block is None else max_false_block
    aim = Aim(
        max_false_block=None if balanced else promise,
        uncertain_share=uncertain_share,
        uncertain_decision=Decision(uncertain_decision),
    )
    out.print(describe(calibrate_guard(adapter, data, aim)))


@app.command()
def evaluate(
    adapter: Annotated[
        str, typer.Argument(help="The name of a shipped adapter, or an adapter folder.")
    ] = DEFAULT_GUARD,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own labelled rows: JSON Lines (default: the topic's hard set and the run's test side)."
        ),
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of the run, for its test side and for the training rows of baselines."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report (default: the adapter's; with --data, NAME-report).")
    ] = None,
) -> None:
    """Evaluate the exported guard, by slice and beside baselines; write report.md, report.json and plots."""
    from startrek_guard.evaluation import evaluate_guard

    folder = evaluate_guard(adapter, data, run_folder, output)
    out.print(str(folder / "report.md"))


@app.command()
def card(
    adapter: Annotated[
        str, typer.Argument(help="The name of a shipped adapter, or an adapter folder.")
    ] = DEFAULT_GUARD,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the card is out of date.")] = False,
) -> None:
    """Render the model card (README.md in the adapter folder) from what was measured."""
    from startrek_guard.evaluation import card_sources
    from train.card import CARD_FILE, check_card, write_card

    opened = open_adapter(adapter)
    target = opened.path / CARD_FILE
    if check:
        check_card(card_sources(opened), target)
        return
    write_card(card_sources(opened), target)
    out.print(str(target))


def _recipe(name: str) -> Recipe:
    from train.recipe import load_recipe

    return load_recipe(name)


def _base(recipe: Recipe, path: Path | None) -> tuple[Base, PromptTemplate]:
    """The weights that a recipe starts from, layers and vocabulary cut, and the prompt's marks for them.

    Raises:
        FoldError: if the recipe's labels can't become tokens of this base: better now than after the training.
    """
    from export.build import open_base_weights
    from export.fold import place_labels
    from export.training_base import training_base
    from train.model import base_in
    from train.processes import processes
    from train.run import labels_of

    base = recipe.base
    keep_list = None if base.vocabulary is None else recipe.file(base.vocabulary)
    # Of several processes the first one writes what the others find.
    with processes().main_process_first():
        if base.random is not None and path is None:
            path = _random_base(base.random)
        found, template = training_base(
            _named(recipe), cache_folder(), path, layers=base.layers, keep_list=keep_list, rounding=base.rounding
        )
    place_labels(open_base_weights({}, cache_folder(), found).vocabulary, labels_of(recipe), template)
    return base_in(found), template


def _random_base(architecture: str) -> Path:
    from export.architectures import by_gguf_name
    from train.random_base import VERSION, save_random_base

    template = by_gguf_name(architecture).template
    folder = cache_folder() / "random" / f"{architecture}_{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as temporary:
            marks = (template.prefix, template.turn, template.suffix)
            # The fold pushes other tokens down along the mean hidden state; without a common part, as trained models
            # have it, some texts' states have nothing of it, and the guard is refused when it is loaded.
            made = save_random_base(Path(temporary) / "base", marks, common=0.2)
            made.rename(folder)
    return folder


def _named(recipe: Recipe) -> dict[str, str | None]:
    base = recipe.base
    return {"package": base.package, "folder": base.folder, "hub": base.hub, "revision": base.revision}


def _write_lines(path: Path, lines: list[str]) -> None:
    from export.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), "utf-8")
