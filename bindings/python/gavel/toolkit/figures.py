"""Figures of merit of a way to choose among candidates, with intervals by a paired bootstrap over tasks.

A score that is not a number (an empty candidate, a judge that did not speak) is worse than every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
K = (1, 2, 3, 5, 10, 20, 50, 100)  # the k of pass@k that reports give


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def pick(scores: Doubles, log_likelihood: Doubles) -> int:
    """The ranking's own rule: the highest score, ties by mean log-likelihood, then by order."""
    keys = zip(_lowest_for_nan(scores), _lowest_for_nan(log_likelihood), strict=True)
    return max(enumerate(keys), key=lambda one: (one[1], -one[0]))[0]


def _lowest_for_nan(scores: Doubles) -> list[float]:
    return [float(score) for score in np.where(np.isnan(scores), -np.inf, scores)]


def pass_at_k(passed: Bools, k: int) -> float:
    """The chance that k candidates drawn without replacement hold a correct one (Chen et al. 2021)."""
    wrong = int((~passed).sum())
    return 1.0 - comb(wrong, k) / comb(len(passed), k)


class Bootstrap:
    """The same draws of tasks for every figure, so that differences between figures are paired."""

    def __init__(self, tasks: int, draws: int, seed: int) -> None:
        chosen = np.random.default_rng(seed).integers(tasks, size=(draws, tasks))
        self.weights = np.zeros((draws, tasks))  # how often each draw holds each task
        np.add.at(self.weights, (np.arange(draws)[:, None], chosen), 1.0)

    def mean(self, per_task: Doubles) -> Estimate:
        return _estimate(float(per_task.mean()), self.weights @ per_task / len(per_task))

    def of_sums(self, per_task: Doubles, statistic: Callable[[Doubles], Doubles]) -> Estimate | None:
        """A statistic of sums over tasks, such as a ratio of two: it takes sums [..., m] of ``per_task`` [tasks, m] and
        gives one figure for each. None where it is not defined; draws in which it is not are left out."""
        value = float(statistic(per_task.sum(axis=0)))
        return _estimate(value, statistic(self.weights @ per_task)) if np.isfinite(value) else None

    def auroc(self, scores: Doubles, passed: Bools, task: NDArray[np.int64]) -> Estimate | None:
        """Over all candidates that have a score; None where they all have the same outcome."""
        known = ~np.isnan(scores)
        scores, passed, task = scores[known], passed[known], task[known]
        if passed.all() or not passed.any():
            return None
        once = np.ones((1, self.weights.shape[1]))
        value = weighted_auroc(scores, passed, task, once)[0]
        return _estimate(float(value), weighted_auroc(scores, passed, task, self.weights))

    def auroc_within_tasks(self, scores: Doubles, passed: Bools, task: NDArray[np.int64]) -> Estimate | None:
        """The mean of the tasks' own AUROCs, of those that have candidates of either outcome: what choosing among a
        task's candidates lives on, while the AUROC over all of them also rewards knowing which tasks are easy."""
        each = task_aurocs(scores, passed, task, self.weights.shape[1])
        return self.of_sums(np.column_stack([np.nan_to_num(each), ~np.isnan(each)]), ratio)


def _estimate(value: float, draws: Doubles) -> Estimate:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def ratio(sums: Doubles) -> Doubles:
    """The first of two sums by the second, [..., 2] to [...]; NaN where that is 0."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] != 0)


def task_aurocs(scores: Doubles, passed: Bools, task: NDArray[np.int64], tasks: int) -> Doubles:
    """Of each of ``tasks`` tasks the AUROC among its candidates [tasks]; NaN where they have the same outcome."""
    found = np.full(tasks, np.nan)
    known = ~np.isnan(scores)
    for number in np.unique(task):
        here = known & (task == number)
        right, wrong = scores[here & passed], scores[here & ~passed]
        if len(right) and len(wrong):
            found[number] = above(right, wrong).mean() / len(wrong)
    return found


def above(right: Doubles, wrong: Doubles) -> Doubles:
    """How many of the wrong candidates' scores lie below each right one's, ties by half."""
    ordered = np.sort(wrong)
    return (np.searchsorted(ordered, right, "left") + np.searchsorted(ordered, right, "right")) / 2


def weighted_auroc(scores: Doubles, passed: Bools, task: NDArray[np.int64], weights: Doubles) -> Doubles:
    """One AUROC for each line of weights [draws, tasks], those of a task's candidates; NaN where a draw holds one
    outcome alone. Pairs of candidates are counted once by their two tasks, so that thousands of draws cost little."""
    tasks = weights.shape[1]
    pairs = np.zeros((tasks, tasks))  # [of the correct one, of the wrong one]: those in the right order, ties by half
    for number in np.unique(task[~passed]):
        won = above(scores[passed], scores[~passed & (task == number)])
        pairs[:, number] = np.bincount(task[passed], won, tasks)
    correct, wrong = (weights @ np.bincount(task[which], minlength=tasks) for which in (passed, ~passed))
    return ratio(np.stack([((weights @ pairs) * weights).sum(axis=1), correct * wrong], axis=-1))


def best_of(scores: Sequence[Doubles], log_likelihoods: Sequence[Doubles], passed: Sequence[Bools]) -> Doubles:
    """For each task 1 where the candidate with the best score passes, else 0."""
    return np.array([float(p[pick(s, ll)]) for s, ll, p in zip(scores, log_likelihoods, passed, strict=True)])
