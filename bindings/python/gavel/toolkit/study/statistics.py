"""Paired tests of what is chosen for each task: McNemar's exact test, the matched odds ratio, Benjamini-Hochberg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True)
class Paired:
    """Two ways on the same tasks: how many both solve, the first alone, the second alone, neither."""

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def p(self) -> float:
        """McNemar's test (1947), exact: two-sided binomial on the tasks where they differ; 1 where they never do."""
        table = [[self.both, self.first_only], [self.second_only, self.neither]]
        return float(mcnemar(table, exact=True).pvalue)

    @property
    def odds_ratio(self) -> dict[str, float | None]:
        """Of the matched pairs, first_only / second_only, with the exact (Clopper-Pearson) 95 % interval of
        first_only's share turned to odds. None where infinite, and everywhere if they never differ."""
        differ = self.first_only + self.second_only
        if not differ:
            return {"value": None, "low": None, "high": None}
        low, high = proportion_confint(self.first_only, differ, method="beta")
        return {"value": _odds(self.first_only / differ), "low": _odds(float(low)), "high": _odds(float(high))}


def paired(first: Mapping[str, bool], second: Mapping[str, bool]) -> tuple[Paired, list[int]]:
    """Over the tasks that both have, and for each of these the difference: 1, 0 or -1."""
    outcomes = [(bool(first[task]), bool(second[task])) for task in first if task in second]
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    return Paired(*(outcomes.count(kind) for kind in kinds)), [one - other for one, other in outcomes]


def adjusted(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's (1995), which bound the share of false discoveries among those that are kept."""
    return multipletests(p, method="fdr_bh")[1].tolist() if len(p) else []


def _odds(share: float) -> float | None:
    return share / (1 - share) if share < 1 - np.finfo(float).eps else None
