"""Ways to choose among a task's candidates: rivals that cost nothing, judges, teams, and a probe with a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline

from gavel.toolkit.figures import Bools, Doubles
from gavel.toolkit.study import surface
from gavel.toolkit.study.data import JudgeEntry, Study, Team, distinct
from gavel.toolkit.study.pools import Candidates, Ints

Family = Literal["rival", "judge", "team", "combination"]
# Of one generator's candidates at columns [tasks, repetitions, n]; NaN is worse than any other.
Scores = Callable[[Candidates, Ints], Doubles]
BOUNDS = ALONE, GREEDY, RANDOM, ORACLE = "generator alone", "greedy", "random", "oracle"
LOG_LIKELIHOOD = "log-likelihood"
MAJORITY = "majority of identical programs"
SURFACE = "surface features"
COMPILES = "compiles"
COMPILES_FIRST = ", compiles first"


@dataclass(frozen=True)
class Way:
    """The candidate of the highest score is chosen; with ``compiles_first``, of those that compile where any does."""

    name: str
    family: Family
    scores: Scores
    judges: tuple[JudgeEntry, ...] = ()
    compiles_first: bool = False

    def eligible(self, found: Candidates, drawn: Ints) -> Bools:
        """Those of the drawn candidates of which it chooses one."""
        there = at(found.there, drawn)
        if not self.compiles_first:
            return there
        compiled = at(found.compiled, drawn)
        return np.where(compiled.any(axis=2, keepdims=True), compiled, there)

    def top(self, found: Candidates, drawn: Ints, among: Bools | None = None) -> Bools:
        """Which of the drawn candidates share the highest score, of the eligible ones or of those given; none where
        there are none."""
        among = self.eligible(found, drawn) if among is None else among
        scores = self.scores(found, drawn)
        scores = np.where(among & ~np.isnan(scores), scores, -np.inf)
        return among & (scores == scores.max(axis=2, keepdims=True))


def at(values: Any, drawn: Ints) -> Any:
    """What an array [tasks, width] has at columns [tasks, repetitions, n]."""
    return values[np.arange(len(drawn))[:, None, None], drawn]


def ways(study: Study, found: Candidates, surface_model: Pipeline | None) -> list[Way]:
    """All that these candidates allow, each with its second form that puts what does not compile last. Raises
    ToolkitError where two have one name."""
    every = [*_rivals(found, surface_model), *_judged(study, found)]
    if found.compile_known:
        first = [replace(way, name=way.name + COMPILES_FIRST, compiles_first=True) for way in every]
        every += [Way(COMPILES, "rival", lambda _, drawn: np.zeros(drawn.shape), compiles_first=True), *first]
    distinct("way of choosing, by the labels of judges and teams,", (*BOUNDS, *(way.name for way in every)))
    return every


def pairs(found: Candidates) -> Iterator[tuple[JudgeEntry, JudgeEntry]]:
    """Every probe with every judge that may know more than it: trained ones and remote ones."""
    for probe in found.judges:
        for judge in found.judges:
            if probe.role == "probe" and judge.role not in ("probe", "zero-shot"):
                yield probe, judge


def mean_p_correct(judges: Sequence[JudgeEntry]) -> Scores:
    return lambda found, drawn: np.mean([at(found.p_correct[judge.id], drawn) for judge in judges], axis=0)


def log_odds(judge: JudgeEntry) -> Scores:
    """They order candidates as its P(correct) does, and do not round to 0 or 1."""
    return lambda found, drawn: at(found.log_odds[judge.id], drawn)


def _rivals(found: Candidates, surface_model: Pipeline | None) -> Iterator[Way]:
    if np.isfinite(found.log_likelihood).any():
        yield Way(LOG_LIKELIHOOD, "rival", lambda found, drawn: at(found.log_likelihood, drawn))
    yield Way(MAJORITY, "rival", _majority)
    if surface_model is not None:
        looks = np.full(found.there.shape, np.nan)
        looks[found.there] = surface.scores(surface_model, [code for codes in found.code for code in codes])
        yield Way(SURFACE, "rival", lambda _, drawn: at(looks, drawn))


def _majority(found: Candidates, drawn: Ints) -> Doubles:
    program = at(found.program, drawn)
    return (program[..., :, None] == program[..., None, :]).sum(axis=3).astype(np.float64)


def _judged(study: Study, found: Candidates) -> Iterator[Way]:
    for judge in found.judges:
        yield Way(judge.label, "judge", log_odds(judge), (judge,))
    here = {judge.id: judge for judge in found.judges}
    for team in study.teams:
        if all(judge in here for judge in team.judges):
            members = tuple(here[judge] for judge in team.judges)
            yield Way(team.label, "team", _of_team(team, members), members)
    for probe, judge in pairs(found):
        yield Way(f"{probe.label} + {judge.label}", "combination", mean_p_correct((probe, judge)), (probe, judge))


def _of_team(team: Team, members: tuple[JudgeEntry, ...]) -> Scores:
    if team.weights is None:
        return mean_p_correct(members)
    weights = team.weights

    def stacked(found: Candidates, drawn: Ints) -> Doubles:
        judged = sum(w * found.log_odds[judge.id] for w, judge in zip(weights, members, strict=True))
        return at(judged + team.log_likelihood * _centred(found.log_likelihood), drawn)

    return stacked


def _centred(log_likelihood: Doubles) -> Doubles:
    """A candidate without one counts as average."""
    known = np.isfinite(log_likelihood)
    return np.where(known, log_likelihood - log_likelihood[known].mean(), 0) if known.any() else np.zeros(known.shape)
