"""How well judges tell correct candidates from wrong ones, one by one (the paper's first question).

Agreement is Cohen's kappa (1960) and Matthews' correlation coefficient (1975); their intervals, and all others, come
from a bootstrap over tasks, since a task's candidates resemble each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gavel.toolkit import calibration
from gavel.toolkit.figures import Bools, Doubles, ratio
from gavel.toolkit.study.data import JudgeEntry
from gavel.toolkit.study.pools import Candidates, Ints, parts
from gavel.toolkit.study.resampling import Resampling

CONFIDENCES = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


def judging(candidates: Sequence[Candidates], how: Resampling) -> Iterator[dict[str, Any]]:
    """A record for every judge of the generators of one test set: of each and of all together, of each data set and of
    all, of all candidates and of those that compile."""
    groups = [(one.generator.name, [one]) for one in candidates]
    for name, group in [*groups, *([("all", list(candidates))] if len(candidates) > 1 else [])]:
        judges = [judge for judge in group[0].judges if all(judge in one.judges for one in group)]
        subsets = ["all", "compiled"] if all(one.compile_known for one in group) else ["all"]
        for part, subset, judge in product(parts(group), subsets, judges):
            said = _said(group, judge, part, subset)
            if len(said.passed):
                yield {
                    "test_set": group[0].test_set,
                    "generator": name,
                    "dataset": part,
                    "subset": subset,
                    "judge": judge.label,
                    "role": judge.role,
                    "own_generator": None if name == "all" or not judge.trained_on else judge.trained_on == name,
                    **_figures(said, judge.threshold, how),
                }


@dataclass(frozen=True)
class _Said:
    """One judge's word on some candidates, flat; ``task`` is a number below ``tasks``."""

    p_correct: Doubles
    log_odds: Doubles
    passed: Bools
    task: Ints
    tasks: int
    unjudged: int


def _said(group: Sequence[Candidates], judge: JudgeEntry, part: str, subset: str) -> _Said:
    inside = [one.inside(part) for one in group]
    named = (task for one, here in zip(group, inside, strict=True) for task in np.array(one.tasks)[here])
    number = {task: place for place, task in enumerate(dict.fromkeys(named))}  # whoever wrote its candidates
    unjudged, chosen = 0, []
    for one, here in zip(group, inside, strict=True):
        wanted = (one.there if subset == "all" else one.compiled) & here[:, None]
        judged = wanted & np.isfinite(one.p_correct[judge.id])
        unjudged += int((wanted & ~judged).sum())
        task = np.array([number.get(each, -1) for each in one.tasks])
        values = (one.p_correct[judge.id], one.log_odds[judge.id], one.passed)
        chosen.append([*(value[judged] for value in values), np.repeat(task, judged.sum(axis=1))])
    p_correct, log_odds, passed, task = (np.concatenate(each) for each in zip(*chosen, strict=True))
    return _Said(p_correct, log_odds, passed, task, len(number), unjudged)


def _figures(said: _Said, threshold: float, how: Resampling) -> dict[str, Any]:
    bootstrap = how.bootstrap(said.tasks)
    table = np.zeros((said.tasks, 4))
    decided = said.p_correct >= threshold
    np.add.at(table, (said.task, 2 * said.passed + decided), 1)
    error = np.zeros((said.tasks, 2))
    np.add.at(error, said.task, np.column_stack([(said.p_correct - said.passed) ** 2, np.ones(len(said.passed))]))
    true_negative, false_positive, false_negative, true_positive = (int(count) for count in table.sum(axis=0))
    return {
        "tasks": len(np.unique(said.task)),
        "candidates": len(said.passed),
        "unjudged": said.unjudged,
        "correct": int(said.passed.sum()),
        "threshold": threshold,
        "confusion": {
            "true_negative": true_negative,
            "false_positive": false_positive,
            "false_negative": false_negative,
            "true_positive": true_positive,
        },
        "accuracy": bootstrap.of_sums(table, accuracy),
        "precision": _share(true_positive, true_positive + false_positive),
        "recall": _share(true_positive, true_positive + false_negative),
        "kappa": bootstrap.of_sums(table, kappa),
        "mcc": bootstrap.of_sums(table, mcc),
        "auroc": bootstrap.auroc(said.log_odds, said.passed, said.task),
        "auroc_within_tasks": bootstrap.auroc_within_tasks(said.log_odds, said.passed, said.task),
        "brier": bootstrap.of_sums(error, ratio),
        "ece": calibration.figures(said.p_correct, said.passed)["ece"],
        "confidence": _confidence(said),
        "reliability": [
            {"candidates": number, "mean_p_correct": mean, "share_correct": share}
            for number, mean, share in calibration.bins(said.p_correct, said.passed)
        ],
    }


def _confidence(said: _Said) -> dict[str, Any]:
    """The paper's Figure 2: how many of the verdicts that are at least so confident are right, of either class."""
    sides = {"correct": (said.p_correct, said.passed), "wrong": (1 - said.p_correct, ~said.passed)}
    found: dict[str, Any] = {"thresholds": list(CONFIDENCES)}
    for side, (confidence, right) in sides.items():
        at = [confidence >= least for least in CONFIDENCES]
        selected, good = [int(one.sum()) for one in at], [int((one & right).sum()) for one in at]
        precision = [_share(few, many) for few, many in zip(good, selected, strict=True)]
        found[side] = {"selected": selected, "right": good, "precision": precision}
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# scikit-learn's figures, of thousands of resampled tables at once: [..., (TN, FP, FN, TP)] to [...].


def accuracy(table: Doubles) -> Doubles:
    return ratio(np.stack([table[..., 0] + table[..., 3], table.sum(axis=-1)], axis=-1))


def kappa(table: Doubles) -> Doubles:
    """Cohen's; NaN where both sides say one class alone."""
    tn, fp, fn, tp = np.moveaxis(table, -1, 0)
    n = tn + fp + fn + tp
    by_chance = (tn + fp) * (tn + fn) + (fn + tp) * (fp + tp)  # times n squared, as below
    return ratio(np.stack([(tn + tp) * n - by_chance, n**2 - by_chance], axis=-1))


def mcc(table: Doubles) -> Doubles:
    """Matthews' correlation coefficient; 0 where either side says one class alone, as scikit-learn has it."""
    tn, fp, fn, tp = np.moveaxis(table, -1, 0)
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / np.where(scale > 0, scale, 1)
