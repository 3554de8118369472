"""Probes on the beginnings of candidates: what is known while one is still being written.

How long a candidate will be is not known before it is written, so that the probes that can stop it are fitted by the
number of tokens seen, on those candidates that are longer. Beginnings by share of the whole (a quarter, half, three
quarters) only say how soon a model knows; nothing can run them in time. Everything here is out-of-fold: layers and C
are those each outer fold chose for whole candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gavel.toolkit import calibration, cross_validation
from gavel.toolkit.calibration import Calibration
from gavel.toolkit.cross_validation import Choice, Linear, auroc
from gavel.toolkit.figures import best_of
from gavel.toolkit.taps import FIRST, SHARES, Taps, first, share

Doubles = NDArray[np.float64]
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)  # below which stopping is tried


@dataclass(frozen=True)
class Early:
    """One probe of candidates' first tokens."""

    tokens: int
    linear: Linear
    calibration: Calibration
    probabilities: Doubles  # out-of-fold, NaN of those it is not asked about
    figures: dict[str, float]


def fit(taps: Taps, choice: Choice, choices: Sequence[Choice], folds: int, seed: int) -> list[Early]:
    """One after each of `FIRST` tokens that enough candidates are longer than for figures of both outcomes."""
    made = []
    for tokens in FIRST:
        longer = taps.tokens > tokens
        logits = cross_validation.of_beginnings(taps, first(tokens), longer, choices, folds, seed)
        known = ~np.isnan(logits)
        if taps.passed[known].any() and not taps.passed[known].all():
            made.append(_fit(taps, tokens, longer, logits, choice))
    return made


def _fit(taps: Taps, tokens: int, longer: NDArray[np.bool_], logits: Doubles, choice: Choice) -> Early:
    known = ~np.isnan(logits)
    calibrated = calibration.platt(logits[known], taps.passed[known])
    linear = cross_validation.fit(
        taps.features(choice.layers, [first(tokens)], longer), taps.passed[longer], choice.strength
    )
    probabilities = np.full(len(logits), np.nan)
    probabilities[known] = calibrated.probabilities(logits[known])
    return Early(tokens, linear, calibrated, probabilities, figures(logits[known], taps.passed[known]))


def beginnings(taps: Taps, choices: Sequence[Choice], folds: int, seed: int) -> list[dict[str, float]]:
    """The AUROC from each share of the candidates' tokens."""
    everyone = np.ones(len(taps.passed), bool)
    return [
        {"share": part}
        | figures(cross_validation.of_beginnings(taps, share(part), everyone, choices, folds, seed), taps.passed)
        for part in SHARES
    ]


def figures(logits: Doubles, passed: NDArray[np.bool_]) -> dict[str, float]:
    return {
        "auroc": round(auroc(logits, passed), 4),
        "candidates": len(passed),
        "base_rate": round(float(passed.mean()), 4),
    }


def stopping(
    taps: Taps, early: Sequence[Early], probabilities: Doubles, log_likelihood: Doubles
) -> list[dict[str, float]]:
    """What stopping below each threshold would have cost and saved: the share of candidates stopped, of correct ones
    among the correct, of tokens not written, and pass@1 of the probe's pick among the rest of its task."""
    table = []
    for threshold in THRESHOLDS:
        written = taps.tokens.copy()
        for one in reversed(early):
            below = np.nan_to_num(one.probabilities, nan=1.0) < threshold
            written[below] = one.tokens
        stopped = written < taps.tokens
        scores, passed = np.where(stopped, np.nan, probabilities), taps.passed & ~stopped
        each = [taps.task == task for task in np.unique(taps.task)]
        picked = best_of([scores[at] for at in each], [log_likelihood[at] for at in each], [passed[at] for at in each])
        table.append(
            {
                "below": threshold,
                "stopped": round(float(stopped.mean()), 4),
                "correct_stopped": round(float(stopped[taps.passed].mean()), 4),
                "tokens_saved": round(1 - float(written.sum() / taps.tokens.sum()), 4),
                "pass_at_1_probe": round(float(picked.mean()), 4),
            }
        )
    return table


def manifest(early: Sequence[Early], choice: Choice, terms: Any) -> list[dict[str, Any]]:
    """As probe.json holds them; ``terms`` makes its terms of a linear probe's layers and poolings."""
    return [
        {
            "tokens": one.tokens,
            "terms": terms([(layer, "mean") for layer in choice.layers], one.linear.weights),
            "bias": one.linear.bias,
            "calibration": one.calibration.manifest(),
            "figures": one.figures,
        }
        for one in early
    ]
