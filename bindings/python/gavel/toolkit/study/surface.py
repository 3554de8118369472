"""A rival that reads no meaning: a logistic regression on what a candidate looks like."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.figures import Doubles
from gavel.toolkit.labelled import code_of

COUNTED = tuple(
    re.compile(pattern)
    for pattern in (
        r"\w+",
        r"\b\d+\b",
        r"[{}]",
        r"[()]",
        r"[\[\]]",
        r";",
        r"[-+*/%]",
        r"[<>=!]=?",
        r"\breturn\b",
        r"\b(?:if|elif|else|switch|case)\b",
        r"\b(?:for|while)\b",
        r"//|#|/\*",
        r"[\"']",
    )
)


def features(code: str) -> list[float]:
    """Its length in characters, lines and longest line, how often it has each of ``COUNTED`` (all as log(1 + n)), and
    by how many its brackets do not match."""
    lines = code.splitlines() or [""]
    counts = [len(code), len(lines), max(map(len, lines)), *(len(each.findall(code)) for each in COUNTED)]
    unmatched = [abs(code.count(opening) - code.count(closing)) for opening, closing in ("{}", "()", "[]")]
    return [*map(math.log1p, counts), *map(float, unmatched)]


def fit(rows: Sequence[Row]) -> Pipeline | None:
    """From labelled candidates; None where they all have the same outcome, or there are none."""
    pairs = [
        (features(code_of(row, at)), outcome)
        for row in rows
        for at, outcome in enumerate(datasets.outcomes(row))
        if outcome is not None
    ]
    passed = [outcome for _, outcome in pairs]
    if len(set(passed)) < 2:
        return None
    with threadpool_limits(1):
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit([x for x, _ in pairs], passed)


def scores(model: Pipeline, code: Sequence[str]) -> Doubles:
    """Log-odds [candidates]."""
    return np.asarray(model.decision_function([features(each) for each in code]), np.float64)
