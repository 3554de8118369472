"""What the study's figures share: their look, marks, title with its n, and rows of estimates with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gavel.toolkit.pictures import COLOURS

Estimate = dict[str, float]
WIDTH = 5.6  # inches: text of 9 points can still be read where a phone's width shrinks it
# What is neither data nor band, and what is behind all: the report replaces both by the page's own.
INK = "#1b1f24"
PAPER = "#fefefe"
GREY = "#808890"
MARKERS = "osD^vPX*"
SPACING = 0.2  # inches between the marks of one row


@dataclass(frozen=True)
class Plot:
    """A figure, what stands above it, and how to read it: a ``kind`` of figure of a test set and generator."""

    kind: str
    scope: str
    title: str
    n: str
    caption: str
    figure: Figure


@contextmanager
def style() -> Iterator[None]:
    """The look of everything drawn and written inside. Names are printed as they are: ``$`` opens no formula."""
    look = {
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "savefig.dpi": 200,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": GREY,
        "grid.alpha": 0.25,
        "text.parse_math": False,
        "svg.hashsalt": "gavel",
        **dict.fromkeys(("figure.facecolor", "axes.facecolor"), PAPER),
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    }
    with matplotlib.rc_context(look):
        yield


def begin(kind: str, title: str, scope: str, n: str, caption: str, height: float) -> Plot:
    """An empty figure, so many inches high, under its title and n."""
    title = f"{title}: {scope}"
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, hspace=0.03, wspace=0.03)
    figure.suptitle(f"{wrap(title, 60)}\n{wrap(n, 60)}", x=0.015, ha="left", linespacing=1.3)
    return Plot(kind, scope, title, n, caption, figure)


def wrap(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def panels(
    figure: Figure, count: int, columns: int, *, x: str = "", y: str = "", sharex: bool = True, sharey: bool = True
) -> list[Axes]:
    """So many axes in a grid. Of shared axes the numbers and the words stand at the outer panels alone."""
    rows = -(-count // columns)
    grid = list(figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).flat)
    for spare in grid[count:]:
        spare.remove()
    for number, axes in enumerate(grid[:count]):
        lowest, first = number + columns >= count, number % columns == 0
        axes.tick_params(labelbottom=lowest or not sharex, labelleft=first or not sharey)
        axes.set(xlabel=x if lowest else "", ylabel=y if first else "")
    return grid[:count]


def mark(number: int) -> dict[str, Any]:
    """Colour and marker of the number-th of several things, so that neither is needed to tell them apart."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": 5}


def legend(figure: Figure, columns: int = 1) -> None:
    """What any of the panels shows, each once, below them and in lines that fit."""
    named = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    wrapped = [wrap(label, 78 // columns - 8) for label in named]
    figure.legend(list(named.values()), wrapped, loc="outside lower left", ncols=columns)


def bars(estimates: Sequence[Estimate | None]) -> tuple[list[float], list[list[float]]]:
    """Values, and how far their intervals go below and above; what is undefined is not drawn."""
    known = [one or dict.fromkeys(("value", "low", "high"), np.nan) for one in estimates]
    values = [one["value"] for one in known]
    # Matplotlib takes no negative length, and a percentile interval may lie beside its value.
    below = [np.maximum(one["value"] - one["low"], 0.0) for one in known]
    above = [np.maximum(one["high"] - one["value"], 0.0) for one in known]
    return values, [below, above]


def forest(
    axes: Axes,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Estimate | None]],
    references: Sequence[float],
    width: int = 66,
) -> None:
    """A row for each label, which stands above a band of its marks: an estimate and its interval of each of the series.
    The references are values to compare with."""
    step, first = row_height(labels, len(series), width), row_height(labels, 0, width)
    for row, label in enumerate(labels):
        top = row * step + first - SPACING / 2
        bottom = top + SPACING * len(series)
        axes.axhspan(top, bottom, color=GREY, alpha=0.12, linewidth=0)
        axes.vlines(references, top, bottom, color=GREY, linestyle=":")
        place = {"transform": axes.get_yaxis_transform(), "va": "bottom", "fontsize": 8.5}
        axes.text(0.005, top - 0.02, wrap(label, width), **place)
    for number, (name, estimates) in enumerate(series.items()):
        places = [row * step + first + SPACING * number for row in range(len(labels))]
        values, lengths = bars(estimates)
        axes.errorbar(values, places, xerr=lengths, linestyle="", capsize=2, label=name, **mark(number))
    axes.set(yticks=[], ylim=(len(labels) * step, 0))
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    tall = len(labels) > 8
    axes.tick_params(top=tall, labeltop=tall)


def row_height(labels: Sequence[str], series: int, width: int = 66) -> float:
    """Of a `forest`, in inches where the axes are as high as their rows."""
    lines = max(wrap(label, width).count("\n") + 1 for label in labels)
    return 0.14 + 0.15 * lines + SPACING * series
