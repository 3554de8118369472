"""Figures of merit of a way to choose among candidates, with intervals by a paired bootstrap over tasks.

A score that is not a number (an empty candidate, a judge that did not speak) is worse than every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


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

    def auroc(self, scores: Doubles, passed: Bools, task: NDArray[np.int64]) -> Estimate | None:
        """Over all candidates that have a score; None where they all have the same outcome."""
        known = ~np.isnan(scores)
        scores, passed, task = scores[known], passed[known], task[known]
        if passed.all() or not passed.any():
            return None
        value = weighted_auroc(scores, passed, np.ones((1, len(scores))))[0]
        return _estimate(float(value), weighted_auroc(scores, passed, self.weights[:, task]))


def _estimate(value: float, draws: Doubles) -> Estimate:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def weighted_auroc(scores: Doubles, passed: Bools, weights: Doubles) -> Doubles:
    """One AUROC for each line of weights [draws, candidates]; NaN where a draw holds one outcome alone."""
    order = np.argsort(scores, kind="stable")
    starts = np.unique(scores[order], return_index=True)[1]
    right = np.add.reduceat((weights * passed)[:, order], starts, axis=1)
    wrong = np.add.reduceat((weights * ~passed)[:, order], starts, axis=1)
    below = np.cumsum(wrong, axis=1) - wrong
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (right * (below + wrong / 2)).sum(axis=1) / np.where(pairs > 0, pairs, np.nan)


def best_of(scores: Sequence[Doubles], log_likelihoods: Sequence[Doubles], passed: Sequence[Bools]) -> Doubles:
    """For each task 1 where the candidate with the best score passes, else 0."""
    return np.array([float(p[pick(s, ll)]) for s, ll, p in zip(scores, log_likelihoods, passed, strict=True)])
