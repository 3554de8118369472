"""Labelled rows as a judge sees them: tasks, candidates, and its log-odds beside their outcomes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import gavel
from gavel.toolkit import datasets
from gavel.toolkit.datasets import Row
from gavel.toolkit.errors import ToolkitError

# A judge's log-odds of the candidates of a row at some positions.
Ask = Callable[[Row, list[int]], Sequence[float]]


def candidates_of(row: Row, positions: list[int]) -> list[gavel.Candidate]:
    return [
        gavel.Candidate(candidate["code"], tokens=candidate.get("tokens") or [], tokenizer=datasets.tokenizer(row))
        for candidate in (row["candidates"][at] for at in positions)
    ]


@dataclass(frozen=True)
class Labelled:
    """One judge's log-odds and the outcomes, over all candidates that have both."""

    logits: NDArray[np.float64]
    passed: NDArray[np.bool_]
    problem: NDArray[np.int64]  # those of one source problem, in whatever language, have one number
    task: NDArray[np.int64]  # the number of their row
    mean_logprob: NDArray[np.float64]  # the generator's, per token; NaN where the rows do not have it
    tasks: int
    left_out: int  # empty candidates, and those whose tests could not be run
    asked: int  # candidates whose log-odds the rows did not have


def labelled(rows: list[Row], judge: str, kind: str, ask: Ask, progress: datasets.Progress | None = None) -> Labelled:
    """Takes log-odds from the verdicts of the judge of that name and kind where rows have them, else from ``ask``."""
    logits: list[float | None] = []
    passed: list[bool] = []
    problem: list[int] = []
    task: list[int] = []
    mean_logprob: list[float | None] = []
    numbers: dict[str, int] = {}
    tasks = asked = 0
    for done, row in enumerate(rows, 1):
        outcomes = enumerate(datasets.outcomes(row))
        usable = [at for at, outcome in outcomes if outcome is not None and code_of(row, at).strip()]
        known = {at: _logit(row["candidates"][at], judge, kind) for at in usable}
        missing = [at for at in usable if known[at] is None]
        if missing:
            known |= dict(zip(missing, ask(row, missing), strict=True))
        number = numbers.setdefault(datasets.problem(row), len(numbers))
        logits += [known[at] for at in usable]
        passed += [row["candidates"][at]["passed"] for at in usable]
        problem += [number] * len(usable)
        task += [done - 1] * len(usable)
        mean_logprob += [row["candidates"][at].get("mean_logprob") for at in usable]
        tasks, asked = tasks + bool(usable), asked + len(missing)
        if progress:
            progress(done, len(rows))
    left_out = sum(len(row["candidates"]) for row in rows) - len(passed)
    return Labelled(
        logits=np.array(logits, np.float64),
        passed=np.array(passed, bool),
        problem=np.array(problem, np.int64),
        task=np.array(task, np.int64),
        mean_logprob=np.array(mean_logprob, np.float64),
        tasks=tasks,
        left_out=left_out,
        asked=asked,
    )


def require_both(passed: NDArray[np.bool_], least: int, where: str | os.PathLike[str]) -> None:
    """Raises ToolkitError for fewer than ``least`` candidates of either outcome."""
    right = int(passed.sum())
    wrong = len(passed) - right
    if min(right, wrong) < max(1, least):
        raise ToolkitError(
            f"{os.fspath(where)}: {right} candidates pass and {wrong} fail, a fit needs {max(1, least)} of either at "
            "least; label candidates of more tasks"
        )


def labels_digest(rows: list[Row]) -> str:
    """SHA-256 of what labels say: each task's candidates and outcomes, whoever judged them since."""
    said = [
        [datasets.task_id(row), [[each.get("code"), each.get("passed")] for each in row["candidates"]]] for row in rows
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def code_of(row: Row, at: int) -> str:
    """A candidate's code; raises ToolkitError where it has none."""
    code = row["candidates"][at].get("code")
    if not isinstance(code, str):
        raise ToolkitError(f"task {datasets.task_id(row)}: candidate {at} has no code; expected a text of that name")
    return code


def verdict_of(candidate: Row, judge: str, kind: str) -> Row:
    """The verdict of the judge of that name and kind on a candidate; empty where there is none."""
    for verdict in candidate.get("verdicts") or []:
        if (verdict.get("judge"), verdict.get("kind")) == (judge, kind):
            return verdict
    return {}


def _logit(candidate: Row, judge: str, kind: str) -> float | None:
    logit = verdict_of(candidate, judge, kind).get("logit")
    return logit if isinstance(logit, int | float) and math.isfinite(logit) else None
