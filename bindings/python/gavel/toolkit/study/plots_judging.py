"""The figures of the first question: can judges tell what passes from what does not? The paper is arXiv 2602.11911."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gavel.toolkit.study.plots import GREY, Plot, begin, forest, legend, mark, panels, row_height, wrap
from gavel.toolkit.study.records import Record, counted, distinct, scope, where


def confusion(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """The paper's Figure 1: what was said against what is, as numbers of candidates."""
    caption = "Each row adds up to 100 %: of the candidates whose tests ended so, the share that got each verdict."
    n, height = counted(records, "tasks", "candidates"), 0.9 + 2.05 * -(-len(records) // 3)
    plot = begin("confusion", "Confusion matrices", scope(test_set, generator), n, caption, height)
    grid = panels(plot.figure, len(records), 3, x="verdict", y="tests")
    for axes, record in zip(grid, records, strict=True):
        cells = record["confusion"]
        said = ("true_negative", "false_positive"), ("false_negative", "true_positive")
        counts = np.array([[cells[name] for name in row] for row in said])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.pcolormesh(shares, cmap="cividis", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            ink = "#000000" if share > 0.5 else "#ffffff"
            axes.text(
                column + 0.5, row + 0.5, f"{counts[row, column]:,}\n{share:.0%}", ha="center", va="center", color=ink
            )
        axes.set(xticks=[0.5, 1.5], xticklabels=["wrong", "correct"], yticks=[0.5, 1.5], yticklabels=["fail", "pass"])
        axes.set(aspect="equal", xlim=(0, 2), ylim=(2, 0))
        axes.set_title(f"{wrap(record['judge'], 22)}\nn = {record['candidates']:,}")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return plot


def precision(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """The paper's Figure 2: of the verdicts of so much confidence, how many are right; and how many they are."""
    caption = (
        "Confidence is P(correct) of a verdict “correct” and 1 − P(correct) of a verdict “wrong”. Where few "
        "verdicts are left (lower panels), the share above them says little."
    )
    n, height = counted(records, "tasks", "candidates"), 5.4 + 0.19 * len(records)
    plot = begin("precision", "Precision by confidence", scope(test_set, generator), n, caption, height)
    grid = plot.figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
    passing = sum(one["correct"] for one in records) / max(sum(one["candidates"] for one in records), 1)
    for column, verdict, base in ((0, "correct", passing), (1, "wrong", 1 - passing)):
        upper, lower = grid[:, column]
        upper.axhline(base, color=GREY, linestyle=":", label="share among all candidates")
        for number, record in enumerate(records):
            found, thresholds = record["confidence"][verdict], record["confidence"]["thresholds"]
            right = [np.nan if share is None else share for share in found["precision"]]
            label = f"{record['judge']} (n = {record['candidates']:,})"
            upper.plot(thresholds, right, label=label, clip_on=False, **mark(number))
            lower.plot(thresholds, found["selected"], clip_on=False, **mark(number))
        upper.set(title=f"verdict “{verdict}”", ylim=(0, 1))
        lower.set_xlabel("confidence at least")
    grid[0, 0].set_ylabel("share that is right")
    grid[1, 0].set(ylabel="verdicts", ylim=(0, None))
    legend(plot.figure)
    return plot


def calibration(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """What was said against what was found: on the diagonal P(correct) means what it says."""
    caption = "Bins of equal width; a circle’s area grows with the candidates in its bin. Dotted: perfectly calibrated."
    n, height = counted(records, "tasks", "candidates"), 0.9 + 2.1 * -(-len(records) // 3)
    plot = begin("calibration", "Calibration", scope(test_set, generator), n, caption, height)
    grid = panels(plot.figure, len(records), 3, x="mean P(correct)", y="share that passes")
    for axes, record in zip(grid, records, strict=True):
        bins = record["reliability"]
        said, found = [one["mean_p_correct"] for one in bins], [one["share_correct"] for one in bins]
        sizes = [6 + 120 * one["candidates"] / record["candidates"] for one in bins]
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":")
        axes.plot(said, found, color=mark(0)["color"], linewidth=1)
        axes.scatter(said, found, s=sizes, color=mark(0)["color"], alpha=0.7, clip_on=False, zorder=3)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
        heading = f"{wrap(record['judge'], 22)}\nECE {record['ece']:.3f}, n = {record['candidates']:,}"
        axes.set_title(heading, fontsize=8.5)
    return plot


def compiled(test_set: str, generator: str, records: Sequence[Record]) -> Plot:
    """AUROC and kappa of all candidates beside those of candidates that compile."""
    subsets = {"all": "all candidates", "compiled": "those that compile"}
    series = {name: where(records, subset=subset) for subset, name in subsets.items()}
    caption = "Part of what a judge knows may be what a compiler knows too; the second mark is what is left without it."
    return _merits("compiled", "Among candidates that compile", scope(test_set, generator), series, caption)


def generators(test_set: str, records: Sequence[Record]) -> Plot:
    """AUROC and kappa by whose candidates were judged."""
    names = [generator for (generator,) in distinct(records, "generator")]
    series = {f"candidates of {scope(generator)}": where(records, generator=generator) for generator in names}
    caption = "The table says whose candidates each judge was trained on."
    return _merits("generators", "By generator", test_set, series, caption)


def _merits(kind: str, title: str, of: str, series: dict[str, list[Record]], caption: str) -> Plot:
    width = 32
    named = {f"{name} ({counted(found, 'candidates')})": found for name, found in series.items()}
    everyone = [record for found in series.values() for record in found]
    labels = [judge for (judge,) in distinct(everyone, "judge")]
    height = 1.6 + 0.2 * len(series) + len(labels) * row_height(labels, len(series), width)
    n = counted(everyone, "tasks", "candidates")
    plot = begin(kind, title, of, n, f"{caption} Bars: 95 % intervals.", height)
    merits = {"auroc": ("AUROC (0.5: chance)", 0.5), "kappa": ("Cohen’s kappa (0: chance)", 0.0)}
    for axes, (merit, (words, chance)) in zip(plot.figure.subplots(1, 2), merits.items(), strict=True):
        by_judge = {name: {one["judge"]: one[merit] for one in found} for name, found in named.items()}
        estimates = {name: [found.get(judge) for judge in labels] for name, found in by_judge.items()}
        forest(axes, labels, estimates, [chance], width)
        axes.set_xlabel(words)
    legend(plot.figure)
    return plot
