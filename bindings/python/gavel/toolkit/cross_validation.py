"""Logistic regression on tapped states, with layer and regularisation chosen by cross-validation over tasks.

Candidates of one task never stand on both sides of a split. The figures come from an outer cross-validation that
repeats the choice inside each of its folds (nested), so they are not flattered by it. The layer is chosen at a middle
C and C at that layer: the two hardly interact, and a whole grid costs five times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.taps import Taps

Doubles = NDArray[np.float64]
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # scikit-learn's C: the smaller, the more regular
INNER_FOLDS = 5
Splits = list[tuple[NDArray[np.int64], NDArray[np.int64]]]  # (training, held-out) candidates


@dataclass(frozen=True)
class Choice:
    """The layer (by its number in the model) and C, with the AUROC that made them win."""

    layer: int
    strength: float
    auroc: float


@dataclass(frozen=True)
class Linear:
    """logit = bias + weights . state, the standardisation folded in."""

    weights: Doubles
    bias: float

    def logits(self, states: NDArray[np.float32] | Doubles) -> Doubles:
        return np.asarray(states, np.float64) @ self.weights + self.bias


@dataclass(frozen=True)
class OutOfFold:
    """Each candidate's logit from a model that saw nothing of its task."""

    logits: Doubles
    choices: list[Choice]  # one per outer fold


def fit(states: NDArray[np.float32], passed: NDArray[np.bool_], strength: float) -> Linear:
    """Standardises, fits, and folds the standardisation into the weights."""
    with threadpool_limits(1):
        return _path(np.asarray(states, np.float64), passed, [strength])[0]


def _path(states: Doubles, passed: NDArray[np.bool_], strengths: Sequence[float]) -> list[Linear]:
    if passed.all() or not passed.any():  # nothing to learn from: the smoothed base rate is all there is to say
        odds = (passed.sum() + 1) / ((~passed).sum() + 1)
        return [Linear(np.zeros(states.shape[1]), float(np.log(odds)))] * len(strengths)
    scaler = StandardScaler().fit(states)
    standard = scaler.transform(states)
    model = LogisticRegression(solver="lbfgs", max_iter=2000, tol=1e-5, warm_start=True)
    fitted = []
    for strength in strengths:
        model.set_params(C=strength).fit(standard, passed)
        weights = model.coef_[0] / scaler.scale_
        fitted.append(Linear(weights, float(model.intercept_[0] - weights @ scaler.mean_)))
    return fitted


def folds_over_tasks(task: NDArray[np.int64], folds: int, seed: int) -> Splits:
    """Every task is held out once, and whole."""
    tasks = len(np.unique(task))
    if tasks < 2:
        raise ToolkitError(
            f"{tasks} task: cross-validation over tasks needs two at least, and is worth little below 25"
        )
    splitter = GroupKFold(min(folds, tasks), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(task)), groups=task))


def choose(taps: Taps, strengths: Sequence[float], folds: int, seed: int) -> tuple[Choice, Doubles]:
    """The layer, then the C, of the best out-of-fold AUROC; and the out-of-fold logits of that choice."""
    splits = folds_over_tasks(taps.task, folds, seed)
    middle = sorted(strengths)[len(strengths) // 2]
    with threadpool_limits(1):  # matrices this small lose up to 50 times by threads where the machine is shared
        layer = _best(taps, splits, taps.layers, [middle])[0].layer
        return _best(taps, splits, [layer], sorted(strengths))


def _best(taps: Taps, splits: Splits, layers: Sequence[int], strengths: Sequence[float]) -> tuple[Choice, Doubles]:
    found = []
    for layer in layers:
        states = np.asarray(taps.states[:, taps.layers.index(layer)], np.float64)
        logits = np.empty((len(strengths), len(states)))
        for training, held_out in splits:
            for row, linear in enumerate(_path(states[training], taps.passed[training], strengths)):
                logits[row, held_out] = linear.logits(states[held_out])
        found += [
            (Choice(layer, strength, auroc(one, taps.passed)), one)
            for strength, one in zip(strengths, logits, strict=True)
        ]
    return max(found, key=lambda one: one[0].auroc)


def cross_validate(
    taps: Taps, strengths: Sequence[float], folds: int, seed: int, folded: Callable[[], None] | None = None
) -> OutOfFold:
    """Nested: each outer fold is judged by a probe whose layer and C were chosen on the other folds alone."""
    logits = np.empty(len(taps.passed))
    choices = []
    for training, held_out in folds_over_tasks(taps.task, folds, seed):
        inside = Taps(
            taps.layers, taps.states[training], taps.passed[training], taps.task[training], taps.position[training]
        )
        choice, _ = choose(inside, strengths, INNER_FOLDS, seed)
        number = taps.layers.index(choice.layer)
        linear = fit(inside.states[:, number], inside.passed, choice.strength)
        logits[held_out] = linear.logits(taps.states[held_out, number])
        choices.append(choice)
        if folded:
            folded()
    return OutOfFold(logits, choices)


def auroc(scores: Doubles, passed: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; 0.5 where all candidates have the same outcome."""
    if passed.all() or not passed.any():
        return 0.5
    return float(roc_auc_score(passed, scores))
