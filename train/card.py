"""The model card of a guard, in the hub's format, rendered from what was measured.

A card is a Markdown file whose head is YAML (https://huggingface.co/docs/hub/model-cards); ``model-index`` there
carries results that the hub shows.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from train.errors import RunError
from train.markdown import escape, number, percent, table, with_interval
from train.report import lowest_slice
from train.run_dir import write_text

CARD_FILE: Final = "README.md"

_SPDX_FOR_HUB: Final = frozenset({"apache-2.0", "mit", "gemma", "llama3.2", "cc-by-4.0", "openrail"})
"""Licences by the hub's own identifiers; any other is ``other`` with its name and link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardBase:
    """The base model, as the card names it.

    Attributes:
        title: for people.
        hub_id: such as ``google/gemma-3-270m``; empty where it has none.
        licence: SPDX identifier in lower case, or the name of its terms.
        licence_link: where they stand; empty for SPDX identifiers.
    """

    title: str
    hub_id: str = ""
    licence: str = "other"
    licence_link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSources:
    """What a card is rendered from.

    Attributes:
        guard: the adapter folder's ``guard.json``.
        report: ``report.json``.
        run: ``run.json``.
        base: the base model.
        files: names of the files that come with the card, and what each is.
        report_link: where the full report stands, relative to the card; empty for nowhere.
    """

    guard: Path
    report: Path
    run: Path
    base: CardBase
    files: Sequence[tuple[str, str]] = ()
    report_link: str = ""


def write_card(sources: CardSources, path: Path) -> None:
    """Render the card to ``path``.

    Raises:
        RunError: see :func:`render_card`.
    """
    write_text(path, render_card(sources))


def check_card(sources: CardSources, path: Path) -> None:
    """Check that the card at ``path`` is what its sources render to.

    Raises:
        RunError: if it is not, or can't be read.
    """
    if not path.is_file() or path.read_text("utf-8") != render_card(sources):
        raise RunError(f"{path} is not what its sources render to; run 'train card' again")


def render_card(sources: CardSources) -> str:
    """The card.

    Raises:
        RunError: if a source can't be read, or lacks what a card needs.
    """
    guard, report, run = _read(sources.guard), _read(sources.report), _read(sources.run)
    try:
        _check_calibration(sources, guard["calibration"], report["calibration"])
        head = "\n".join(_head(sources.base, guard, report))
        body = "\n".join(_body(sources, guard, report, run))
    except KeyError as error:
        problem = (
            f"{sources.guard}, {sources.report} or {sources.run} has no {error}; a card can't be rendered from them"
        )
        raise RunError(problem) from error
    return f"---\n{head}\n---\n\n{body}"


def _check_calibration(sources: CardSources, now: Mapping[str, Any], reported: Mapping[str, Any]) -> None:
    for name in ("temperature", "threshold"):
        # A report's numbers are rounded.
        if not math.isclose(now[name], reported[name], abs_tol=1e-4):
            raise RunError(
                f"{sources.report} was measured with the {name} {reported[name]}, and {sources.guard} has {now[name]}; "
                "run 'train evaluate' again"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"the model card can't be rendered: {path}: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"the model card can't be rendered: {path} is no object")
    return value


def _quoted(text: str) -> str:
    # A JSON text is a YAML text.
    return json.dumps(text, ensure_ascii=False)


def _head(base: CardBase, guard: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    if base.licence in _SPDX_FOR_HUB:
        yield f"license: {base.licence}"
    else:
        yield "license: other"
        yield f"license_name: {_quoted(base.licence)}"
    if base.licence_link:
        yield f"license_link: {_quoted(base.licence_link)}"
    if base.hub_id:
        yield f"base_model: {_quoted(base.hub_id)}"
        yield "base_model_relation: adapter"
    yield "library_name: peft"
    yield "pipeline_tag: text-classification"
    yield "tags:"
    topic = "-".join(guard["topic"].lower().split())
    yield from (f"- {_quoted(tag)}" for tag in ("guardrail", "moderation", "lora", "gguf", "ollama", topic))
    yield "metrics:"
    yield from (f"- {metric}" for metric in ("accuracy", "precision", "recall", "f1", "roc_auc"))
    yield "model-index:"
    yield f"- name: {_quoted(guard['name'])}"
    yield "  results:"
    for evaluation in report["evaluations"]:
        yield from _index_result(evaluation)


def _index_result(evaluation: Mapping[str, Any]) -> Iterator[str]:
    overall = evaluation["overall"]
    yield "  - task:"
    yield "      type: text-classification"
    yield "    dataset:"
    yield f"      name: {_quoted(evaluation['title'])}"
    yield f"      type: {_quoted(evaluation['name'])}"
    yield "    metrics:"
    refusing = overall["off_topic"]
    values = (
        ("accuracy", "Accuracy", overall["accuracy"]["share"]),
        ("precision", "Precision of refusals", refusing["precision"]),
        ("recall", "Off topic refused", refusing["recall"]),
        ("f1", "F1 of refusals", refusing["f1"]),
        ("roc_auc", "ROC-AUC", overall["roc_auc"]),
        ("false_block_rate", "On topic refused", overall["false_blocks"]["share"]),
    )
    for kind, name, value in values:
        if value is not None:
            yield f"    - type: {kind}"
            yield f"      name: {_quoted(name)}"
            yield f"      value: {value:.4f}"


def _body(
    sources: CardSources, guard: Mapping[str, Any], report: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[str]:
    yield f"# {escape(guard['name'])}\n"
    yield (
        f"Decides whether a chat prompt is about {escape(guard['topic'])}, so that a chatbot on that topic can refuse "
        f"the rest. A LoRA sequence classifier on {escape(sources.base.title)} with the labels "
        f"{' and '.join(f'`{label}`' for label in guard['labels'])}; served as a GGUF that answers with one token.\n"
    )
    yield from _use(guard, report)
    yield from _results(sources, report)
    yield from _calibration(guard)
    yield from _training(guard, run)
    yield from _files(sources)


def _use(guard: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    topic = escape(guard["topic"])
    yield "## Intended use\n"
    yield (
        f"In front of a self-hosted chatbot, by startrek-guard: prompts on {topic} pass, others are refused before the "
        "chat model sees them. It judges the last user turn with a bounded window of earlier turns.\n"
    )
    yield "## Limits\n"
    yield (
        f"- It knows {topic} from other text and not. It says nothing about harmful, illegal or false content: that "
        "is another filter's task."
    )
    yield "- It can be talked round: the results below say how often that came through in the ways that were tried."
    yield "- The rows it was evaluated on are no sample of your users' prompts: evaluate it on your own."
    for evaluation in report["evaluations"][:1]:
        name, lowest = lowest_slice(evaluation)
        accuracy = with_interval(lowest["accuracy"])
        yield f"- It is weakest on the slice `{name}`: {accuracy} right of {lowest['rows']} rows."
    yield "- A score is a calibrated probability on rows like those it was fitted on, not elsewhere.\n"


def _results(sources: CardSources, report: Mapping[str, Any]) -> Iterator[str]:
    yield "## Results\n"
    yield "95 % Wilson intervals in brackets; a false block is an on-topic prompt refused.\n"
    heads = ["rows of", "rows", "accuracy", "false blocks", "off topic refused", "ROC-AUC", "calibration error"]
    yield table(heads, (_result_row(evaluation) for evaluation in report["evaluations"]))
    for evaluation in report["evaluations"]:
        yield f"{escape(evaluation['title'])}, scored by {escape(evaluation['scored_by'])}:\n"
        baselines = evaluation["baselines"]
        rows = (
            [
                escape(kind),
                str(metrics["rows"]),
                with_interval(metrics["accuracy"]),
                *(percent(result["kinds"][kind]["share"]) for result in baselines.values()),
            ]
            for kind, metrics in evaluation["kinds"].items()
        )
        yield table(["kind", "rows", "accuracy", *map(escape, baselines)], rows)
    if sources.report_link:
        yield f"Every slice, the confusion matrices and plots: [the report]({sources.report_link}).\n"


def _result_row(evaluation: Mapping[str, Any]) -> list[str]:
    overall = evaluation["overall"]
    return [
        escape(evaluation["title"]),
        str(overall["rows"]),
        with_interval(overall["accuracy"]),
        with_interval(overall["false_blocks"]),
        with_interval(overall["recall"]),
        number(overall["roc_auc"], 4),
        number(overall["expected_calibration_error"]),
    ]


def _calibration(guard: Mapping[str, Any]) -> Iterator[str]:
    calibration, fit = guard["calibration"], guard.get("calibration_fit")
    yield "## Calibration\n"
    yield (
        f"Temperature {number(calibration['temperature'])}; refused below a score of "
        f"{number(calibration['threshold'], 4)}."
    )
    if calibration["uncertain_low"] < calibration["uncertain_high"]:
        yield (
            f"From {number(calibration['uncertain_low'], 4)} up to {number(calibration['uncertain_high'], 4)} it is "
            f"uncertain: {calibration['uncertain_decision']}."
        )
    if fit is not None:
        promise = (
            "no promise" if fit["max_false_block"] is None else f"a promise of {percent(fit['max_false_block'], 2)}"
        )
        yield f"On its validation rows, with {promise}: false blocks {with_interval(fit['false_blocks'])}."
    yield ""


def _training(guard: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[str]:
    yield "## Training\n"
    rows = run["rows"]
    minutes = run["training_seconds"] / 60
    yield (
        f"{rows['train']} rows, {rows['validation']} for validation and {rows['test']} for testing, split by group so "
        f"that {_never_split(run['recipe'])} stands on two sides (SHA-256 `{guard['data_sha256']}`); "
        f"{minutes:.0f} minutes. Merging changed no logit by more than {run['merge_max_logit_difference']:.1e}.\n"
    )
    yield f"```toml\n{run['recipe'].strip()}\n```\n"
    yield table(
        ["library", "version"], ([escape(name), version] for name, version in run["versions"].items()), numbers=False
    )
    yield f"Source at commit `{run['commit']}`.\n"


def _never_split(recipe: str) -> str:
    try:
        authored = tomllib.loads(recipe).get("data", {}).get("topic")
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"the model card can't be rendered: the run's recipe is no TOML: {error}") from error
    # Of rows that were not composed here it is not known what they are made of.
    return "no entity, frame or authored prompt" if authored else "no group of rows"


def _files(sources: CardSources) -> Iterator[str]:
    if sources.files:
        yield "## Files\n"
        yield table(
            ["file", "what it is"], ([f"`{name}`", escape(what)] for name, what in sources.files), numbers=False
        )
