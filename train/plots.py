"""The pictures of a report, as small SVG files that are the same for the same report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

STYLE: Final[dict[str, Any]] = {
    # Text stays text: smaller, and readable for search and screen readers.
    "svg.fonttype": "none",
    "svg.hashsalt": "startrek-guard",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
"""For matplotlib's ``rc_context``."""

_ON: Final = "#1f6fb4"
_OFF: Final = "#c8553d"
_GREY: Final = "#888888"


def plot_report(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw everything in a report (``report.json``) into ``folder``.

    Returns:
        The files: two an evaluation, and the loss curve where the report has one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):
        for evaluation in report["evaluations"]:
            paths.append(_save(_scores_figure(evaluation), folder / scores_file(evaluation["name"])))
            paths.append(_save(_slices_figure(evaluation), folder / slices_file(evaluation["name"])))
        if report["loss"]:
            paths.append(_save(_loss_figure(report["loss"]), folder / LOSS_FILE))
    return paths


def plot_files(report: Mapping[str, Any]) -> set[str]:
    """The names of the files that :func:`plot_report` draws."""
    names = {name for e in report["evaluations"] for name in (scores_file(e["name"]), slices_file(e["name"]))}
    return names | ({LOSS_FILE} if report["loss"] else set())


LOSS_FILE: Final = "loss.svg"


def scores_file(name: str) -> str:
    """The file with ROC, reliability and histogram of the evaluation ``name``."""
    return f"{name}-scores.svg"


def slices_file(name: str) -> str:
    """The file with the accuracy per slice of the evaluation ``name``."""
    return f"{name}-slices.svg"


def _save(figure: Figure, path: Path) -> Path:
    # A date in the file would make every run's file another.
    figure.savefig(path, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return path


def _scores_figure(evaluation: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(10, 3), layout="constrained")
    roc, reliability, histogram = figure.subplots(1, 3)
    _draw_roc(roc, evaluation)
    _draw_reliability(reliability, evaluation["calibration_bins"])
    _draw_histogram(histogram, evaluation["histogram"])
    return figure


def _draw_roc(axes: Any, evaluation: Mapping[str, Any]) -> None:  # noqa: ANN401 - matplotlib is untyped here
    axes.set(xlabel="false blocks", ylabel="off topic refused", title="ROC", xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=0.8)
    if evaluation["roc"]:
        x, y = zip(*evaluation["roc"], strict=True)
        axes.plot(x, y, color=_ON, label=f"guard, area {evaluation['overall']['roc_auc']:.3f}")
    for marker, (name, result) in zip("sx^vD", evaluation["baselines"].items(), strict=False):
        overall = result["overall"]
        point = (overall["false_blocks"]["share"], overall["recall"]["share"])
        if None not in point:
            axes.plot(*point, marker, color=_GREY, label=name)
    axes.legend(loc="lower right", frameon=False)


def _draw_reliability(axes: Any, bins: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    axes.set(xlabel="score", ylabel="share on topic", title="Reliability", xlim=(0, 1), ylim=(0, 1.01))
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=0.8)
    most = max((found["rows"] for found in bins), default=1)
    axes.scatter(
        [found["mean_score"] for found in bins],
        [found["on_topic_share"] for found in bins],
        # The area is what the eye compares.
        s=[10 + 120 * found["rows"] / most for found in bins],
        color=_ON,
        alpha=0.7,
        linewidths=0,
    )


def _draw_histogram(axes: Any, histogram: Mapping[str, Sequence[int]]) -> None:  # noqa: ANN401
    axes.set(xlabel="score", ylabel="rows", title="Scores", xlim=(0, 1), yscale="symlog")
    count = len(histogram["on_topic"])
    edges = [place / count for place in range(count + 1)]
    for key, label, color in (("off_topic", "off topic", _OFF), ("on_topic", "on topic", _ON)):
        axes.stairs(histogram[key], edges, fill=True, alpha=0.5, color=color, label=label)
    axes.legend(frameon=False)


def _slices_figure(evaluation: Mapping[str, Any]) -> Figure:
    slices = sorted(evaluation["slices"].items(), key=lambda item: item[1]["accuracy"]["share"], reverse=True)
    figure = Figure(figsize=(8, 0.8 + 0.2 * len(slices)), layout="constrained")
    axes = figure.subplots()
    shares = [metrics["accuracy"]["share"] for _, metrics in slices]
    below = [share - metrics["accuracy"]["low"] for share, (_, metrics) in zip(shares, slices, strict=True)]
    above = [metrics["accuracy"]["high"] - share for share, (_, metrics) in zip(shares, slices, strict=True)]
    places = list(range(len(slices)))
    axes.errorbar(
        shares, places, xerr=[below, above], fmt="o", color=_ON, ecolor=_GREY, capsize=2, markersize=4, label="guard"
    )
    for marker, (name, result) in zip("sx^vD", evaluation["baselines"].items(), strict=False):
        found = [result["slices"][slice_]["share"] for slice_, _ in slices]
        axes.plot(found, places, marker, color=_GREY, markersize=3, alpha=0.7, label=name)
    axes.set_yticks(places, [_plain(f"{name} ({metrics['rows']})") for name, metrics in slices])
    axes.set(xlabel="accuracy, 95 % interval", xlim=(-0.02, 1.02), title=_plain(f"By slice: {evaluation['title']}"))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _plain(text: str) -> str:
    """For matplotlib, to which what stands between two dollar signs is a formula, as on a logarithmic axis it is."""
    return text.replace("$", r"\$")


def _loss_figure(loss: Sequence[Mapping[str, float]]) -> Figure:
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    steps = [entry["step"] for entry in loss]
    axes.plot(steps, [entry["loss"] for entry in loss], color=_ON, linewidth=1)
    axes.set(xlabel="step", ylabel="loss (nats)", title="Training loss")
    axes.set_ylim(bottom=0)
    return figure
