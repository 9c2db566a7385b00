"""The report of a guard: ``report.json``, and ``report.md`` with its plots, which are drawn from it alone.

``report.json``::

    guard            name of the guard
    labels           by class id: off topic, on topic
    calibration      temperature, threshold, uncertain band
    calibration_fit  what the calibration rests on; null before it is fitted
    loss             the loss curve, [{"step", "loss", ...}]
    evaluations      one for each set of rows: see train.evaluate.Evaluation.as_dict

Shares are 0 to 1 with the ends of their 95 % Wilson interval beside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from train.errors import RunError
from train.evaluate import Evaluation
from train.guard_file import calibration_of, labels_of, read_guard_file
from train.markdown import escape, number, percent, table, with_interval
from train.plots import LOSS_FILE, plot_files, plot_report, scores_file, slices_file
from train.run_dir import write_json, write_text

JSON_FILE: Final = "report.json"
MARKDOWN_FILE: Final = "report.md"
PLOTS: Final = "plots"

MAX_LOSS_POINTS: Final = 300
_DECIMALS: Final = 6


def make_report(
    adapter_folder: Path, evaluations: Sequence[Evaluation], loss_file: Path | None = None
) -> dict[str, Any]:
    """Put a report together.

    Args:
        adapter_folder: whose ``guard.json`` says which guard it is.
        evaluations: with names of their own, the most telling first.
        loss_file: the run's loss curve.

    Raises:
        RunError: if ``guard.json`` can't be used, or two evaluations have one name.
    """
    names = [evaluation.subject.name for evaluation in evaluations]
    if len(set(names)) < len(names):
        raise RunError(f"two evaluations of one report have one name: {', '.join(sorted(names))}")
    guard = read_guard_file(adapter_folder)
    calibration_of(adapter_folder)
    report = {
        "guard": guard.get("name", ""),
        "labels": list(labels_of(adapter_folder).ordered),
        "calibration": guard["calibration"],
        "calibration_fit": guard.get("calibration_fit"),
        "loss": [] if loss_file is None else _read_loss(loss_file),
        "evaluations": [evaluation.as_dict() for evaluation in evaluations],
    }
    rounded: dict[str, Any] = _rounded(report)
    return rounded


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``report.json``, ``report.md`` and ``plots/``; plots of an earlier report are removed.

    Raises:
        RunError: see :func:`check_folder`.
    """
    check_folder(folder)
    text = render_report(report)
    drawn = folder / f".{PLOTS}.part"
    shutil.rmtree(drawn, ignore_errors=True)
    paths = plot_report(report, drawn)
    _remove_plots(folder)
    # First: whatever lies beside it is known for a report's from now on.
    write_json(folder / JSON_FILE, report)
    (folder / PLOTS).mkdir(exist_ok=True)
    for path in paths:
        path.replace(folder / PLOTS / path.name)
    drawn.rmdir()
    write_text(folder / MARKDOWN_FILE, text)


def check_folder(folder: Path) -> None:
    """Check that a folder holds nothing that a report would replace, but for an earlier report.

    Raises:
        RunError: if it does.
    """
    found = [name for name in (JSON_FILE, MARKDOWN_FILE, PLOTS) if (folder / name).exists()]
    if found and not _is_report(folder):
        raise RunError(f"{folder / found[0]} is not of a report that was written here; name another folder")


def _is_report(folder: Path) -> bool:
    try:
        plot_files(read_report(folder))
    except (RunError, KeyError, TypeError):
        return False
    return True


def _remove_plots(folder: Path) -> None:
    """Those of the folder's report; other files beside them stay."""
    if (folder / JSON_FILE).exists() and (folder / PLOTS).is_dir():
        named = plot_files(read_report(folder))
        for path in [path for path in (folder / PLOTS).iterdir() if path.name in named]:
            path.unlink()


def read_report(folder: Path) -> dict[str, Any]:
    """The folder's ``report.json``.

    Raises:
        RunError: if it has none that can be read.
    """
    try:
        report: dict[str, Any] = json.loads((folder / JSON_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} has no report: {error}") from error
    return report


def check_report(folder: Path) -> None:
    """Check that ``report.md`` says what ``report.json`` does.

    Raises:
        RunError: if it does not, or either can't be read.
    """
    path = folder / MARKDOWN_FILE
    if not path.is_file() or path.read_text("utf-8") != render_report(read_report(folder)):
        raise RunError(f"{path} is not what {JSON_FILE} renders to; run 'train evaluate' again")


def render_report(report: Mapping[str, Any]) -> str:
    """``report.md``."""
    parts = [f"# Report: {report['guard']}\n", _summary(report), _calibration(report)]
    for evaluation in report["evaluations"]:
        parts += _evaluation(evaluation, report["labels"])
    if report["loss"]:
        parts.append(f"## Training\n\n![Training loss]({PLOTS}/{LOSS_FILE})\n")
    return "\n".join(parts)


def lowest_slice(evaluation: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The slice of the lowest accuracy, and its metrics."""
    slices: Mapping[str, Mapping[str, Any]] = evaluation["slices"]
    return min(slices.items(), key=lambda item: float(item[1]["accuracy"]["share"]))


def _summary(report: Mapping[str, Any]) -> str:
    heads = ["rows of", "rows", "accuracy", "false blocks", "off topic refused", "lowest slice", "best baseline"]
    return table(heads, (_summary_row(evaluation) for evaluation in report["evaluations"]))


def _summary_row(evaluation: Mapping[str, Any]) -> list[str]:
    overall = evaluation["overall"]
    name, lowest = lowest_slice(evaluation)
    rivals = {name: result["overall"]["accuracy"]["share"] for name, result in evaluation["baselines"].items()}
    best = max(rivals, key=lambda name: float(rivals[name]), default="")
    return [
        escape(evaluation["title"]),
        str(overall["rows"]),
        with_interval(overall["accuracy"]),
        with_interval(overall["false_blocks"]),
        with_interval(overall["recall"]),
        f"{escape(name)}, {percent(lowest['accuracy']['share'])}",
        f"{escape(best)}, {percent(rivals[best])}" if best else "–",
    ]


def _calibration(report: Mapping[str, Any]) -> str:
    calibration, fit = report["calibration"], report["calibration_fit"]
    lines = [
        "## Calibration\n\n",
        f"Temperature {number(calibration['temperature'])}, threshold {number(calibration['threshold'], 4)}: ",
        "a prompt whose score (the probability of on topic) lies below it is off topic. ",
    ]
    if calibration["uncertain_low"] < calibration["uncertain_high"]:
        lines.append(
            f"Scores from {number(calibration['uncertain_low'], 4)} up to {number(calibration['uncertain_high'], 4)} "
            f"are uncertain: {calibration['uncertain_decision']}. "
        )
    if fit is None:
        lines.append("Not calibrated yet.\n")
        return "".join(lines)
    promise = (
        "" if fit["max_false_block"] is None else f" to refuse at most {percent(fit['max_false_block'], 2)} of them"
    )
    lines.append(
        f"Fitted on {fit['false_blocks']['of']} on-topic and {fit['recall']['of']} off-topic validation rows{promise}: "
        f"false blocks {with_interval(fit['false_blocks'])}, off topic refused {with_interval(fit['recall'])}; "
        f"calibration error {number(fit['error_before'])} before, {number(fit['error_after'])} after.\n"
    )
    return "".join(lines)


def _evaluation(evaluation: Mapping[str, Any], labels: Sequence[str]) -> Iterator[str]:
    yield f"## {escape(evaluation['title'])}\n"
    yield f"Scored by {escape(evaluation['scored_by'])}. SHA-256 of the rows: `{evaluation['rows_sha256']}`.\n"
    yield _overall_table(evaluation)
    yield _confusion_table(evaluation["overall"], labels)
    yield _classes_table(evaluation["overall"], labels)
    yield _others(evaluation)
    yield f"### By kind and slice: {escape(evaluation['title'])}\n\nAccuracy with its 95 % Wilson interval.\n"
    yield _slices_table(evaluation)
    yield f"![Accuracy by slice]({PLOTS}/{slices_file(evaluation['name'])})\n"
    yield f"![ROC, reliability, scores]({PLOTS}/{scores_file(evaluation['name'])})\n"
    yield _copies(evaluation)
    yield _mistakes(evaluation)


def _overall_table(evaluation: Mapping[str, Any]) -> str:
    everyone = {"guard": evaluation["overall"]} | {n: r["overall"] for n, r in evaluation["baselines"].items()}
    heads = [
        "",
        "accuracy",
        "false blocks",
        "off topic refused",
        "refused at 1 % false blocks",
        "ROC-AUC",
        "calibration error",
    ]
    return table(
        heads,
        (
            [
                escape(name),
                with_interval(metrics["accuracy"]),
                with_interval(metrics["false_blocks"]),
                with_interval(metrics["recall"]),
                with_interval(metrics["recall_at_1_percent_false_blocks"]),
                number(metrics["roc_auc"], 4),
                number(metrics["expected_calibration_error"]),
            ]
            for name, metrics in everyone.items()
        ),
    )


def _confusion_table(metrics: Mapping[str, Any], labels: Sequence[str]) -> str:
    counts = metrics["confusion"]
    return table(
        ["confusion", "refused", "allowed"],
        [
            [escape(labels[0]), str(counts["off_topic_refused"]), str(counts["off_topic_allowed"])],
            [escape(labels[1]), str(counts["on_topic_refused"]), str(counts["on_topic_allowed"])],
        ],
    )


def _classes_table(metrics: Mapping[str, Any], labels: Sequence[str]) -> str:
    rows = [
        [
            escape(label),
            *(number(metrics[key][name]) for name in ("precision", "recall", "f1")),
            str(metrics[key]["rows"]),
        ]
        for label, key in zip(labels, ("off_topic", "on_topic"), strict=True)
    ]
    return table(["label", "precision", "recall", "F1", "rows"], rows)


def _others(evaluation: Mapping[str, Any]) -> str:
    lines = [
        f"{escape(name)}: accuracy {with_interval(other['accuracy'])}, the same decision on "
        f"{other['same_decision']['hits']} of {other['same_decision']['of']} rows, largest difference of a score "
        f"{number(other['largest_difference'])}.\n"
        for name, other in evaluation["others"].items()
    ]
    if evaluation["overall"]["unscored"]:
        lines.append(f"{evaluation['overall']['unscored']} rows got no score and count as refused.\n")
    if evaluation["flagged"]:
        lines.append(f"{evaluation['flagged']} rows were allowed with a flag.\n")
    return "\n".join(lines)


def _slices_table(evaluation: Mapping[str, Any]) -> str:
    baselines = evaluation["baselines"]
    everything = [(f"**{name}**", "kinds", name, metrics) for name, metrics in evaluation["kinds"].items()]
    everything += [(escape(name), "slices", name, metrics) for name, metrics in evaluation["slices"].items()]
    heads = ["slice", "rows", "accuracy", "false blocks", "off topic refused", *map(escape, baselines)]
    return table(
        heads,
        (
            [
                title,
                str(metrics["rows"]),
                with_interval(metrics["accuracy"]),
                _counts(metrics["false_blocks"]),
                _counts(metrics["recall"]),
                *(percent(result[key][name]["share"]) for result in baselines.values()),
            ]
            for title, key, name, metrics in everything
        ),
    )


def _counts(proportion: Mapping[str, Any]) -> str:
    return f"{proportion['hits']} of {proportion['of']}" if proportion["of"] else "–"


def _copies(evaluation: Mapping[str, Any]) -> str:
    copies = evaluation["copies"]
    if copies is None:
        return ""
    if not copies["rows"]:
        return "No row stands in the training rows too, word for word or nearly so.\n"
    rows = ", ".join(str(copy["row"]) for copy in copies["rows"])
    return (
        f"{len(copies['rows'])} rows stand in the training rows too, word for word or nearly so (rows {rows}). "
        f"Accuracy without them: {with_interval(copies['accuracy_without'])}.\n"
    )


def _mistakes(evaluation: Mapping[str, Any]) -> str:
    mistakes = evaluation["mistakes"]
    if not mistakes:
        return "No row came out wrong.\n"
    quoted = any(mistake["text"] is not None for mistake in mistakes)
    heads = ["row", "slice", "label", "score", *(["source", "text"] if quoted else [])]
    rows = (
        [
            str(mistake["row"]),
            escape(mistake["slice"]),
            escape(mistake["label"]),
            number(mistake["score"]),
            *([escape(mistake["source"]), escape(mistake["text"] or "")] if quoted else []),
        ]
        for mistake in mistakes
    )
    return f"### Worst errors: {escape(evaluation['title'])}\n\n{table(heads, rows, numbers=False)}"


def _read_loss(path: Path) -> list[dict[str, float]]:
    try:
        entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise RunError(f"the loss curve {path} can't be read: {error}") from error
    stride = max(1, -(-len(entries) // MAX_LOSS_POINTS))
    return [{key: entry[key] for key in ("step", "loss")} for entry in entries[::stride]]


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Six decimals say enough, and hide the last bit, in which machines differ."""
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
