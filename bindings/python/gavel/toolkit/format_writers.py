"""Writes records in the formats that other tools read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gavel.toolkit import datasets
from gavel.toolkit.datasets import DatasetError, Row
from gavel.toolkit.multipl_e import LANGUAGES

MXEVAL = ("task_id", "prompt", "entry_point", "test", "language", "description", "canonical_solution")
MULTIPL_E = ("name", "language", "prompt", "tests", "stop_tokens")
MULTIPL_E_OF_LANGUAGE = {spoken: short for short, spoken in LANGUAGES.items()}
CODEREVAL = ("task_id", "level", "project", "name", "docstring")
KNOWN = ("passed", "status", "mean_logprob", "generator", "seed")  # of a candidate, beside its code
CODEREVAL_OF_STATUS = {"pass": "", "compile_error": "compile error"}


def tasks(rows: Iterable[Row]) -> Iterator[Row]:
    """HumanEval's and mxeval's task files."""
    for row in rows:
        yield {"prompt": datasets.prompt(row)} | {key: row.get(key) for key in MXEVAL if key in row}


def samples(rows: Iterable[Row]) -> Iterator[Row]:
    """HumanEval's and mxeval's samples: one line for each candidate, going on where the prompt ends."""
    for row, candidate in _candidates(rows):
        yield {"task_id": row["task_id"], "language": row["language"], "completion": candidate["code"]} | _known(
            candidate
        )


def evalplus(rows: Iterable[Row]) -> Iterator[Row]:
    """EvalPlus's samples: one line for each candidate, the whole program."""
    for row, candidate in _candidates(rows):
        if row.get("test"):
            solution = datasets.program(row, candidate["code"]).source
        else:
            solution = datasets.prompt(row) + candidate["code"]
        yield {"task_id": row["task_id"], "solution": solution}


def multipl_e(rows: Iterable[Row]) -> Iterator[Row]:
    """MultiPL-E's problems with completions."""
    for row in rows:
        if "name" not in row or "tests" not in row:
            raise DatasetError(f"task {row['task_id']}: not from MultiPL-E, and has no tests of its form")
        completions = [candidate["code"] for candidate in row.get("candidates") or []]
        task = {key: row[key] for key in MULTIPL_E if key in row}
        yield task | {
            "language": MULTIPL_E_OF_LANGUAGE.get(row["language"], row["language"]),
            "completions": completions,
        }


def coder_eval(rows: Iterable[Row]) -> Iterator[Row]:
    """CoderEval's results: candidates with passed and the kind of failure."""
    for row in rows:
        candidates = [
            {"code": candidate["code"], "passed": passed, "feedback": _failure(candidate)}
            for candidate, passed in zip(row.get("candidates") or [], datasets.outcomes(row), strict=True)
        ]
        task: dict[str, Any] = {key: row[key] for key in CODEREVAL if key in row}
        yield {"docstring": datasets.prompt(row)} | task | {"candidates": candidates}


def _failure(candidate: Row) -> str:
    return CODEREVAL_OF_STATUS.get(str(candidate.get("status")), "exec error!" if candidate.get("status") else "")


def _candidates(rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    return ((row, candidate) for row in rows for candidate in row.get("candidates") or [])


def _known(candidate: Row) -> Row:
    return {key: candidate[key] for key in KNOWN if candidate.get(key) is not None}


WRITERS: dict[str, Callable[[Iterable[Row]], Iterator[Row]]] = {
    "gavel": iter,
    "tasks": tasks,
    "samples": samples,
    "evalplus": evalplus,
    "multipl-e": multipl_e,
    "codereval": coder_eval,
}
