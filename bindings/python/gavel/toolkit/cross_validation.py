"""Logistic regression on tapped states; layers, poolings and regularisation chosen by cross-validation over problems.

Candidates of one problem, in whatever language, never stand on both sides of a split. The figures come from an outer
cross-validation that repeats the choice inside each of its folds (nested), so they are not flattered by it. What is
chosen is chosen one after another, since a whole grid costs fifty times as much: the layer by its mean at a middle C;
the pooling at that layer; whether other layers join it; then C.
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

from gavel.toolkit import figures
from gavel.toolkit.errors import ToolkitError
from gavel.toolkit.taps import Indices, Taps

Doubles = NDArray[np.float64]
STRENGTHS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # scikit-learn's C: the smaller, the more regular
POOLINGS = (("mean",), ("tail",), ("last",), ("mean", "last"), ("mean", "tail"))  # to choose from
INNER_FOLDS = 3
MOST = 300  # problems to choose by
Splits = list[tuple[Indices, Indices]]  # (training, held-out) candidates


@dataclass(frozen=True)
class Choice:
    """Layers (by their numbers in the model), poolings of each and C, with the AUROC that made them win."""

    layers: tuple[int, ...]
    poolings: tuple[str, ...]
    strength: float
    auroc: float

    def terms(self) -> list[tuple[int, str]]:
        """Layer and pooling of each part of the features, in their order."""
        return [(layer, pooling) for layer in self.layers for pooling in self.poolings]


@dataclass(frozen=True)
class Linear:
    """logit = bias + weights . features, the standardisation folded in."""

    weights: Doubles
    bias: float

    def logits(self, features: NDArray[np.float32] | Doubles) -> Doubles:
        return np.asarray(features, np.float64) @ self.weights + self.bias


@dataclass(frozen=True)
class OutOfFold:
    """Each candidate's logit from a model that saw nothing of its problem."""

    logits: Doubles
    choices: list[Choice]  # one per outer fold


def fit(features: NDArray[np.float32] | Doubles, passed: NDArray[np.bool_], strength: float) -> Linear:
    """Standardises, fits, and folds the standardisation into the weights."""
    with threadpool_limits(1):  # matrices this small lose up to 50 times by threads where the machine is shared
        return _path(np.asarray(features, np.float64), passed, [strength])[0]


def _path(features: Doubles, passed: NDArray[np.bool_], strengths: Sequence[float]) -> list[Linear]:
    if passed.all() or not passed.any():  # nothing to learn from: the smoothed base rate is all there is to say
        odds = (passed.sum() + 1) / ((~passed).sum() + 1)
        return [Linear(np.zeros(features.shape[1]), float(np.log(odds)))] * len(strengths)
    scaler = StandardScaler().fit(features)
    standard = scaler.transform(features)
    model = LogisticRegression(solver="lbfgs", max_iter=2000, tol=1e-5, warm_start=True)
    fitted = []
    for strength in strengths:
        model.set_params(C=strength).fit(standard, passed)
        weights = model.coef_[0] / scaler.scale_
        fitted.append(Linear(weights, float(model.intercept_[0] - weights @ scaler.mean_)))
    return fitted


def folds_over_tasks(task: Indices, folds: int, seed: int) -> Splits:
    """Every task (or problem, by what the candidates are numbered) is held out once, and whole."""
    tasks = len(np.unique(task))
    if tasks < 2:
        raise ToolkitError(
            f"{tasks} task: cross-validation over tasks needs two at least, and is worth little below 25"
        )
    splitter = GroupKFold(min(folds, tasks), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(task)), groups=task))


def choose(taps: Taps, strengths: Sequence[float], folds: int, seed: int, among: Indices | None = None) -> Choice:
    """What has the best out-of-fold AUROC among those candidates (all where None), or those of `MOST` problems where
    there are more: enough to choose by, where fitting on all of them would take hours."""
    among = _few(taps, np.arange(len(taps.passed)) if among is None else among, seed)
    splits = folds_over_tasks(taps.problem[among], folds, seed)
    middle = [sorted(strengths)[len(strengths) // 2]]

    def scored(layers: tuple[int, ...], poolings: tuple[str, ...]) -> Choice:
        return _best(taps, among, splits, layers, poolings, middle)

    with threadpool_limits(1):
        singles = [scored((layer,), ("mean",)) for layer in taps.layers]
        best = max(singles, key=_auroc)
        best = max([best, *(scored(best.layers, poolings) for poolings in POOLINGS[1:])], key=_auroc)
        sets = _spread(singles, (max(taps.layers) - min(taps.layers)) / 5)
        best = max([best, *(scored(layers, best.poolings) for layers in sets)], key=_auroc)
        return _best(taps, among, splits, best.layers, best.poolings, sorted(strengths))


def _few(taps: Taps, among: Indices, seed: int) -> Indices:
    problems = np.unique(taps.problem[among])
    if len(problems) <= MOST:
        return among
    drawn = np.random.default_rng(seed).choice(problems, MOST, replace=False)
    return among[np.isin(taps.problem[among], drawn)]


def _auroc(choice: Choice) -> float:
    return choice.auroc


def _spread(singles: list[Choice], apart: float) -> list[tuple[int, ...]]:
    """The best two and the best three layers that stand so far apart."""
    taken: list[int] = []
    for choice in sorted(singles, key=lambda one: -one.auroc):
        layer = choice.layers[0]
        if all(abs(layer - other) >= apart for other in taken):
            taken.append(layer)
    return [tuple(sorted(taken[:count])) for count in (2, 3) if len(taken) >= count]


def _best(
    taps: Taps,
    among: Indices,
    splits: Splits,
    layers: tuple[int, ...],
    poolings: tuple[str, ...],
    strengths: Sequence[float],
) -> Choice:
    features, passed = taps.features(layers, poolings, among), taps.passed[among]
    logits = np.empty((len(strengths), len(among)))
    for training, held_out in splits:
        for row, linear in enumerate(_path(features[training], passed[training], strengths)):
            logits[row, held_out] = linear.logits(features[held_out])
    found = [
        Choice(layers, poolings, strength, auroc(one, passed)) for strength, one in zip(strengths, logits, strict=True)
    ]
    return max(found, key=_auroc)


def out_of_fold(taps: Taps, choice: Choice, folds: int, seed: int) -> Doubles:
    """Each candidate's logit by that choice from the other problems; its choice may have seen them all."""
    features, logits = taps.features(choice.layers, choice.poolings, slice(None)), np.empty(len(taps.passed))
    for training, held_out in folds_over_tasks(taps.problem, folds, seed):
        linear = fit(features[training], taps.passed[training], choice.strength)
        logits[held_out] = linear.logits(features[held_out])
    return logits


def cross_validate(
    taps: Taps, strengths: Sequence[float], folds: int, seed: int, folded: Callable[[], None] | None = None
) -> OutOfFold:
    """Nested: each outer fold is judged by a probe that was chosen on the other folds alone."""
    logits = np.empty(len(taps.passed))
    choices = []
    for training, held_out in folds_over_tasks(taps.problem, folds, seed):
        choice = choose(taps, strengths, INNER_FOLDS, seed, training)
        linear = fit(taps.features(choice.layers, choice.poolings, training), taps.passed[training], choice.strength)
        logits[held_out] = linear.logits(taps.features(choice.layers, choice.poolings, held_out))
        choices.append(choice)
        if folded:
            folded()
    return OutOfFold(logits, choices)


def of_beginnings(
    taps: Taps, pooling: str, long_enough: NDArray[np.bool_], choices: Sequence[Choice], folds: int, seed: int
) -> Doubles:
    """Out-of-fold logits from candidates' beginnings, with the layers and C that each outer fold chose; NaN of those
    that are not long enough, which are not learnt from either."""
    logits = np.full(len(taps.passed), np.nan)
    splits = folds_over_tasks(taps.problem, folds, seed)
    for (training, held_out), choice in zip(splits, choices, strict=True):
        training, held_out = training[long_enough[training]], held_out[long_enough[held_out]]
        if len(training) and len(held_out):
            linear = fit(taps.features(choice.layers, [pooling], training), taps.passed[training], choice.strength)
            logits[held_out] = linear.logits(taps.features(choice.layers, [pooling], held_out))
    return logits


def auroc(scores: Doubles, passed: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; 0.5 where all candidates have the same outcome."""
    if passed.all() or not passed.any():
        return 0.5
    return float(roc_auc_score(passed, scores))


def auroc_within(scores: Doubles, passed: NDArray[np.bool_], task: Indices) -> float:
    """The mean AUROC inside tasks that have both outcomes, which is what ranking lives on: over all candidates, telling
    easy tasks from hard ones counts as well. 0.5 where no task has both."""
    each = figures.task_aurocs(scores, passed, task, int(task.max()) + 1)
    return 0.5 if np.isnan(each).all() else float(np.nanmean(each))
