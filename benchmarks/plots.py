"""Pictures for the page, as small SVG files that are the same for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import PAGE
from train.plots import STYLE


@dataclass(frozen=True, slots=True)
class Line:
    """Points to connect.

    Attributes:
        label: for the legend.
        x: of each point.
        y: of each point.
        marker: matplotlib's letter for the points; empty for none.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marker: str = "o"


def plot_lines(name: str, lines: Sequence[Line], *, x: str, y: str, x_ticks: Sequence[float] = ()) -> str:
    """Draw lines into a file beside the page.

    Args:
        name: of the file.
        lines: to draw.
        x: label of the axis.
        y: label of the axis, which begins at 0.
        x_ticks: values of x that are marked, equally far apart by ratio; none for a linear axis.

    Returns:
        The name.
    """
    folder = PAGE.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            axes.plot(line.x, line.y, marker=line.marker, markersize=4, linewidth=1.2, label=line.label)
        axes.set(xlabel=x, ylabel=y)
        if x_ticks:
            axes.set_xscale("log", base=2)
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        # A date in the file would make every run's file another.
        figure.savefig(folder / name, format="svg", metadata={"Date": None})
    return name
