"""A training's history as a picture and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gavel.toolkit.datasets import write_atomically
from gavel.toolkit.pictures import png


def write(history: list[dict[str, Any]], best_step: int, folder: Path) -> None:
    """``curves.json`` and ``curves.png``: the loss of the steps, and the figures of the evaluations."""
    write_atomically(folder / "curves.json", (json.dumps(history, indent=1) + "\n").encode())
    write_atomically(folder / "curves.png", picture(history, best_step))


def picture(history: list[dict[str, Any]], best_step: int) -> bytes:
    from matplotlib.figure import Figure

    steps = [each for each in history if "loss" in each]
    evaluations = [each for each in history if each.get("auroc") is not None]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([each["step"] for each in steps], [each["loss"] for each in steps], color="0.8", label="of a step")
    left.plot([each["step"] for each in steps], smoothed([each["loss"] for each in steps]), label="smoothed")
    left.set(xlabel="step", ylabel="training loss", yscale="log")  # a word is learnt first, from far above the rest
    left.legend()
    at = [each["step"] for each in evaluations]
    right.plot(at, [each["auroc"] for each in evaluations], marker="o", label="AUROC")
    if all(each.get("auroc_within_tasks") is not None for each in evaluations):
        right.plot(at, [each["auroc_within_tasks"] for each in evaluations], marker="^", label="AUROC within tasks")
    right.plot(at, [each["top_1"] for each in evaluations], marker="s", label="pass@1 of the best-judged")
    if evaluations:
        said = evaluations[0]
        right.axhline(said["random"], color="0.6", linestyle=":", label="pass@1 at random")
        right.axhline(said["oracle"], color="0.6", linestyle="--", label="pass@1 of the best")
        right.axvline(best_step, color="0.85", zorder=0)
        right.set_title(f"validation: {said['candidates']} candidates of {said['tasks']} tasks", fontsize=10)
    right.set(xlabel="step", ylim=(0, 1))
    right.legend(fontsize=8)
    return png(figure)


def smoothed(values: list[float], share: float = 0.1) -> list[float]:
    """The mean over the steps around each, a tenth of the whole; fewer at both ends."""
    half = int(share * len(values) / 2)
    around = [values[max(0, at - half) : at + half + 1] for at in range(len(values))]
    return [sum(each) / len(each) for each in around]
