"""A test set's rows as arrays: for each task the pool of a generator's candidates, and what was said of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

import gavel
from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.figures import Bools, Doubles
from gavel.toolkit.labelled import code_of, verdict_of
from gavel.toolkit.rows import language_of
from gavel.toolkit.study.data import GeneratorRows, JudgeEntry, JudgeId

Ints = NDArray[np.int64]
CERTAIN = 1e-6  # a P(correct) of 0 or 1 is no log-odds: those of a judge that gives no others end here


@dataclass(frozen=True)
class Candidates:
    """One generator's candidates of the tasks of a test set, those whose outcome is known, in their order.

    Arrays are [tasks, width], a task's candidates first; ``there`` says where one is. The last column is empty, for
    whatever wants to point at no candidate. NaN where nothing was said.
    """

    test_set: str
    generator: GeneratorRows
    tasks: list[str]
    dataset: list[str]
    code: list[list[str]]
    status: list[list[str]]  # empty texts where the rows do not say
    left_out: list[int]  # candidates whose tests could not be run
    unknown: int  # tasks left out, since this holds for all of their candidates
    there: Bools
    passed: Bools
    program: Ints  # within a task the same program has the same number; -1 where none is
    log_likelihood: Doubles  # mean log-probability per token
    p_correct: dict[JudgeId, Doubles]
    log_odds: dict[JudgeId, Doubles]  # before calibration
    judges: list[JudgeEntry]  # those that judged one candidate at least
    greedy: dict[str, bool]  # by task, whether the one answer at temperature 0 passes

    def inside(self, part: str) -> Bools:
        """Which tasks [tasks] are of a data set, or of "all"."""
        return np.array([part in ("all", dataset) for dataset in self.dataset])

    @property
    def pool(self) -> Ints:
        """How many candidates each task has."""
        return self.there.sum(axis=1)

    @property
    def smallest(self) -> int:
        """Candidates of the task that has the fewest, those included whose outcome is not known."""
        return int((self.pool + self.left_out).min())

    @cached_property
    def compile_known(self) -> bool:
        """Whether all candidates say how they fared, so that those that do not compile are known."""
        return all(all(statuses) for statuses in self.status)

    @cached_property
    def compiled(self) -> Bools:
        """All that do not say that they do not compile."""
        return self.there & _padded([[status != "compile_error" for status in one] for one in self.status], False)


def candidates(test_set: str, generator: GeneratorRows, judges: Sequence[JudgeEntry]) -> Candidates:
    """Raises DatasetError for rows that are not labelled, and where no task has a candidate with a known outcome."""
    pairs = [(row, found) for row in generator.rows if (found := _known(row))]
    if not pairs:
        raise DatasetError(f"test set {test_set}: generator {generator.name} has no candidate with a known outcome")
    rows, pools = [row for row, _ in pairs], [found for _, found in pairs]
    p_correct = {judge.id: _said(pools, judge.id, "p_correct") for judge in judges}
    passed = _padded([[candidate["passed"] for candidate in found] for found in pools], False)
    return Candidates(
        test_set,
        generator,
        tasks=[datasets.task_id(row) for row in rows],
        dataset=[datasets.dataset(row) for row in rows],
        code=[[candidate["code"] for candidate in found] for found in pools],
        status=[[str(candidate.get("status") or "") for candidate in found] for found in pools],
        left_out=[len(row["candidates"]) - len(found) for row, found in pairs],
        unknown=len(generator.rows) - len(rows),
        there=_padded([[True] * len(found) for found in pools], False),
        passed=passed,
        program=_padded([_programs(row, found) for row, found in pairs], -1),
        log_likelihood=_numbers([[candidate.get("mean_logprob") for candidate in found] for found in pools]),
        p_correct=p_correct,
        log_odds={judge.id: _log_odds(_said(pools, judge.id, "logit"), p_correct[judge.id]) for judge in judges},
        judges=[judge for judge in judges if np.isfinite(p_correct[judge.id]).any()],
        greedy=answers(generator.greedy),
    )


def parts(group: Iterable[Candidates]) -> list[str]:
    """What figures are given for: "all", and each data set where there are several."""
    names = list(dict.fromkeys(dataset for one in group for dataset in one.dataset))
    return ["all", *(names if len(names) > 1 else [])]


def answers(greedy: Iterable[Row]) -> dict[str, bool]:
    """By task whether its one answer passes; tasks whose tests could not be run are not in it."""
    return {datasets.task_id(row): found[0]["passed"] for row in greedy if (found := _known(row))}


def _known(row: Row) -> list[Row]:
    known = [at for at, outcome in enumerate(datasets.outcomes(row)) if outcome is not None]
    return [row["candidates"][at] | {"code": code_of(row, at)} for at in known]


def _programs(row: Row, found: Sequence[Row]) -> list[int]:
    forms = [gavel.normal_form(candidate["code"], language_of(row)) for candidate in found]
    return np.unique(forms, return_inverse=True)[1].tolist()


def _said(pools: Sequence[Sequence[Row]], judge: JudgeId, what: str) -> Doubles:
    return _numbers([[verdict_of(candidate, *judge).get(what) for candidate in found] for found in pools])


def _numbers(values: Sequence[Sequence[float | None]]) -> Doubles:
    return _padded([[np.nan if value is None else float(value) for value in line] for line in values], np.nan)


def _padded(lines: Sequence[Sequence[Any]], fill: Any) -> Any:
    """As an array with one empty column at least."""
    width = 1 + max(len(line) for line in lines)
    return np.array([[*line, *[fill] * (width - len(line))] for line in lines])


def _log_odds(given: Doubles, p_correct: Doubles) -> Doubles:
    """As the judge gave them, or those of its probability."""
    return np.where(np.isnan(given), logit(np.clip(p_correct, CERTAIN, 1 - CERTAIN)), given)
