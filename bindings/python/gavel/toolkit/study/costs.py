"""What a team costs for one task beside a larger generator's one answer (the paper's third question)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gavel.toolkit.study.comparisons import TEAMS
from gavel.toolkit.study.data import Cost, GeneratorRows, JudgeEntry, Prices, Spent
from gavel.toolkit.study.ranking import Ranked
from gavel.toolkit.study.resampling import Resampling

Member = GeneratorRows | JudgeEntry


def larger_records(
    test_set: str, larger: Sequence[tuple[GeneratorRows, Mapping[str, bool]]], how: Resampling
) -> Iterator[dict[str, Any]]:
    """What each larger generator's greedy answers are worth."""
    for generator, outcomes in larger:
        yield {
            "test_set": test_set,
            "model": generator.name,
            "parameters": generator.parameters,
            **_worth(outcomes, how),
        }


def costs(
    ranked: Sequence[Ranked],
    test_set: str,
    larger: Sequence[tuple[GeneratorRows, Mapping[str, bool]]],
    prices: Prices,
    how: Resampling,
) -> Iterator[dict[str, Any]]:
    """A record for every generator's greedy answer, for every judge and team at its largest number of candidates, and
    for every larger generator. What one member does not say is None for the whole."""
    for one in ranked:
        every = [one.greedy] if one.greedy is not None else []
        every += one.by_size[one.largest] if one.largest else []
        for choices in every:
            if choices.family == "greedy" or (choices.family in TEAMS and not choices.compiles_first):
                yield {
                    "test_set": test_set,
                    "name": choices.way,
                    "kind": "greedy" if choices.family == "greedy" else "team",
                    "generator": one.found.generator.name,
                    "judges": [judge.label for judge in choices.judges],
                    "candidates": choices.n,
                    **how.worth(choices.passes.mean(axis=1)),
                    **cost([one.found.generator, *choices.judges], choices.n, prices),
                }
    for generator, outcomes in larger:
        yield {
            "test_set": test_set,
            "name": generator.name,
            "kind": "larger",
            "generator": None,
            "judges": [],
            "candidates": 1,
            **_worth(outcomes, how),
            **cost([generator], 1, prices),
        }


def _worth(outcomes: Mapping[str, bool], how: Resampling) -> dict[str, Any]:
    return how.worth(np.array([*outcomes.values()], np.float64))


def cost(members: Sequence[Member], candidates: int, prices: Prices) -> dict[str, float | None]:
    """Parameters (a base that several share counts once), bytes, and for one task seconds, joules and US dollars."""
    models = {_model(member): member.parameters for member in reversed(members)}
    spent = [member.cost for member in members]
    return {
        "parameters": _sum([*models.values()]),
        "memory_bytes": _sum([each.memory_bytes for each in spent]),
        "seconds": _sum([_at(each.seconds, candidates) for each in spent]),
        "joules": _sum([_at(each.joules, candidates) for each in spent]),
        "usd": _sum([_price(_model(member), member.cost, candidates, prices) for member in members]),
    }


def _model(member: Member) -> str:
    return member.name if isinstance(member, GeneratorRows) else member.base or member.label


def _price(model: str, spent: Cost, candidates: int, prices: Prices) -> float | None:
    if model in prices.usd_per_million_tokens:
        read, written = prices.usd_per_million_tokens[model]
        tokens = _at(spent.input_tokens, candidates), _at(spent.output_tokens, candidates)
        return None if None in tokens else (read * tokens[0] + written * tokens[1]) / 1e6
    seconds = _at(spent.seconds, candidates)
    return None if seconds is None or prices.usd_per_hour is None else seconds / 3600 * prices.usd_per_hour


def _at(amount: Spent | None, candidates: int) -> float | None:
    return None if amount is None else amount.at(candidates)


def _sum(amounts: Sequence[float | None]) -> float | None:
    return None if None in amounts else sum(amounts)
