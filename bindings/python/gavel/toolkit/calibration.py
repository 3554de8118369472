"""Calibration of log-odds, and what the probabilities are worth: Brier score, calibration error, precision.

Temperature scaling is that of Guo et al. (ICML 2017), Platt scaling of Platt (1999), isotonic regression of Zadrozny
and Elkan (KDD 2002), each fitted by scikit-learn. All keep the order of candidates; isotonic makes some equals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from gavel.toolkit.cross_validation import folds_over_tasks
from gavel.toolkit.errors import ToolkitError

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Method = Literal["temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)
BINS = 15  # of equal width, as Guo et al. have them
DIGITS = 9  # thresholds are rounded down to so many, so that the last bits of an exponential select nobody else


@dataclass(frozen=True)
class Calibration:
    """sigmoid(scale * logit + shift), or where there are corners, linear between those and flat beyond."""

    scale: float = 1.0
    shift: float = 0.0
    corners: tuple[tuple[float, float], ...] = ()  # (logit, P(correct)) by rising logit

    def probabilities(self, logits: Doubles) -> Doubles:
        if self.corners:
            return np.interp(logits, *np.array(self.corners).T)
        return np.asarray(expit(self.scale * logits + self.shift))

    def manifest(self) -> dict[str, Any]:
        """As a bundle says it."""
        if self.corners:
            logits, p_correct = zip(*self.corners, strict=True)
            return {"logits": list(logits), "p_correct": list(p_correct)}
        return {"scale": self.scale, "shift": self.shift}


def fit(method: Method, logits: Doubles, passed: Bools) -> Calibration:
    """The calibration of most likelihood (isotonic: of least Brier score). Both outcomes are needed."""
    if passed.all() or not passed.any():
        outcome = "pass" if passed.all() else "fail"
        raise ToolkitError(f"all {len(passed)} candidates {outcome}, and a calibration needs both outcomes: label more")
    if method == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(logits, passed)
        return Calibration(corners=tuple(zip(steps.X_thresholds_.tolist(), steps.y_thresholds_.tolist(), strict=True)))
    model = LogisticRegression(C=np.inf, fit_intercept=method == "platt", max_iter=2000).fit(logits[:, None], passed)
    return Calibration(float(model.coef_[0, 0]), float(model.intercept_[0]) if method == "platt" else 0.0)


def platt(logits: Doubles, passed: Bools) -> Calibration:
    """Platt's, or none where the logits hold no signal, since it would then turn their order round."""
    if passed.all() or not passed.any():
        return Calibration()
    fitted = fit("platt", logits, passed)
    return fitted if fitted.scale > 0 else Calibration()


def out_of_fold(
    method: Method, logits: Doubles, passed: Bools, group: NDArray[np.int64], folds: int, seed: int
) -> Doubles:
    """Each candidate's P(correct) by a calibration that saw nothing of its group."""
    probabilities = np.empty(len(logits))
    for training, held_out in folds_over_tasks(group, folds, seed):
        probabilities[held_out] = fit(method, logits[training], passed[training]).probabilities(logits[held_out])
    return probabilities


def bins(probabilities: Doubles, passed: Bools) -> list[tuple[int, float, float]]:
    """(candidates, mean P(correct), share that is correct) of each bin that holds any."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [
        (int(one.sum()), float(probabilities[one].mean()), float(passed[one].mean()))
        for one in (place == number for number in range(BINS))
        if one.any()
    ]


def figures(probabilities: Doubles, passed: Bools) -> dict[str, float]:
    """The Brier score, and the expected calibration error over `bins`: lower is better, 0 is best."""
    error = sum(n * abs(said - found) for n, said, found in bins(probabilities, passed)) / len(passed)
    return {"brier": round(float(brier_score_loss(passed, probabilities)), 6), "ece": round(error, 6)}


def curve(probabilities: Doubles, passed: Bools) -> dict[str, Sequence[float]]:
    """At every threshold that parts candidates: how many are at or above it, and how many of these are correct."""
    nearest = probabilities.round(DIGITS)
    down = np.where(nearest > probabilities, (nearest - 10.0**-DIGITS).round(DIGITS), nearest)
    thresholds, place = np.unique(down, return_inverse=True)
    here = np.bincount(place, minlength=len(thresholds))
    correct = np.bincount(place[passed], minlength=len(thresholds))
    return {
        "thresholds": thresholds.tolist(),
        "selected": here[::-1].cumsum()[::-1].tolist(),
        "correct": correct[::-1].cumsum()[::-1].tolist(),
    }


def most_agreeing(validation: Mapping[str, Any]) -> float:
    """The threshold whose verdicts agree best with the outcomes of a `validation`, by Cohen's kappa; the lowest of
    several."""
    total, correct = validation["candidates"], validation["correct"]
    selected, right = (np.array(validation["curve"][name], np.float64) for name in ("selected", "correct"))
    agreed = (right + total - selected - (correct - right)) / total
    chance = (selected * correct + (total - selected) * (total - correct)) / total**2
    kappa = (agreed - chance) / (1 - chance)
    return float(validation["curve"]["thresholds"][int(kappa.argmax())])


def validation(
    method: Method, logits: Doubles, honest: Doubles, final: Doubles, passed: Bools, data: dict[str, Any]
) -> dict[str, Any]:
    """What a bundle keeps of a judge's validation. ``honest`` are probabilities of candidates by a calibration that has
    not seen them, ``final`` those that the bundle will give; ``data`` says what the candidates are."""
    return {
        "method": method,
        **data,
        "candidates": len(passed),
        "correct": int(passed.sum()),
        "uncalibrated": figures(expit(logits), passed),
        "calibrated": figures(honest, passed),
        "curve": curve(final, passed),
    }
