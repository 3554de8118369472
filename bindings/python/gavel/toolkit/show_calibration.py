"""A calibration for people: a table of methods, one of thresholds, and a reliability diagram."""

from __future__ import annotations

import os
from bisect import bisect_left

from rich.table import Table
from scipy.special import expit

from gavel.toolkit import calibration
from gavel.toolkit.calibrate import CalibrationFit
from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.pictures import png

THRESHOLDS = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def facts(fit: CalibrationFit) -> dict[str, str]:
    said, data = fit.validation, fit.data
    numbers = {name: value for name, value in fit.calibration.items() if isinstance(value, float)}
    form = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    return {
        "judge": fit.judge,
        "calibration": f"{said['method']}: {form or str(len(fit.calibration['logits'])) + ' corners'}",
        "rows": f"{said['tasks']} tasks of {said['problems']} problems",
        "candidates": f"{said['candidates']}, {said['correct']} correct; {data.left_out} empty or not run, left out",
        "judged": f"{data.asked} now, {said['candidates'] - data.asked} before",
        "figures": f"cross-validated, {said['folds']} folds over problems; thresholds: of all the rows",
    }


def tables(fit: CalibrationFit) -> list[Table]:
    return [_methods(fit), _thresholds(fit)]


def _methods(fit: CalibrationFit) -> Table:
    said = fit.validation
    table = Table()
    table.add_column("calibration")
    table.add_column("Brier", justify="right")
    table.add_column("ECE", justify="right")
    for name, figures in ({"none": said["uncalibrated"]} | fit.methods).items():
        taken = name == said["method"]
        cells = f"{figures['brier']:.4f}", f"{figures['ece']:.4f}"
        table.add_row(f"{name} (stored)" if taken else name, *cells, style="bold" if taken else None)
    return table


def _thresholds(fit: CalibrationFit) -> Table:
    counts = fit.validation["curve"]
    table = Table()
    for heading in ("P(correct) at least", "candidates", "coverage", "precision"):
        table.add_column(heading, justify="right")
    for threshold in THRESHOLDS:
        at = bisect_left(counts["thresholds"], threshold)
        if at < len(counts["thresholds"]):
            selected, correct = counts["selected"][at], counts["correct"][at]
            coverage = f"{selected / fit.validation['candidates']:.3f}"
            table.add_row(f"{threshold:.2f}", str(selected), coverage, f"{correct / selected:.3f}")
    return table


def plot(fit: CalibrationFit, path: str | os.PathLike[str]) -> None:
    """What was said against what was found, before and after (out of fold), and how many were said so; as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="#333333", linestyle=":", label="perfect")
    shown = {"uncalibrated": expit(fit.data.logits), "calibrated": fit.out_of_fold}
    for (name, probabilities), colour in zip(shown.items(), ("#9aa5b1", "#2f6fab"), strict=True):
        figures = fit.validation[name]
        _, said, found = zip(*calibration.bins(probabilities, fit.data.passed), strict=True)
        label = f"{name}: Brier {figures['brier']:.3f}, ECE {figures['ece']:.3f}"
        upper.plot(said, found, marker="o", color=colour, label=label, clip_on=False)
        lower.hist(probabilities, bins=calibration.BINS, range=(0, 1), histtype="step", linewidth=1.5, color=colour)
    title = f"{fit.judge}\n{fit.validation['method']}, {fit.validation['candidates']} candidates"
    upper.set(ylabel="share that is correct", xlim=(0, 1), ylim=(0, 1), title=title)
    upper.legend(loc="upper left")
    lower.set(xlabel="P(correct)", ylabel="candidates")
    write_atomically(path, png(figure))
