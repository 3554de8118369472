"""The questions a study asks of its ways of choosing, each answered by a paired test on the same tasks.

A task counts as solved by a way where its choice passes: that of the first repetition (the pool's first candidates),
and where several share the highest score the first of them in the pool's order, which says nothing of their worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gavel.toolkit.study.data import TRAINED
from gavel.toolkit.study.ranking import Choices, Ranked
from gavel.toolkit.study.resampling import Resampling
from gavel.toolkit.study.statistics import Paired, adjusted, paired
from gavel.toolkit.study.ways import COMPILES_FIRST, LOG_LIKELIHOOD

QUESTIONS = {
    "trained-zero-shot": "Does a trained judge choose better than the same model asked zero-shot?",
    "generator": "Does choosing among candidates do better than the generator's first candidate?",
    "log-likelihood": "Does a judge or a team choose better than the generator's own log-likelihood?",
    "greedy": "Does choosing among candidates do better than the generator's greedy answer?",
    "larger": "Does a team do better than a larger model's greedy answer?",
}
TEAMS = ("judge", "team", "combination")


@dataclass(frozen=True)
class _Pair:
    question: str
    ranked: Ranked
    n: int
    first: str
    second: str
    table: Paired
    difference: list[int]


def comparisons(
    ranked: Sequence[Ranked], larger: Mapping[str, Mapping[str, bool]], how: Resampling
) -> Iterator[dict[str, Any]]:
    """Of one test set, at each generator's largest number of candidates. ``larger`` are the larger models' outcomes by
    task. Adjusted p-values are over a question's comparisons in this test set."""
    pairs = [pair for one in ranked if one.largest for pair in _pairs(one, one.by_size[one.largest], larger)]
    for question in QUESTIONS:
        asked = [pair for pair in pairs if pair.question == question]
        for pair, p_adjusted in zip(asked, adjusted([pair.table.p for pair in asked]), strict=True):
            yield {
                "question": question,
                "test_set": pair.ranked.found.test_set,
                "generator": pair.ranked.found.generator.name,
                "n": pair.n,
                "first": pair.first,
                "second": pair.second,
                "tasks": len(pair.difference),
                "both": pair.table.both,
                "first_only": pair.table.first_only,
                "second_only": pair.table.second_only,
                "neither": pair.table.neither,
                "odds_ratio": pair.table.odds_ratio,
                "p": pair.table.p,
                "p_adjusted": p_adjusted,
                "difference": how.bootstrap(len(pair.difference)).mean(np.array(pair.difference, np.float64)),
            }


def _pairs(ranked: Ranked, choices: Sequence[Choices], larger: Mapping[str, Mapping[str, bool]]) -> Iterator[_Pair]:
    for first in choices:
        if first.family in ("random", "oracle"):
            continue
        for question, second, outcomes in _opponents(first, ranked, choices, larger):
            table, difference = paired(first.top_1, outcomes)
            if difference:
                yield _Pair(question, ranked, first.n, first.way, second, table, difference)


def _opponents(
    first: Choices, ranked: Ranked, choices: Sequence[Choices], larger: Mapping[str, Mapping[str, bool]]
) -> Iterator[tuple[str, str, Mapping[str, bool]]]:
    """(question, name, outcomes by task)."""
    yield "generator", ranked.alone.way, ranked.alone.top_1
    if ranked.greedy is not None:
        yield "greedy", ranked.greedy.way, ranked.greedy.top_1
    if first.family not in TEAMS:
        return
    for second in choices:
        if second.way == LOG_LIKELIHOOD + COMPILES_FIRST * first.compiles_first:
            yield "log-likelihood", second.way, second.top_1
        if _same_model_untrained(first, second):
            yield "trained-zero-shot", second.way, second.top_1
    for model, outcomes in larger.items():
        yield "larger", model, outcomes


def _same_model_untrained(first: Choices, second: Choices) -> bool:
    if not first.family == second.family == "judge" or first.compiles_first != second.compiles_first:
        return False
    (trained,), (other,) = first.judges, second.judges
    return trained.role in TRAINED and other.role == "zero-shot" and bool(other.base) and trained.base == other.base
