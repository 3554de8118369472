"""How often the chosen candidate passes, by way of choosing and number of candidates (the paper's second question).

Where several candidates share the highest score, pass@1 is the exact expected value of choosing one of them at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gavel.toolkit.figures import Bools, Doubles, ratio
from gavel.toolkit.study.data import JudgeEntry
from gavel.toolkit.study.pools import Candidates, Ints, parts
from gavel.toolkit.study.resampling import Resampling
from gavel.toolkit.study.ways import ALONE, GREEDY, ORACLE, RANDOM, Way, at


@dataclass(frozen=True)
class Choices:
    """What a way of choosing wins: the chance that its choice passes [tasks, repetitions], and for each task by its id
    whether the choice of the first repetition passes, the first of those that share the highest score."""

    way: str
    family: str
    n: int
    passes: Doubles
    top_1: dict[str, bool]
    judges: tuple[JudgeEntry, ...] = ()
    compiles_first: bool = False


@dataclass(frozen=True)
class Ranked:
    """All choices among one generator's candidates, by number of candidates."""

    found: Candidates
    alone: Choices  # one candidate, analytically
    greedy: Choices | None  # NaN for tasks that have no greedy answer
    by_size: dict[int, list[Choices]] = field(default_factory=dict)

    @property
    def largest(self) -> int | None:
        return max(self.by_size, default=None)


def rank(found: Candidates, ways: Sequence[Way], how: Resampling) -> Ranked:
    """Every way's choices at every size that the pools allow; "random" and "oracle" come first."""
    rates = found.passed.sum(axis=1, keepdims=True) / found.pool[:, None]
    alone = Choices(ALONE, "generator", 1, rates, dict(zip(found.tasks, found.passed[:, 0].tolist(), strict=True)))
    ranked = Ranked(found, alone, _greedy(found))
    for size in how.usable(found):
        drawn = how.drawn(found, size)
        ranked.by_size[size] = [*_bounds(found, drawn, size), *(_choose(found, way, drawn, size) for way in ways)]
    return ranked


def _greedy(found: Candidates) -> Choices | None:
    answered = {task: found.greedy[task] for task in found.tasks if task in found.greedy}
    passes = np.array([[float(answered.get(task, np.nan))] for task in found.tasks])
    return Choices(GREEDY, "greedy", 1, passes, answered) if answered else None


def _bounds(found: Candidates, drawn: Ints, size: int) -> list[Choices]:
    passed, there = at(found.passed, drawn), at(found.there, drawn)
    return [
        Choices(RANDOM, "random", size, passed.sum(axis=2) / there.sum(axis=2), {}),
        Choices(ORACLE, "oracle", size, passed.any(axis=2).astype(np.float64), {}),
    ]


def _choose(found: Candidates, way: Way, drawn: Ints, size: int) -> Choices:
    top = way.top(found, drawn)
    passed = at(found.passed, drawn)
    first = passed[np.arange(len(top)), 0, top[:, 0].argmax(axis=1)].tolist()
    top_1 = dict(zip(found.tasks, first, strict=True))
    return Choices(way.name, way.family, size, expected(top, passed), top_1, way.judges, way.compiles_first)


def expected(top: Bools, passed: Bools) -> Doubles:
    """The chance that one of the top candidates [..., n], taken at random, passes [...]."""
    return (top & passed).sum(axis=-1) / top.sum(axis=-1)


def records(ranked: Ranked, how: Resampling) -> Iterator[dict[str, Any]]:
    """For all tasks, and for each data set where there are several."""
    for dataset in parts([ranked.found]):
        inside = ranked.found.inside(dataset)
        for single in (ranked.alone, ranked.greedy):
            if single is not None and np.isfinite(single.passes[inside]).any():
                yield _record(ranked, dataset, inside, single, how)
        for every in ranked.by_size.values():
            for choices in every:
                yield _record(ranked, dataset, inside, choices, how)


def _record(ranked: Ranked, dataset: str, inside: Bools, choices: Choices, how: Resampling) -> dict[str, Any]:
    inside = inside & np.isfinite(choices.passes[:, 0])
    pool = ranked.found.pool[inside]
    repetitions = choices.passes.shape[1]
    return {
        "test_set": ranked.found.test_set,
        "generator": ranked.found.generator.name,
        "dataset": dataset,
        "way": choices.way,
        "family": choices.family,
        "judges": [judge.label for judge in choices.judges],
        "compiles_first": choices.compiles_first,
        "n": choices.n,
        "tasks": int(inside.sum()),
        "repetitions": repetitions,
        "pool": {"min": pool.min(), "max": pool.max()},
        "pass_at_1": how.bootstrap(int(inside.sum())).mean(choices.passes[inside].mean(axis=1)),
        "sd": float(choices.passes[inside].mean(axis=0).std(ddof=1)) if repetitions > 1 else None,
        **_gains(ranked, inside, choices, how),
    }


def _gains(ranked: Ranked, inside: Bools, choices: Choices, how: Resampling) -> dict[str, Any]:
    """Over choosing at random, over one candidate of the generator, and as a share of what there is to win."""
    bootstrap = how.bootstrap(int(inside.sum()))
    here, alone = (each.passes[inside].mean(axis=1) for each in (choices, ranked.alone))
    gains: dict[str, Any] = {"over_random": None, "relative_gain": None, "won": None}
    if choices is not ranked.alone:
        gains["relative_gain"] = bootstrap.of_sums(np.column_stack([here - alone, alone]), ratio)
    if choices.n in ranked.by_size:
        random, oracle = (bound.passes[inside].mean(axis=1) for bound in ranked.by_size[choices.n][:2])
        gains["over_random"] = bootstrap.mean(here - random)
        gains["won"] = bootstrap.of_sums(np.column_stack([here - random, oracle - random]), ratio)
    return gains
