"""Fits a team's weights: a logistic regression on its judges' log-odds and the generator's log-probability.

Stacked generalization (Wolpert 1992) by scikit-learn's logistic regression, on standardised columns with its default
L2 penalty. No weight is negative, as Breiman (1996) found best: what would have a weight below 0 is left out and the
rest fitted again, the most negative first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import brier_score_loss

import gavel
from gavel.ranker import Stacking
from gavel.toolkit import datasets, figures, team_file
from gavel.toolkit.cross_validation import Linear, auroc, fit, folds_over_tasks
from gavel.toolkit.datasets import Progress
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.judge_place import AskedJudge, JudgePlace
from gavel.toolkit.labelled import Labelled, labelled, labels_digest, require_both
from gavel.toolkit.team_file import Member

Doubles = NDArray[np.float64]
STRENGTH = 1.0  # scikit-learn's C
METHOD = f"logistic regression, L2 (C = {STRENGTH:g}) on standardised columns, no weight below 0"
TEAM, LOG_PROBABILITY = "team", "mean log-probability"


@dataclass(frozen=True)
class TeamFit:
    """A team as its file says it, and what it was fitted on."""

    team: dict[str, Any]
    left_out: list[str]  # judges without a weight above 0, which are not in the team
    data: Labelled  # of the first judge; what is not of a judge is the same for all
    asked: int  # verdicts that the rows did not have


def fit_team(
    labelled_jsonl: str | os.PathLike[str],
    output: str | os.PathLike[str],
    judges: Sequence[JudgePlace],
    open_model: Callable[[Path], gavel.Model],
    *,
    generator: Path | None = None,
    folds: int = 10,
    seed: int = 0,
    min_each: int = 30,
    progress: Progress | None = None,
) -> TeamFit:
    """Fits the weights on labelled rows and writes the team to ``output``.

    The rows are candidates of the ``generator``, and ones that no judge was trained on; where they have no verdict of a
    judge, ``open_model`` opens it and it is asked. Candidates without a mean log-probability count as average. The
    figures are out of fold, of a cross-validation over problems that repeats all of the fit in each fold. Raises
    ToolkitError for fewer than ``min_each`` candidates of either outcome, for a judge given twice, for a probe's own
    training rows, and where no judge has a weight above 0.
    """
    if generator is not None:
        team_file.named(generator, Path(output))  # which refuses what is no bundle, before anybody is asked
    rows = [row for row in datasets.read_rows(labelled_jsonl) if row.get("candidates")]
    digest = labels_digest(rows)
    _check(judges, digest)
    found = [
        labelled(rows, judge.judge, judge.kind, AskedJudge(judge, open_model), _part(progress, number, len(judges)))
        for number, judge in enumerate(judges)
    ]
    data = found[0]
    require_both(data.passed, min_each, labelled_jsonl)
    columns = {judge.judge: one.logits for judge, one in zip(judges, found, strict=True)}
    mean = 0.0
    if not np.isnan(data.mean_logprob).all():
        mean = float(np.nanmean(data.mean_logprob))
        columns[LOG_PROBABILITY] = np.nan_to_num(data.mean_logprob, nan=mean) - mean
    stacked = stack(np.column_stack([*columns.values()]), data.passed)
    weights = dict(zip(columns, stacked.weights.tolist(), strict=True))
    members = [Member(judge, weights[judge.judge]) for judge in judges if weights[judge.judge] > 0]
    if not members:
        raise ToolkitError(
            f"{', '.join(each.judge for each in judges)}: no more candidates pass where the log-odds are high, so "
            "there is nothing to weigh; train a judge first"
        )
    left_out = [judge.judge for judge in judges if weights[judge.judge] == 0]
    problems = len(np.unique(data.problem))
    said = {
        "method": METHOD,
        "left_out": left_out,
        "tasks": data.tasks,
        "problems": problems,
        "candidates": len(data.passed),
        "correct": int(data.passed.sum()),
        "without_logprob": int(np.isnan(data.mean_logprob).sum()),
        "folds": min(folds, problems),
        "seed": seed,
        "labels_sha256": digest,
        "figures": _figures(data, columns, folds, seed),
    }
    stacking = Stacking(stacked.bias, weights.get(LOG_PROBABILITY, 0.0), mean)
    team = team_file.write(output, generator, members, stacking, said)
    return TeamFit(team, left_out, data, sum(one.asked for one in found))


def _check(judges: Sequence[JudgePlace], labels: str) -> None:
    if not judges:
        raise ToolkitError("a team needs a judge at least; name its bundle with --judge")
    names = [each.judge for each in judges]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ToolkitError(f"judge {twice} is given twice; a team asks each once")
    for judge in judges:
        judge.refuse_own_rows(labels)


def stack(columns: Doubles, passed: NDArray[np.bool_]) -> Linear:
    """logit = bias + weights . columns, of [candidates, columns], with no weight below 0."""
    weights = np.zeros(columns.shape[1])
    kept = list(range(columns.shape[1]))
    while kept:
        linear = fit(columns[:, kept], passed, STRENGTH)
        steepness = linear.weights * columns[:, kept].std(axis=0)
        if steepness.min() > 0:
            weights[kept] = linear.weights
            return Linear(weights, linear.bias)
        del kept[int(steepness.argmin())]
    return Linear(weights, fit(np.zeros((len(passed), 1)), passed, STRENGTH).bias)


def out_of_fold(columns: Doubles, data: Labelled, folds: int, seed: int) -> Doubles:
    """Each candidate's stacked log-odds, by weights that saw nothing of its problem."""
    logits = np.empty(len(columns))
    for training, held_out in folds_over_tasks(data.problem, folds, seed):
        logits[held_out] = stack(columns[training], data.passed[training]).logits(columns[held_out])
    return logits


def _figures(data: Labelled, columns: dict[str, Doubles], folds: int, seed: int) -> dict[str, dict[str, float]]:
    """Of the team, and of every column alone, whose Brier score is that of the same fit of it alone."""
    team = out_of_fold(np.column_stack([*columns.values()]), data, folds, seed)
    passed = _by_task(data, data.passed)
    found = {"random": {"pass_at_1": round(float(np.mean([one.mean() for one in passed])), 4)}}
    for name, scores in columns.items():
        found[name] = _row(data, scores, out_of_fold(scores[:, None], data, folds, seed))
    found[TEAM] = _row(data, team, team)
    found["oracle"] = {"pass_at_1": round(float(np.mean([one.any() for one in passed])), 4)}
    return found


def _row(data: Labelled, scores: Doubles, logits: Doubles) -> dict[str, float]:
    chosen = figures.best_of(*(_by_task(data, each) for each in (scores, data.mean_logprob, data.passed)))
    return {
        "pass_at_1": round(float(chosen.mean()), 4),
        "auroc": round(auroc(scores, data.passed), 4),
        "brier": round(float(brier_score_loss(data.passed, expit(logits))), 4),
    }


def _by_task(data: Labelled, values: NDArray[Any]) -> list[NDArray[Any]]:
    return [values[data.task == task] for task in np.unique(data.task)]


def _part(progress: Progress | None, number: int, parts: int) -> Progress | None:
    """Of progress through the rows, that of one judge among several."""
    return progress and (lambda done, total: progress(number * total + done, parts * total))
