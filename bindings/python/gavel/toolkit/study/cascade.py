"""A probe first, and the judge only where the probe is unsure: pass@1 against forward passes spent.

The probe is unsure of a task where two different programs or more lie within a margin of its best log-odds. Of these
the judge is asked, each program once, and the mean of both P(correct) chooses; else the probe's best stands. A probe on
the generator's own states needs no forward pass; another reads each program once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gavel.toolkit.figures import Bools, Doubles
from gavel.toolkit.study.data import JudgeEntry
from gavel.toolkit.study.pools import Candidates, Ints
from gavel.toolkit.study.ranking import expected
from gavel.toolkit.study.resampling import Resampling
from gavel.toolkit.study.ways import Way, at, log_odds, mean_p_correct, pairs

# Of the candidates' distances to the probe's best one: there the margins lie.
QUANTILES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class _Cascade:
    """The drawn candidates [tasks, repetitions, n], and what a margin decides on."""

    drawn: Ints
    probe: Way
    both: Way
    eligible: Bools
    behind: Doubles  # by how much a candidate's log-odds lie below the probe's best; infinite where it has none
    probing: Ints  # forward passes of the probe itself [tasks, repetitions]


def cascades(found: Candidates, how: Resampling) -> Iterator[dict[str, Any]]:
    """For every pair of probe and judge, at the largest number of candidates, with and without compiling first."""
    sizes = how.usable(found)
    if not sizes:
        return
    drawn = how.drawn(found, sizes[-1])
    for probe, judge in pairs(found):
        for compiles_first in [False, True] if found.compile_known else [False]:
            cascade = _cascade(found, drawn, probe, judge, compiles_first)
            yield {
                "test_set": found.test_set,
                "generator": found.generator.name,
                "n": sizes[-1],
                "tasks": len(found.tasks),
                "probe": probe.label,
                "judge": judge.label,
                "compiles_first": compiles_first,
                "points": [_point(found, cascade, margin, how) for margin in _margins(cascade.behind)],
            }


def _cascade(found: Candidates, drawn: Ints, probe: JudgeEntry, judge: JudgeEntry, compiles_first: bool) -> _Cascade:
    first = Way(probe.label, "judge", log_odds(probe), (probe,), compiles_first)
    both = Way("both", "combination", mean_p_correct((probe, judge)), (probe, judge), compiles_first)
    eligible = first.eligible(found, drawn)
    scores = first.scores(found, drawn)
    scores = np.where(eligible & ~np.isnan(scores), scores, -np.inf)
    best = scores.max(axis=2, keepdims=True)
    behind = np.subtract(best, scores, out=np.full(scores.shape, np.inf), where=np.isfinite(scores))
    free = probe.base == found.generator.name
    probing = np.zeros(drawn.shape[:2], np.int64) if free else _programs(found, drawn, eligible)
    return _Cascade(drawn, first, both, eligible, behind, probing)


def _margins(behind: Doubles) -> list[float]:
    """Never to ask, some margins between, always to ask."""
    between = behind[np.isfinite(behind) & (behind > 0)]
    inner = np.unique(np.quantile(between, QUANTILES)).tolist() if len(between) else []
    return [0.0, *inner, np.inf]


def _point(found: Candidates, cascade: _Cascade, margin: float, how: Resampling) -> dict[str, Any]:
    """``margin`` is exclusive, so that 0 never asks; infinity asks about all that are eligible."""
    near = cascade.eligible & ((cascade.behind < margin) | np.isinf(margin))
    programs = _programs(found, cascade.drawn, near)
    unsure = programs > 1
    by_both, by_probe = cascade.both.top(found, cascade.drawn, near), cascade.probe.top(found, cascade.drawn)
    passes = expected(np.where(unsure[..., None], by_both, by_probe), at(found.passed, cascade.drawn))
    return {
        "margin": None if np.isinf(margin) else margin,
        "forward_passes": float((np.where(unsure, programs, 0) + cascade.probing).mean()),
        "tasks_asked": float(unsure.mean()),
        "pass_at_1": how.bootstrap(len(found.tasks)).mean(passes.mean(axis=1)),
    }


def _programs(found: Candidates, drawn: Ints, among: Bools) -> Ints:
    """How many different programs there are among some of the drawn candidates [tasks, repetitions]."""
    program = np.sort(np.where(among, at(found.program, drawn), -1), axis=2)
    return (np.diff(program, axis=2, prepend=-1) > 0).sum(axis=2)
